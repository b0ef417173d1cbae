"""The http-01 challenges of orders in flight, answered by whichever sidecar the CA reaches.

The CA asks the edge, and a load balancer picks the sidecar; so the one that orders writes
token and answer into one entry of Vault KV, and a sidecar that is asked for a token it does
not know reads that entry. All that wait share one read, and reads keep a distance: a million
made-up tokens cost a few reads a second, and crowd out no real one. Nothing is read while
nobody asks.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from sidecar.certs.lease import FleetKv, read_entry
from sidecar.clock import Now
from sidecar.errors import Fault
from sidecar.polling import PollStatus
from sidecar.vault.errors import VaultConflict, VaultFault

_log = logging.getLogger("sidecar.certs")
TOKEN = re.compile(r"[A-Za-z0-9_-]{16,128}")
"""RFC 8555 §8.3: base64url, and so no path; ours are bounded."""
MAX_ANSWER_CHARACTERS = 256
MAX_IN_FLIGHT = 1000
MAX_WAITING = 4096
READ_DISTANCE_SECONDS = 0.2
LIFE_SECONDS = 3600.0
"""How long a challenge is answered whose order never ended: its sidecar died."""
_WRITES = 30


HTTP, TLS_ALPN = "http-01", "tls-alpn-01"


class ChallengeFault(Fault):
    """A challenge can't be set up."""

    retryable = True


class Challenge(NamedTuple):
    """The key authorization that answers ``token`` on ``host``; ``kind`` says how it is shown."""

    token: str
    host: str
    answer: str
    until: float
    """When it ends, whatever became of its order (Unix seconds)."""
    kind: str = HTTP


class ChallengeBoard:
    """The challenges of this sidecar's orders, and of the fleet's."""

    def __init__(
        self,
        vault: FleetKv,
        mount: str,
        path: str,
        *,
        now: Now,
        sleep: Callable[[float], Awaitable[None]],
        jitter: Callable[[], float],
    ) -> None:
        self._vault = vault
        self._mount = mount
        self._path = path
        self._now = now
        self._sleep = sleep
        self._jitter = jitter
        self._own: dict[str, Challenge] = {}
        self._waiting: list[asyncio.Future[Mapping[str, Challenge]]] = []
        self._asked = asyncio.Event()
        self.on_own_change: Callable[[str], None] = lambda _host: None
        """Called with the host whose challenge of ours is put up or taken down."""
        self.reads = 0
        self.status = PollStatus(
            "challenges",
            f"the fleet's challenges in {mount}/{path}",
            _log,
            kept="only those of this sidecar's own orders are answered",
        )

    def find(self, token: str) -> Challenge | Awaitable[Challenge | None] | None:
        """Find a token of http-01: at once if it is ours or is none, else in the fleet's."""
        own = self._own.get(token)
        if own is not None:
            return own if own.kind == HTTP else None
        if not TOKEN.fullmatch(token) or len(self._waiting) >= MAX_WAITING:
            return None
        return self._find_in_fleet(token)

    def find_own(self, host: str) -> Challenge | None:
        """Find a challenge of tls-alpn-01 for a host among ours."""
        return _for_host(self._own, host)

    async def find_host(self, host: str) -> Challenge | None:
        """Find a challenge of tls-alpn-01 for a host among the fleet's."""
        if len(self._waiting) >= MAX_WAITING:
            return None
        return _for_host(await self._next_read(), host)

    async def _find_in_fleet(self, token: str) -> Challenge | None:
        found = (await self._next_read()).get(token)
        return found if found is not None and found.kind == HTTP else None

    async def _next_read(self) -> Mapping[str, Challenge]:
        """Return what the next read of the list brings; all that wait share it."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Mapping[str, Challenge]] = loop.create_future()
        self._waiting.append(waiter)
        self._asked.set()
        return await waiter

    async def run(self) -> None:
        """Read for those who wait, until cancelled."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            waiting, self._waiting = self._waiting, []
            found: Mapping[str, Challenge] = {}
            try:
                with self.status.poll():
                    found, _ = await self._read()
            finally:
                for waiter in waiting:
                    if not waiter.done():
                        waiter.set_result(found)
            await self._sleep(READ_DISTANCE_SECONDS)

    async def publish(self, challenges: list[Challenge]) -> None:
        """Have the whole fleet answer these. Raises ``VaultFault`` or ``ChallengeFault``."""
        self._own.update({each.token: each for each in challenges})
        self._say(challenges)
        await self._change(lambda listed: listed | {each.token: each for each in challenges})

    async def withdraw(self, challenges: list[Challenge]) -> None:
        """Answer these no more. Never raises: what stays in Vault ends by itself."""
        for each in challenges:
            self._own.pop(each.token, None)
        self._say(challenges)
        gone = {each.token for each in challenges}
        try:
            await self._change(
                lambda listed: {token: c for token, c in listed.items() if token not in gone}
            )
        except (VaultFault, ChallengeFault) as fault:
            _log.warning("challenges are left to end by themselves: %s", fault)

    def _say(self, challenges: list[Challenge]) -> None:
        for each in challenges:
            self.on_own_change(each.host)

    async def _change(
        self, change: Callable[[dict[str, Challenge]], Mapping[str, Challenge]]
    ) -> None:
        for _ in range(_WRITES):
            listed, version = await self._read()
            changed = change(dict(listed))
            if len(changed) > MAX_IN_FLIGHT:
                raise ChallengeFault(f"{MAX_IN_FLIGHT} challenges are in flight in the fleet")
            data = {token: each._asdict() for token, each in changed.items()}
            try:
                await self._vault.write_kv(self._mount, self._path, {"challenges": data}, version)
            except VaultConflict:
                await self._sleep(0.05 * (0.5 + self._jitter()))
            else:
                return
        raise ChallengeFault("the fleet's list of challenges is written by too many at once")

    async def _read(self) -> tuple[Mapping[str, Challenge], int]:
        """Read what is listed and has not ended, and the entry's version."""
        self.reads += 1
        entry, version = await read_entry(self._vault, self._mount, self._path)
        listed = entry.data.get("challenges") if entry is not None else None
        found: dict[str, Challenge] = {}
        for token, raw in listed.items() if isinstance(listed, dict) else ():
            challenge = _parse(token, raw)
            if challenge is not None and challenge.until > self._now():
                found[token] = challenge
        return found, version


def _for_host(listed: Mapping[str, Challenge], host: str) -> Challenge | None:
    found = (each for each in listed.values() if each.host == host and each.kind == TLS_ALPN)
    return next(found, None)


def _parse(token: str, raw: Any) -> Challenge | None:
    match raw:
        case {
            "host": str(host),
            "answer": str(answer),
            "until": int() | float() as until,
            "kind": str(kind),
        }:
            if TOKEN.fullmatch(token) and len(answer) <= MAX_ANSWER_CHARACTERS:
                return Challenge(token, host, answer, float(until), kind)
    return None
