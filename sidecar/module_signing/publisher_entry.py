"""Reads the publishers of modules from their entry of Vault KV v2.

Every field is a publisher's id and holds its public keys (PEM, a JWK or a JWKS; several during a
rotation); the field ``withdrawn_bundles`` lists SHA-256 digests in hex. It brings PyJWT, which a
worker does not need: that gets ``Publishers``.
"""

import re
from collections.abc import Mapping
from typing import Any

from sidecar.common.errors import Fault
from sidecar.keys.sources import parse_p256_keys
from sidecar.module_signing.publishers import PublisherKey, Publishers

WITHDRAWN = "withdrawn_bundles"
MAX_PUBLISHERS = 10_000
MAX_WITHDRAWN = 100_000
_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
"""No underscore: ``withdrawn_bundles`` can't be a publisher."""
_DIGEST = re.compile(r"[0-9a-f]{64}")


class PublisherFault(Fault):
    """The entry of publishers can't be used."""


def read_publishers(data: Mapping[str, Any]) -> Publishers:
    """Read the entry's fields.

    A publisher whose field can't be read has no key, and ``problems`` says so; the others are
    not affected. A list of withdrawn bundles that can't be read is a ``PublisherFault``:
    without it, withdrawn bundles would pass.
    """
    if len(data) > MAX_PUBLISHERS:
        raise PublisherFault(f"lists more than {MAX_PUBLISHERS} publishers")
    keys: list[PublisherKey] = []
    problems: list[str] = []
    for name, value in data.items():
        if name == WITHDRAWN:
            continue
        if not _ID.fullmatch(name):
            problems.append(f"{name[:64]!r} is no publisher's id: {_ID.pattern}")
            continue
        try:
            keys += _read_keys(name, value)
        except Fault as fault:
            problems.append(f"{name}: {fault}")
    return Publishers(keys, _read_withdrawn(data.get(WITHDRAWN)), problems)


def _read_keys(publisher: str, value: object) -> list[PublisherKey]:
    if not isinstance(value, str):
        raise PublisherFault("is no text")
    return [PublisherKey(publisher, public) for public in parse_p256_keys(value)]


def _read_withdrawn(value: object) -> tuple[str, ...]:
    listed = () if value is None else value.split() if isinstance(value, str) else value
    if not isinstance(listed, (list, tuple)) or len(listed) > MAX_WITHDRAWN:
        raise PublisherFault(f"{WITHDRAWN} must list at most {MAX_WITHDRAWN} digests")
    for digest in listed:
        if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
            raise PublisherFault(
                f"{WITHDRAWN} holds an item that is not a SHA-256 in lower-case hex"
            )
    return tuple(listed)
