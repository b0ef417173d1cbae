"""The key ring: the immutable set of verification keys, looked up by ``kid``.

A ring contains public keys only; a source drops the private parts before a key gets here. A
new ring replaces the old one as a whole, so a Check sees one or the other and never a mixture.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from sidecar.common.errors import Fault
from sidecar.tokens.algorithms import Algorithm, PublicKey

MAX_KEYS = 256
MAX_KID_LENGTH = 256


class VerificationKey(NamedTuple):
    """One public key, bound to the issuer whose tokens it may verify, and to one algorithm.

    ``issuer`` is ``None`` only where tokens are read by hand (``sidecar token verify``
    without a configuration).
    """

    kid: str
    public: PublicKey
    issuer: str | None
    algorithm: Algorithm


class KeyRing:
    """Keys by ``kid``. Two issuers may publish the same ``kid``; both are kept."""

    __slots__ = ("_by_kid",)

    def __init__(self, keys: Iterable[VerificationKey] = ()) -> None:
        by_kid: dict[str, tuple[VerificationKey, ...]] = {}
        for key in keys:
            if any(known.issuer == key.issuer for known in by_kid.get(key.kid, ())):
                raise Fault(f"two keys of issuer {key.issuer!r} share the kid {key.kid!r}")
            by_kid[key.kid] = (*by_kid.get(key.kid, ()), key)
        if len(by_kid) > MAX_KEYS:
            raise Fault(f"{len(by_kid)} keys, but a key ring may contain at most {MAX_KEYS}")
        self._by_kid = by_kid

    def find(self, kid: str) -> tuple[VerificationKey, ...]:
        """Return the keys published under this ``kid``: none, one, or one an issuer."""
        return self._by_kid.get(kid, ())

    def __eq__(self, other: object) -> bool:
        """Return whether both verify the same: equal keys under the same ``kid``."""
        if not isinstance(other, KeyRing):
            return NotImplemented
        return self._by_kid == other._by_kid

    __hash__ = None  # type: ignore[assignment]  # compared, never looked up

    def __iter__(self) -> Iterator[VerificationKey]:
        """Yield all keys, those of one ``kid`` together."""
        for keys in self._by_kid.values():
            yield from keys

    def __bool__(self) -> bool:
        """Return whether there is any key."""
        return bool(self._by_kid)

    def __len__(self) -> int:
        """Count the keys."""
        return sum(map(len, self._by_kid.values()))


EMPTY_RING = KeyRing()
