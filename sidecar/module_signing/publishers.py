"""The publishers of modules: their registered keys, and the withdrawn bundles.

One entry of Vault KV v2. Every field is a publisher's id and holds its public keys (PEM, a
JWK or a JWKS; several during a rotation); the field ``withdrawn_bundles`` lists SHA-256
digests in hex. A key is identified by its RFC 7638 thumbprint, not by a name of the
publisher's choice, so no publisher can register a key under another's identifier.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric import ec

from sidecar.common.errors import Fault
from sidecar.tokens.jwk import thumbprint

WITHDRAWN = "withdrawn_bundles"
MAX_PUBLISHERS = 10_000
MAX_WITHDRAWN = 100_000
_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
"""No underscore: ``withdrawn_bundles`` can't be a publisher."""
_DIGEST = re.compile(r"[0-9a-f]{64}")


class PublisherFault(Fault):
    """The entry of publishers can't be used."""


class PublisherKey(NamedTuple):
    """One registered key."""

    publisher: str
    public: ec.EllipticCurvePublicKey


class Publishers:
    """The registered keys by thumbprint, and the digests that are withdrawn. Immutable."""

    __slots__ = ("_by_kid", "problems", "withdrawn")

    def __init__(
        self,
        keys: Iterable[PublisherKey] = (),
        withdrawn: Iterable[str] = (),
        problems: Iterable[str] = (),
    ) -> None:
        """``problems`` lists what is wrong with the entry, by publisher."""
        by_kid: dict[str, PublisherKey] = {}
        shared: set[str] = set()
        said = list(problems)
        for key in keys:
            kid = thumbprint(key.public)
            known = by_kid.setdefault(kid, key)
            if known.publisher != key.publisher:
                shared.add(kid)
                said.append(f"{known.publisher} and {key.publisher} have registered one key")
        self._by_kid = {kid: key for kid, key in by_kid.items() if kid not in shared}
        self.withdrawn = frozenset(withdrawn)
        self.problems = tuple(said)

    def find(self, kid: str) -> PublisherKey | None:
        """Return the key of this thumbprint; ``None`` if two publishers have registered it."""
        return self._by_kid.get(kid)

    def same_as(self, other: "Publishers") -> bool:
        """Tell whether both have the same keys, by thumbprint, and the same withdrawals."""
        return self.withdrawn == other.withdrawn and self.owners() == other.owners()

    def owners(self) -> dict[str, str]:
        """Return the publisher by thumbprint."""
        return {kid: key.publisher for kid, key in self._by_kid.items()}

    def __iter__(self) -> Iterator[tuple[str, PublisherKey]]:
        """Iterate over the keys that verify, each with its thumbprint."""
        return iter(self._by_kid.items())

    def __len__(self) -> int:
        """Return the number of keys."""
        return len(self._by_kid)


NO_PUBLISHERS = Publishers()


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
    from sidecar.keys.sources import parse_keys  # noqa: PLC0415 - PyJWT, which a process that only checks does not need

    if not isinstance(value, str):
        raise PublisherFault("is no text")
    return [PublisherKey(publisher, key.public) for key in parse_keys(value, None)]


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
