"""Calls of KV v2 of which hvac keeps back a part, or that it does not have."""

from collections.abc import Mapping
from typing import Any

from hvac import exceptions

from sidecar.vault.answers import KvSecret, secret_of
from sidecar.vault.history import KvHistory, read_histories


def read_latest(client: Any, mount: str, path: str) -> tuple[KvSecret | None, int]:
    """Return an entry and its version; ``None`` and the version of what is deleted, 0 of nothing.

    Vault's 404 for a deleted entry has its metadata. Raises the exceptions of hvac.
    """
    try:
        answer = client.secrets.kv.v2.read_secret_version(
            path, mount_point=mount, raise_on_deleted_version=True
        )
    except exceptions.InvalidPath as exc:
        if exc.errors:  # no entry is silent; Vault says it of a mount or a namespace
            raise
        data = (exc.json or {}).get("data") or {}
        return None, int((data.get("metadata") or {}).get("version") or 0)
    secret = secret_of(answer["data"])
    return secret, secret.version


def list_histories(client: Any, mount: str, path: str) -> Mapping[str, KvHistory | None] | None:
    """List the entries directly below a path with their versions; ``None`` if this Vault can't.

    OpenBao's ``detailed-metadata``; a Vault without it says 404 with words of its own.
    """
    try:
        answer = client.adapter.list(url=f"/v1/{mount}/detailed-metadata/{path}")
    except exceptions.InvalidPath as exc:
        return {} if exc.errors == [] else None
    return read_histories(answer["data"])
