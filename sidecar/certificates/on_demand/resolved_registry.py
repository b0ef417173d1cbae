"""A registry that is asked for one name at a time, with a cache of the answers.

The answers come from a ``Resolver``: a Domain Resolver over HTTP (``http_resolver``), or the
entries below a prefix of Vault KV (``kv_prefix_resolver``). They are cached for their TTL.
While a resolver does not answer, new names can't be obtained, and names that are served already
are not affected.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import NamedTuple, Protocol

from sidecar.certificates.on_demand.domains import (
    UNRESOLVED,
    Registration,
    RegistryFault,
    Unresolved,
    check_owner,
)
from sidecar.common.polling import PollStatus
from sidecar.common.registered_domains import NO_DOMAINS, RegisteredDomains

MAX_REMEMBERED = 100_000
MAX_HELD = 100_000
MAX_WANTED = 20_000
MAX_OWNERS = 200_000
MIN_RENEWED = 64
"""Names held from which on it is asked what has not changed, in place of a look-up each."""
_RENEWED_A_TURN = 200


class Patterns(NamedTuple):
    """The domains to look up for a name: those that match it, and those above it."""

    own: list[str]
    above: list[str]


class Resolver(Protocol):
    """Answers for one domain at a time."""

    name: str

    def patterns(self, name: str) -> Patterns:
        """Return the domains to look up; none for a name that is known not to be registered."""

    async def look_up(self, pattern: str) -> Registration | None:
        """Return the registration of a domain. Raises ``Fault``."""

    def lists(self, pattern: str) -> bool:
        """Tell whether a domain may be registered, as far as that is known from memory."""

    async def unchanged(self) -> Collection[str]:
        """Return the domains that are known to be as they were looked up, as of now.

        In one call, however many they are; none where that can't be told. Raises ``Fault``.
        """

    async def start(self) -> None:
        """Read what look-ups need. Raises ``Fault``."""

    async def run(self) -> None:
        """Keep that up to date, until cancelled."""

    async def refresh(self) -> None:
        """Read it again now."""

    @property
    def status(self) -> PollStatus:
        """Return the status of these reads."""


class _Remembered(NamedTuple):
    registration: Registration | None
    until: float


class ResolvedRegistry:
    """The answers of a resolver, each cached for its TTL."""

    def __init__(
        self,
        resolver: Resolver,
        *,
        positive_ttl_seconds: float,
        negative_ttl_seconds: float,
        clock: Callable[[], float],
        names_a_second: float = 10.0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        publish: Callable[[RegisteredDomains], None] = lambda _owners: None,
    ) -> None:
        """``publish`` gets the owners of the known domains whenever they have changed.

        Of the names that clients hold, up to ``names_a_second`` are looked up again when their
        TTL is over.
        """
        self._resolver = resolver
        self._names_a_second = names_a_second
        self._sleep = sleep
        self._publish = publish
        self._owners = NO_DOMAINS
        self._held: OrderedDict[str, float] = OrderedDict()
        """The names that clients hold, and when each is looked up again; soonest first."""
        self._wanted: dict[str, None] = {}
        """Names that clients hold and that were not looked up yet, in their order."""
        self._positive_ttl_seconds = positive_ttl_seconds
        self._negative_ttl_seconds = negative_ttl_seconds
        self._clock = clock
        self._renew_at = 0.0
        self._remembered: OrderedDict[str, _Remembered] = OrderedDict()
        self.outcomes = {"ok": 0, "failed": 0}

    def __len__(self) -> int:
        """Return how many answers are cached."""
        return len(self._remembered)

    def take_over(self, owners: RegisteredDomains, names: Iterable[str]) -> None:
        """Begin with the owners that a registry before has found (a reload).

        Each holds until this one has answered for its domain; the names that clients hold are
        looked up first.
        """
        self._owners = owners
        for name in names:
            self.want(name)

    def find(self, name: str) -> Registration | Unresolved | None:
        """Return the registration of a name from the cache. Raises ``NameRefused``."""
        own, above = self._resolver.patterns(name)
        known = [self._recall(pattern) for pattern in own]
        found = next((each.registration for each in known if each and each.registration), None)
        if found is None:
            return UNRESOLVED if None in known else None
        known += map(self._recall, above)
        check_owner(found, (each.registration for each in known if each is not None))
        return UNRESOLVED if None in known else found

    async def resolve(self, name: str) -> None:
        """Look up what is not cached; the domains above only if the name is registered."""
        own, above = self._resolver.patterns(name)
        found = False
        try:
            await self._learn(own)
            found = any(each and each.registration for each in map(self._recall, own))
            if found:
                await self._learn(above)
        finally:
            self._note_owners([*own, *above])
        self._held.pop(name, None)
        if found:
            self._held[name] = self._clock() + self._positive_ttl_seconds
            while len(self._held) > MAX_HELD:
                self._held.popitem(last=False)

    def want(self, name: str) -> None:
        """Schedule a look-up of a name that clients hold already."""
        if name not in self._held and len(self._wanted) < MAX_WANTED and self._may_be_there(name):
            self._wanted.setdefault(name)

    def _may_be_there(self, name: str) -> bool:
        own, _ = self._resolver.patterns(name)
        return bool(own)

    async def refresh(self) -> None:
        """Refresh the resolver; cached answers stay until the end of their TTL."""
        await self._resolver.refresh()

    @property
    def status(self) -> PollStatus:
        """Return the status of the resolver's polls."""
        return self._resolver.status

    def _note_owners(self, patterns: list[str]) -> None:
        """Publish the known owners of these domains; the others stay as they were."""
        known = {pattern: self._recall(pattern) for pattern in patterns}
        self._set_owners(
            {
                pattern: None if each.registration is None else each.registration.owner
                for pattern, each in known.items()
                if each is not None
            }
        )

    def drop_unlisted(self) -> None:
        """Remove the owners of domains that are no longer listed."""
        lists = self._resolver.lists
        gone = [domain for shard in self._owners.shards for domain in shard if not lists(domain)]
        self._set_owners(dict.fromkeys(gone))

    def _set_owners(self, owners: Mapping[str, str | None]) -> None:
        changed = self._owners.changed(owners)
        if changed is self._owners:
            return
        if len(changed) > MAX_OWNERS:
            raise RegistryFault(
                f"more than {MAX_OWNERS} domains have known owners; later ones are not published"
            )
        self._publish(changed)
        self._owners = changed

    async def _keep_held(self) -> None:
        """Look up the names that clients hold again, each when its TTL is over."""
        while True:
            await self._sleep(1.0)
            if self.status.outages_in_a_row:
                continue  # the resolver's own polls tell when it answers again
            if self._renewal_is_due():
                with self.status.poll():
                    await self._renew_unchanged()
            for _ in range(max(1, int(self._names_a_second))):
                # One of each, because clients may request any number of new names.
                names = [name for name in (self._next_held(), self._next_wanted()) if name]
                if not names:
                    break
                with self.status.poll():
                    for name in names:
                        await self.resolve(name)

    def _renewal_is_due(self) -> bool:
        """Tell whether the first of many names is due; once a TTL."""
        now = self._clock()
        first = next(iter(self._held.values()), now + 1)
        return len(self._held) >= MIN_RENEWED and first <= now and self._renew_at <= now

    async def _renew_unchanged(self) -> None:
        """Renew what clients hold and what has not changed, in place of a look-up for each name.

        What has changed, and all of it where that can't be told, is looked up.
        """
        self._renew_at = until = self._clock() + self._positive_ttl_seconds
        unchanged = frozenset(await self._resolver.unchanged())
        for number, name in enumerate(tuple(self._held) if unchanged else ()):
            patterns = [each for part in self._resolver.patterns(name) for each in part]
            if name in self._held and patterns and self._renew(patterns, unchanged, until):
                self._held[name] = until
                self._held.move_to_end(name)
            if number % _RENEWED_A_TURN == 0:
                await asyncio.sleep(0)

    def _renew(self, patterns: list[str], unchanged: frozenset[str], until: float) -> bool:
        """Renew the answers of these domains; false, and nothing is, if one may have changed."""
        known = {each: self._remembered.get(each) for each in patterns if each in unchanged}
        if len(known) < len(patterns) or None in known.values():
            return False
        for pattern, remembered in known.items():
            if remembered is not None:
                self._remembered[pattern] = remembered._replace(until=until)
        return True

    def _next_wanted(self) -> str | None:
        name = next(iter(self._wanted), None)
        if name is not None:
            del self._wanted[name]
        return name

    def _next_held(self) -> str | None:
        name = next(iter(self._held), None)
        if name is None or self._held[name] > self._clock():
            return None
        # Moved back even if the look-up fails, so that a failure is not retried at once.
        self._held[name] = self._clock() + self._negative_ttl_seconds
        self._held.move_to_end(name)
        return name

    async def start(self) -> None:
        """Start the resolver. Raises ``Fault``."""
        await self._resolver.start()

    async def run(self) -> None:
        """Keep the resolver and the names that clients hold up to date, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._resolver.run())
            tasks.create_task(self._keep_held())

    def _recall(self, pattern: str) -> _Remembered | None:
        remembered = self._remembered.get(pattern)
        return remembered if remembered is not None and remembered.until > self._clock() else None

    async def _learn(self, patterns: list[str]) -> None:
        missing = [pattern for pattern in patterns if self._recall(pattern) is None]
        answers = await asyncio.gather(*map(self._look_up, missing), return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer

    async def _look_up(self, pattern: str) -> None:
        try:
            found = await self._resolver.look_up(pattern)
        except Exception:
            self.outcomes["failed"] += 1
            raise
        self.outcomes["ok"] += 1
        ttl = self._negative_ttl_seconds if found is None else self._positive_ttl_seconds
        self._remembered[pattern] = _Remembered(found, self._clock() + ttl)
        self._remembered.move_to_end(pattern)
        while len(self._remembered) > MAX_REMEMBERED:
            self._remembered.popitem(last=False)
