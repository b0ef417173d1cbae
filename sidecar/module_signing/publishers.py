"""The publishers of modules: their registered keys, and the withdrawn bundles.

A key is identified by its RFC 7638 thumbprint, not by a name of the publisher's choice, so no
publisher can register a key under another's identifier.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric import ec

from sidecar.tokens.jwk import thumbprint


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
        found = list(problems)
        for key in keys:
            kid = thumbprint(key.public)
            known = by_kid.setdefault(kid, key)
            if known.publisher != key.publisher:
                shared.add(kid)
                found.append(f"{known.publisher} and {key.publisher} have registered one key")
        self._by_kid = {kid: key for kid, key in by_kid.items() if kid not in shared}
        self.withdrawn = frozenset(withdrawn)
        self.problems = tuple(found)

    def find(self, kid: str) -> PublisherKey | None:
        """Return the key of this thumbprint; ``None`` if two publishers have registered it."""
        return self._by_kid.get(kid)

    def same_as(self, other: "Publishers") -> bool:
        """Return whether both have the same keys, by thumbprint, and the same withdrawals."""
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
