"""Whose a host is by the registry of domains: an immutable table, in shards. Pure.

Whoever registered a domain owns it and what is below it; what is registered below another
tenant's domain is that tenant's all the same (the registry refuses it a certificate). A
domain registered as *shared* is nobody's alone, and what is below it is whoever's it is
registered for. What is not registered has no owner.

A shard is a plain dictionary that is never changed: a new table shares with the old one all
shards but those with a change in them, so one domain more costs one small dictionary, here
and on its way to workers.
"""

from collections.abc import Iterable, Iterator, Mapping
from zlib import crc32

SHARDS = 64
MAX_LEVELS = 32
"""Labels that are looked at, from the end of a host: no domain is registered with more."""

Shard = Mapping[str, str]
SHARED = ""
"""Stands for the owner of a shared domain."""


class RegisteredDomains:
    """Owners (tenant ids) by domain or ``*.domain``."""

    __slots__ = ("_is_empty", "shards")

    def __init__(self, shards: tuple[Shard, ...] = ({},) * SHARDS) -> None:
        self.shards = shards
        self._is_empty = not any(shards)

    @classmethod
    def of(cls, owners: Iterable[tuple[str, str]]) -> "RegisteredDomains":
        """Make a table of domains and owners, ``SHARED`` for nobody's."""
        shards: list[dict[str, str]] = [{} for _ in range(SHARDS)]
        for domain, owner in owners:
            shards[shard_of(domain)][domain] = owner
        return cls(tuple(shards))

    def __len__(self) -> int:
        """Count the domains."""
        return sum(map(len, self.shards))

    def changed(self, owners: Mapping[str, str | None]) -> "RegisteredDomains":
        """Return the table with these owners; ``None`` for a domain that is registered no more."""
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
        """Return the table with one shard in the place of another; itself for an equal one."""
        if self.shards[number] == shard:
            return self
        return RegisteredDomains((*self.shards[:number], shard, *self.shards[number + 1 :]))

    def owner_of(self, host: str) -> str | None:
        """Return the tenant that a host belongs to: that of the uppermost domain not shared."""
        if self._is_empty:  # nothing is served on demand: a Check pays nothing for it
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
    """Yield every domain whose owner may own a host, the uppermost first, the host itself last."""
    labels = host.split(".")
    if len(labels) > MAX_LEVELS:
        labels = labels[-MAX_LEVELS:]
    for first in range(len(labels) - 1, 0, -1):
        parent = ".".join(labels[first:])
        yield parent
        yield f"*.{parent}"
    yield host


NO_DOMAINS = RegisteredDomains()
