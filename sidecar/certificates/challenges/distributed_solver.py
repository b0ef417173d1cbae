"""The challenges of orders in flight, answered by any sidecar of the fleet.

The CA asks the edge, and a load balancer picks the sidecar. So the sidecar that orders writes
token and answer into one entry of Vault KV (``challenge_list``), and a sidecar that is asked
for an unknown token reads that entry. All that wait share one read, and reads are spaced: a
million invented tokens cost a few reads a second and delay no real one. Nothing is read while
nobody asks. A token that was not listed is not looked for again for a moment. While Vault does
not answer nothing is looked for, and the request is decided like any other.
"""

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Collection, Iterable
from functools import partial

from sidecar.certificates.challenges.challenge_list import (
    HTTP,
    TLS_ALPN,
    TOKEN,
    Challenge,
    ChallengeFault,
    ChallengeList,
    Listed,
)
from sidecar.certificates.issuers.lease import FleetKv
from sidecar.common.clock import Now, monotonic_seconds
from sidecar.common.pacing import settle_paced
from sidecar.common.polling import PollStatus
from sidecar.vault.errors import VaultFault

_log = logging.getLogger("sidecar.certificates")
MAX_WAITING = 4096
READ_DISTANCE_SECONDS = 0.2
READ_SECONDS = 3.0
"""A read that takes longer is cancelled: CAs do not wait for long, and waiting costs memory."""
AWAY_SECONDS = 1.0
"""How long no token is looked for after a failed read."""
MISS_SECONDS = 1.0
"""How long a token that was not listed is not looked for again."""
MAX_MISSED = 4096

_Waiter = asyncio.Future[Listed]
_NOBODY = ""
"""In place of a token, for those who do not look for one token."""


class DistributedSolver:
    """The challenges of this sidecar's orders, and of the fleet's.

    ``clock`` is monotonic seconds.
    """

    def __init__(
        self,
        vault: FleetKv,
        mount: str,
        path: str,
        *,
        now: Now,
        sleep: Callable[[float], Awaitable[None]],
        jitter: Callable[[], float],
        clock: Callable[[], float] = monotonic_seconds,
    ) -> None:
        self._clock = clock
        self._make_list = partial(ChallengeList, vault, now=now, sleep=sleep, jitter=jitter)
        self._list = self._make_list(mount, path)
        self._sleep = sleep
        self._own: dict[str, Challenge] = {}
        self._waiting: deque[tuple[str, _Waiter]] = deque()
        self._asked = asyncio.Event()
        self._missed: OrderedDict[str, float] = OrderedDict()
        self._away_until = 0.0
        self._closed = False
        self.on_own_change: Callable[[str], None] = lambda _host: None
        """Called with the host whose challenge this sidecar publishes or withdraws."""
        self.status = PollStatus(
            "challenges",
            f"the fleet's challenges in {mount}/{path}",
            _log,
            kept="only challenges of this sidecar's own orders are answered",
        )

    def use_place(self, mount: str, path: str) -> None:
        """Keep the fleet's challenges in another entry from now on (a reload).

        Those of orders under way are answered by this sidecar from its memory.
        """
        self._list = self._make_list(mount, path)
        self.status.name = f"the fleet's challenges in {mount}/{path}"
        self._missed.clear()

    def find(self, token: str) -> Challenge | Awaitable[Challenge | None] | None:
        """Find a token of http-01: at once from memory, or with a read of the fleet's list."""
        own = self._own.get(token)
        if own is not None:
            return own if own.kind == HTTP else None
        if not self._may_ask() or not self._is_worth_a_look(token):
            return None
        return self._find_in_fleet(token)

    async def find_all(self, tokens: Collection[str]) -> Listed:
        """Find several tokens of http-01 with one read of the fleet's list."""
        unknown = [
            token for token in tokens if token not in self._own and self._is_worth_a_look(token)
        ]
        listed: Listed = {}
        if unknown and self._may_ask():
            listed = await self._next_read(_NOBODY)
            if self._clock() >= self._away_until:  # the read did not fail
                self._note_missed(token for token in unknown if token not in listed)
        known = {**listed, **self._own}
        return {
            token: known[token] for token in tokens if token in known and known[token].kind == HTTP
        }

    def find_own(self, host: str) -> Challenge | None:
        """Find a tls-alpn-01 challenge for a host among this sidecar's own."""
        return _for_host(self._own, host)

    async def find_host(self, host: str) -> Challenge | None:
        """Find a tls-alpn-01 challenge for a host in the fleet's list."""
        if not self._may_ask():
            return None
        return _for_host(await self._next_read(_NOBODY), host)

    def _may_ask(self) -> bool:
        return (
            not self._closed
            and len(self._waiting) < MAX_WAITING
            and self._clock() >= self._away_until
        )

    def _is_worth_a_look(self, token: str) -> bool:
        if not TOKEN.fullmatch(token):
            return False
        missed_at = self._missed.get(token)
        return missed_at is None or self._clock() - missed_at >= MISS_SECONDS

    async def _find_in_fleet(self, token: str) -> Challenge | None:
        if not self._may_ask():  # many look-ups were allowed in one iteration of the event loop
            return None
        found = (await self._next_read(token)).get(token)
        return found if found is not None and found.kind == HTTP else None

    async def _next_read(self, token: str) -> Listed:
        """Return the result of the next read of the list, which all waiters share."""
        waiter: _Waiter = asyncio.get_running_loop().create_future()
        self._waiting.append((token, waiter))
        self._asked.set()
        return await waiter

    async def run(self) -> None:
        """Read for those who wait, until cancelled; then release them."""
        try:
            while True:
                await self._asked.wait()
                self._asked.clear()
                await self._read_for_waiting()
                await self._sleep(READ_DISTANCE_SECONDS)
        finally:
            self._closed = True
            self._wake(self._take_waiting(), {})

    async def _read_for_waiting(self) -> None:
        """Read once, and release all that waited when it began, whatever the outcome."""
        waiting = self._take_waiting()
        listed: Listed = {}
        try:
            async with asyncio.timeout(READ_SECONDS):
                listed, _ = await self._list.read()
        except TimeoutError:
            self._away_until = self._clock() + AWAY_SECONDS
            self.status.failed(ChallengeFault(f"Vault did not answer within {READ_SECONDS:.0f} s"))
        except Exception as exc:  # noqa: BLE001 - the edge of a task: later waiters still get their read
            self._away_until = self._clock() + AWAY_SECONDS
            self.status.failed(exc)
        else:
            self.status.succeeded()
            self._note_missed(
                token for token, _ in waiting if token != _NOBODY and token not in listed
            )
        finally:
            self._wake(waiting, listed)

    def _take_waiting(self) -> deque[tuple[str, _Waiter]]:
        waiting, self._waiting = self._waiting, deque()
        return waiting

    @staticmethod
    def _wake(waiting: Iterable[tuple[str, _Waiter]], listed: Listed) -> None:
        settle_paced(deque((waiter, listed) for _, waiter in waiting))

    def _note_missed(self, tokens: Iterable[str]) -> None:
        """Remember tokens that were not listed; the oldest are dropped beyond the bound."""
        now = self._clock()
        for token in tokens:
            self._missed[token] = now
            self._missed.move_to_end(token)
        while len(self._missed) > MAX_MISSED:
            self._missed.popitem(last=False)

    async def check(self, _hosts: Collection[str]) -> None:
        """Do nothing: whether a host leads to our edge shows when the CA connects."""

    async def publish(self, challenges: list[Challenge]) -> None:
        """Publish challenges to the fleet. Raises ``VaultFault`` or ``ChallengeFault``."""
        self._own.update({each.token: each for each in challenges})
        self._announce(challenges)
        await self._list.change(lambda listed: listed | {each.token: each for each in challenges})

    async def withdraw(self, challenges: list[Challenge]) -> None:
        """Withdraw challenges. Never raises: those that stay in Vault expire."""
        for each in challenges:
            self._own.pop(each.token, None)
        self._announce(challenges)
        gone = {each.token for each in challenges}
        try:
            await self._list.change(
                lambda listed: {token: c for token, c in listed.items() if token not in gone}
            )
        except (VaultFault, ChallengeFault) as fault:
            _log.warning("challenges could not be withdrawn and will expire: %s", fault)

    def _announce(self, challenges: list[Challenge]) -> None:
        for each in challenges:
            self.on_own_change(each.host)


def _for_host(listed: Listed, host: str) -> Challenge | None:
    found = (each for each in listed.values() if each.host == host and each.kind == TLS_ALPN)
    return next(found, None)
