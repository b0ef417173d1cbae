"""Whether a server of Vault is one for development. Pure but for the question itself.

The rule is where it keeps its data: a server that keeps them in memory loses everything when it
ends, so nobody's production is in it. That is what ``-dev`` servers do, and the server itself says
it (``storage_type`` of ``sys/seal-status``). An address on loopback shows nothing, because a
production server can be reached by a tunnel. Any other server has to be named by whoever means it.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

from sidecar.common.errors import Fault
from sidecar.config import model
from sidecar.vault.session import make_vault_session
from sidecar.vault.translate import translated

_IN_MEMORY = "inmem"


async def read_storage(settings: model.Vault) -> str:
    """Return where a server keeps its data, by its own word. Raises ``Fault``."""
    return await asyncio.to_thread(_ask, settings)


def refusal(storage: str, address: str, named: str | None) -> str:
    """Return why nothing may be made in a server; an empty text if it may.

    ``named`` is the address that the operator has confirmed.
    """
    if named is not None and named.rstrip("/") != address.rstrip("/"):
        return f"--yes names {named}, but vault.address is {address}: nothing was done"
    if storage.startswith(_IN_MEMORY) or named is not None:
        return ""
    where = f"keeps its data in {storage}" if storage else "does not say where it keeps its data"
    return (
        f"{address} {where}, so it is no development server (those keep everything in memory): "
        f"nothing was done. See the steps with --dry-run; if you mean this server, --yes {address}"
    )


def _ask(settings: model.Vault) -> str:
    auth = settings.auth
    pair = (auth.certificate_file, auth.key_file) if isinstance(auth, model.CertAuth) else None
    on_socket = settings.address.startswith("unix:")
    base = "http://localhost" if on_socket else settings.address.rstrip("/")
    where = f"Vault at {settings.address}, sys/seal-status"
    with (
        translated(where, (settings.ca_file, *(pair or ()))),
        make_vault_session(settings, pair, lambda _date: None) as session,
    ):
        answer = session.get(f"{base}/v1/sys/seal-status", timeout=settings.timeout_seconds)
    return storage_of(answer)


def storage_of(answer: Any) -> str:
    """Read Vault's answer. Raises ``Fault`` for one that is no Vault's."""
    try:
        status = answer.json()
    except (ValueError, RecursionError):
        status = None
    if not isinstance(status, Mapping) or "sealed" not in status:
        raise Fault("what answers at vault.address is no Vault: correct its host and port")
    return str(status.get("storage_type") or "")[:40]
