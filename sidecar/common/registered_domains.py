"""Owners of hosts according to the domain registry: an immutable table, in shards. Pure.

The tenant that registered a domain owns it and everything below it, even a domain that another
tenant registered below it (the registry refuses it a certificate). A domain registered as
*shared* has no owner, and what is below it belongs to the tenant that registered it. A domain
that is not registered has no owner.

A shard is a dictionary that is never changed: a new table shares with the old one all shards
except the changed ones, so one more domain costs one small dictionary, here and on its way to
the workers.
"""

from collections.abc import Iterable, Iterator, Mapping
from zlib import crc32

SHARDS = 64
MAX_LEVELS = 32
"""The number of labels examined, from the end of a host: no registered domain has more."""

Shard = Mapping[str, str]
SHARED = ""
"""Placeholder for the owner of a shared domain."""


class RegisteredDomains:
    """Owners (tenant ids) by domain or ``*.domain``."""

    __slots__ = ("_is_empty", "shards")

    def __init__(self, shards: tuple[Shard, ...] = ({},) * SHARDS) -> None:
        self.shards = shards
        self._is_empty = not any(shards)

    @classmethod
    def of(cls, owners: Iterable[tuple[str, str]]) -> "RegisteredDomains":
        """Return a table of domains and owners, with ``SHARED`` for shared domains."""
        shards: list[dict[str, str]] = [{} for _ in range(SHARDS)]
        for domain, owner in owners:
            shards[shard_of(domain)][domain] = owner
        return cls(tuple(shards))

    def __eq__(self, other: object) -> bool:
        """Return whether both have the same owners. Comparing shared shards costs nothing."""
        if not isinstance(other, RegisteredDomains):
            return NotImplemented
        return self.shards == other.shards

    __hash__ = None  # type: ignore[assignment]  # compared, never looked up

    def __len__(self) -> int:
        """Count the domains."""
        return sum(map(len, self.shards))

    def changed(self, owners: Mapping[str, str | None]) -> "RegisteredDomains":
        """Return the table with these owners; ``None`` removes a domain."""
        shards = list(self.shards)
        for domain, owner in owners.items():
            number = shard_of(domain)
            if shards[number].get(domain) == owner:
                continue
            fresh = dict(shards[number])
            fresh.pop(domain, None)
            if owner is not None:
                fresh[domain] = owner
            shards[number] = fresh
        same = all(fresh is held for fresh, held in zip(shards, self.shards, strict=True))
        return self if same else RegisteredDomains(tuple(shards))

    def with_shard(self, number: int, shard: Shard) -> "RegisteredDomains":
        """Return the table with one shard replaced; the same table if the shard is equal."""
        if self.shards[number] == shard:
            return self
        return RegisteredDomains((*self.shards[:number], shard, *self.shards[number + 1 :]))

    def owner_of(self, host: str) -> str | None:
        """Return the tenant that owns a host: that of the topmost domain that is not shared."""
        if self._is_empty:  # without on-demand certificates a Check pays nothing for it
            return None
        shards = self.shards
        for pattern in _from_above(host):
            owner = shards[shard_of(pattern)].get(pattern)
            if owner:
                return owner
        return None


def shard_of(domain: str) -> int:
    """Return the number of a domain's shard, the same in every process."""
    return crc32(domain.encode("utf-8", "replace")) % SHARDS


def _from_above(host: str) -> Iterator[str]:
    """Yield every domain whose owner may own a host, the topmost first, the host itself last."""
    labels = host.split(".")
    if len(labels) > MAX_LEVELS:
        labels = labels[-MAX_LEVELS:]
    for first in range(len(labels) - 1, 0, -1):
        parent = ".".join(labels[first:])
        yield parent
        yield f"*.{parent}"
    yield host


NO_DOMAINS = RegisteredDomains()
