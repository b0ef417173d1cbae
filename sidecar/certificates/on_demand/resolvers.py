"""Registries that are asked for one name at a time, and remembered for a while.

A Domain Resolver over HTTP, or the entries below a prefix of Vault KV. What was learnt is
served from memory until its time is over; a resolver that does not answer then makes new
names unobtainable and touches none that is held.
"""

import asyncio
import json
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote

from sidecar.certificates.on_demand.domains import (
    UNRESOLVED,
    Registration,
    RegistryFault,
    Unresolved,
    check_answer,
    check_owner,
    patterns_above,
    read_registration,
)
from sidecar.certificates.on_demand.names import parents_of
from sidecar.certificates.wildcards import wildcard_of
from sidecar.common.blocking import BlockingRunner, BlockingRunnerBusy
from sidecar.common.http_client import failure, make_session
from sidecar.common.polling import PollLoop, PollStatus
from sidecar.common.registered_domains import NO_DOMAINS, RegisteredDomains
from sidecar.config.on_demand import HttpRegistry, VaultKvPrefixRegistry
from sidecar.vault.errors import VaultNotFound
from sidecar.vault.ports import KvLister, KvReader

MAX_REMEMBERED = 100_000
MAX_HELD = 100_000
MAX_WANTED = 20_000
MAX_OWNERS = 200_000
MAX_ANSWER_BYTES = 65_536
_THREADS = 4
_PATIENCE = 2.0
_log = logging.getLogger("sidecar.domains")
_OK, _NOT_FOUND, _GONE = 200, 404, 410


async def _nothing() -> None:
    """Nobody has to be told."""


class Patterns(NamedTuple):
    """What is to be looked up for a name: under what it stands itself, and what is above it."""

    own: list[str]
    above: list[str]


class Resolver(Protocol):
    """Answers for one domain at a time."""

    name: str

    def patterns(self, name: str) -> Patterns:
        """Return what is to be looked up; nothing for a name known not to be there."""

    async def look_up(self, pattern: str) -> Registration | None:
        """Return the registration of a domain. Raises ``Fault``."""

    def lists(self, pattern: str) -> bool:
        """Tell whether a domain may be registered, as far as that is known unasked."""

    async def start(self) -> None:
        """Get ready. Raises ``Fault``."""

    async def run(self) -> None:
        """Keep ready, until cancelled."""

    async def refresh(self) -> None:
        """Get ready anew, now."""

    @property
    def status(self) -> PollStatus:
        """How that goes."""


class _Remembered(NamedTuple):
    registration: Registration | None
    until: float


class ResolvedRegistry:
    """What a resolver has answered, each for its time."""

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
        """``publish`` gets whose the known domains are whenever that has changed.

        So many ``names_a_second`` that clients hold are asked for again when their time is over.
        """
        self._resolver = resolver
        self._names_a_second = names_a_second
        self._sleep = sleep
        self._publish = publish
        self._owners = NO_DOMAINS
        self._held: OrderedDict[str, float] = OrderedDict()
        """The names that clients hold, and when each is to be asked for again; soonest first."""
        self._wanted: dict[str, None] = {}
        """Names that clients hold and that were not asked for yet, in their order."""
        self._positive_ttl_seconds = positive_ttl_seconds
        self._negative_ttl_seconds = negative_ttl_seconds
        self._clock = clock
        self._remembered: OrderedDict[str, _Remembered] = OrderedDict()
        self.outcomes = {"ok": 0, "failed": 0}

    def __len__(self) -> int:
        """How many answers are remembered."""
        return len(self._remembered)

    def find(self, name: str) -> Registration | Unresolved | None:
        """Return who registered a name, as far as that is remembered. Raises ``NameRefused``."""
        own, above = self._resolver.patterns(name)
        known = [self._recall(pattern) for pattern in own]
        found = next((each.registration for each in known if each and each.registration), None)
        if found is None:
            return UNRESOLVED if None in known else None
        known += map(self._recall, above)
        check_owner(found, (each.registration for each in known if each is not None))
        return UNRESOLVED if None in known else found

    async def resolve(self, name: str) -> None:
        """Look up what is not remembered; the domains above only if the name is there."""
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
        """Find out in good time whose a name is that clients hold already."""
        if name not in self._held and len(self._wanted) < MAX_WANTED and self._may_be_there(name):
            self._wanted.setdefault(name)

    def _may_be_there(self, name: str) -> bool:
        own, _ = self._resolver.patterns(name)
        return bool(own)

    async def refresh(self) -> None:
        """Have the resolver get ready anew; what is known of domains ends with its time."""
        await self._resolver.refresh()

    @property
    def status(self) -> PollStatus:
        """How the resolver's polls go."""
        return self._resolver.status

    def _note_owners(self, patterns: list[str]) -> None:
        """Publish whose these are, as far as it is known; what is unknown stays as it was."""
        known = {pattern: self._recall(pattern) for pattern in patterns}
        self._set_owners(
            {
                pattern: None if each.registration is None else each.registration.owner
                for pattern, each in known.items()
                if each is not None
            }
        )

    def drop_unlisted(self) -> None:
        """Forget the owners of domains that are listed no more."""
        lists = self._resolver.lists
        gone = [domain for shard in self._owners.shards for domain in shard if not lists(domain)]
        self._set_owners(dict.fromkeys(gone))

    def _set_owners(self, owners: Mapping[str, str | None]) -> None:
        changed = self._owners.changed(owners)
        if changed is self._owners:
            return
        if len(changed) > MAX_OWNERS:
            raise RegistryFault(f"the owners of more than {MAX_OWNERS} domains are known")
        self._owners = changed
        self._publish(changed)

    async def _keep_held(self) -> None:
        """Ask again for the names that clients hold, each when its time is over."""
        while True:
            await self._sleep(1.0)
            for _ in range(max(1, int(self._names_a_second))):
                # Both have their turn: strangers may have many names wanted.
                names = [name for name in (self._next_held(), self._next_wanted()) if name]
                if not names:
                    break
                with self.status.poll():
                    for name in names:
                        await self.resolve(name)

    def _next_wanted(self) -> str | None:
        name = next(iter(self._wanted), None)
        if name is not None:
            del self._wanted[name]
        return name

    def _next_held(self) -> str | None:
        name = next(iter(self._held), None)
        if name is None or self._held[name] > self._clock():
            return None
        # Asked or not, it has had its turn: what fails is no reason to ask at once again.
        self._held[name] = self._clock() + self._negative_ttl_seconds
        self._held.move_to_end(name)
        return name

    async def start(self) -> None:
        """Get the resolver ready. Raises ``Fault``."""
        await self._resolver.start()

    async def run(self) -> None:
        """Keep the resolver ready, and what clients hold fresh, until cancelled."""
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


class HttpResolver:
    """A Domain Resolver: 200 with a registration as JSON, or 404 (410) for none.

    ``allow`` says whether one more query may be made now: strangers choose the names.
    """

    def __init__(self, settings: HttpRegistry, allow: Callable[[], bool]) -> None:
        self._settings = settings
        self._allow = allow
        self._bridge = BlockingRunner("domain-resolver", _THREADS)
        self._session: Any = None
        self._gate = asyncio.Semaphore(_THREADS)
        self.name = settings.url
        self.status = PollStatus(
            "domains", "the domain resolver", _log, kept="the domains known before stay in force"
        )

    def patterns(self, name: str) -> Patterns:
        """Ask for the name, and for each name that it is below."""
        return Patterns([name], parents_of(name))

    async def look_up(self, pattern: str) -> Registration | None:
        """GET one name. Raises ``RegistryFault``."""
        if not self._allow():
            raise RegistryFault("more names are asked for than may be passed on to the resolver")
        async with self._gate:
            try:
                status, body = await self._bridge.run(
                    lambda: self._get(pattern), self._settings.timeout_seconds * _PATIENCE
                )
            except (BlockingRunnerBusy, TimeoutError):
                raise RegistryFault("the domain resolver does not answer") from None
        if status in {_NOT_FOUND, _GONE}:
            return None
        if status != _OK:
            raise RegistryFault(f"the domain resolver answers {status}")
        try:
            entry = json.loads(body)
        except (ValueError, RecursionError):
            raise RegistryFault("the domain resolver's answer is no JSON") from None
        return check_answer(read_registration(entry, pattern), pattern)

    def lists(self, _pattern: str) -> bool:
        """Say that any domain may be registered."""
        return True

    async def start(self) -> None:
        """Nothing has to be known beforehand."""

    async def run(self) -> None:
        """Nothing has to be kept up with."""

    async def refresh(self) -> None:
        """Nothing has to be kept up with."""

    def close(self) -> None:
        """Take no further calls."""
        self._bridge.close()

    def _get(self, name: str) -> tuple[int, bytes]:
        if self._session is None:
            self._session = make_session(
                ca_file=self._settings.ca_file, max_response_bytes=MAX_ANSWER_BYTES
            )
        try:
            response = self._session.get(
                self._settings.url.replace("{name}", quote(name, safe="")),
                headers={"accept": "application/json"},
                timeout=self._settings.timeout_seconds,
                allow_redirects=False,
            )
        except Exception as exc:  # noqa: BLE001 - what the libraries raise ends here
            why = failure(exc, [self._settings.ca_file])
            raise RegistryFault(f"the domain resolver: {why}") from None
        return response.status_code, response.content


class PrefixReader(KvLister, KvReader, Protocol):
    """What is asked of Vault."""


class KvPrefixResolver:
    """Entries below a prefix of Vault KV, named like their domains.

    The names are listed now and then, so that one that is not there is refused from memory;
    an entry is read when its domain is asked for.
    """

    def __init__(
        self,
        settings: VaultKvPrefixRegistry,
        vault: PrefixReader,
        *,
        sleep: Callable[[float], Awaitable[None]],
        on_change: Callable[[], Awaitable[None]] = _nothing,
    ) -> None:
        self._mount, self._prefix = settings.mount, settings.prefix
        self._vault = vault
        self._loop = PollLoop(self._refresh, lambda: settings.poll_seconds, sleep=sleep)
        self.on_change = on_change
        """Called when other names are listed than before."""
        self._listed: frozenset[str] = frozenset()
        self._untold = False
        """Whether a change was read that not everybody knows of yet."""
        self.name = f"Vault entries below {settings.mount}/{settings.prefix}"
        self.status = PollStatus(
            "domains",
            f"domain registry {self.name}",
            _log,
            kept="the names known before stay in force",
        )

    def patterns(self, name: str) -> Patterns:
        """Ask for those that are listed."""
        own = (name, wildcard_of(name))
        there = [pattern for pattern in own if pattern in self._listed]
        above = (each for each in patterns_above(name) if each not in own)
        return Patterns(there, [pattern for pattern in above if pattern in self._listed])

    async def look_up(self, pattern: str) -> Registration | None:
        """Read one entry. Raises ``Fault``."""
        key = f"_wildcard.{pattern[2:]}" if pattern.startswith("*.") else pattern
        try:
            secret = await self._vault.read_kv(self._mount, f"{self._prefix}/{key}")
        except VaultNotFound:
            return None  # deleted since it was listed
        found = read_registration(dict(secret.data), pattern)
        if found.domain != pattern:
            raise RegistryFault(f"the entry of {pattern} is for another domain")
        return found

    def lists(self, pattern: str) -> bool:
        """Tell whether there is an entry for a domain."""
        return pattern in self._listed

    async def start(self) -> None:
        """List the names. Raises ``VaultFault``."""
        await self._list()

    async def run(self) -> None:
        """List them again and again, until cancelled."""
        await self._loop.run()

    async def refresh(self) -> None:
        """List them now."""
        await self._loop.refresh()

    async def _refresh(self) -> None:
        with self.status.poll():
            self._untold = await self._list() or self._untold
            if self._untold:
                await self.on_change()
                self._untold = False

    async def _list(self) -> bool:
        before = self._listed
        keys = await self._vault.list_kv(self._mount, self._prefix)
        self._listed = frozenset(
            f"*.{key.removeprefix('_wildcard.')}" if key.startswith("_wildcard.") else key
            for key in keys
        )
        return self._listed != before
