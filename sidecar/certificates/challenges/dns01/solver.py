"""Proves names over dns-01: resolves where a value belongs, writes it, waits, removes it.

A value is noted before it is written, and whatever was noted is removed afterwards: after
success, after a failure at any step, and when the order is cancelled.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from sidecar.certificates.challenges.challenge_list import Challenge
from sidecar.certificates.challenges.dns01.faults import Dns01Fault
from sidecar.certificates.challenges.dns01.names import (
    TxtRecord,
    challenge_name,
    show,
    txt_value,
)
from sidecar.certificates.challenges.dns01.nameservers import PropagationWatch
from sidecar.certificates.challenges.dns01.resolver import ChallengeResolver
from sidecar.certificates.challenges.dns01.writer import TxtWriter
from sidecar.common.errors import Fault
from sidecar.config.dns01 import Dns01Settings

_log = logging.getLogger("sidecar.certificates")
AT_ONCE = 8
"""Challenges of one order that are written at once; all are waited for together."""
REMOVE_SECONDS = 12.0
"""For removing all values of an order; two updates that hang fit in."""
_REMOVALS = 2
_REMOVAL_PAUSE_SECONDS = 0.5

T = TypeVar("T")


class Dns01Solver:
    """The challenges of one issuer's orders. ``clock`` is monotonic seconds."""

    def __init__(
        self,
        settings: Dns01Settings,
        writer: TxtWriter,
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._settings = settings
        self._writer = writer
        self._sleep = sleep
        self._watch = PropagationWatch(
            settings.propagation_seconds, settings.nameserver_port, clock=clock, sleep=sleep
        )
        self._written: dict[Challenge, TxtRecord] = {}
        """What may be in the DNS."""
        self._uses: Counter[TxtRecord] = Counter()
        """How many challenges need a value: a CA may pose one to two orders at once."""
        self._removing: set[asyncio.Task[None]] = set()
        self.outcomes: dict[str, int] = {}
        """Counts of challenges by outcome: ``ok`` or the reason of the fault."""
        self.left_behind = 0
        """Values that could not be removed."""
        self.propagation_seconds = 0.0
        """How long values took to be shown by all servers, in total."""

    async def check(self, hosts: Sequence[str]) -> None:
        """Raise a ``Fault`` if hosts can't be proved, before the CA is asked for anything.

        CAs count orders, and a customer whose CNAME is missing may be asked for again and again.
        """
        await self._writer.begin()
        resolver = ChallengeResolver(self._settings.resolvers)
        await self._each(
            lambda host, at_once: self._check(host, resolver, at_once), dict.fromkeys(hosts)
        )

    async def publish(self, challenges: Sequence[Challenge]) -> None:
        """Put challenges into the DNS, and wait until all servers show them.

        Raises ``Dns01Fault`` or ``VaultFault``, when all of them have been tried.
        """
        await self._writer.begin()
        resolver = ChallengeResolver(self._settings.resolvers)
        await self._each(
            lambda challenge, at_once: self._publish(challenge, resolver, at_once), challenges
        )

    async def withdraw(self, challenges: Sequence[Challenge]) -> None:
        """Remove what was written for challenges. Never raises a ``Fault``.

        A cancellation of the caller does not end it: its task removes them all the same.
        """
        task = asyncio.create_task(self._remove_all(list(self._unused(challenges))))
        self._removing.add(task)
        task.add_done_callback(self._removing.discard)
        await asyncio.shield(task)

    def close(self) -> None:
        """Make no further calls."""
        self._writer.close()

    async def _each(
        self, step: Callable[[T, asyncio.Semaphore], Awaitable[None]], given: Iterable[T]
    ) -> None:
        """Do a step for each; raise the first fault when all of them have ended."""
        at_once = asyncio.Semaphore(AT_ONCE)
        outcomes = await asyncio.gather(
            *(self._counted(step(each, at_once)) for each in given), return_exceptions=True
        )
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    async def _counted(self, step: Awaitable[None]) -> None:
        try:
            await step
        except Fault as fault:
            self._count(fault.reason if isinstance(fault, Dns01Fault) else "vault")
            raise

    async def _check(
        self, host: str, resolver: ChallengeResolver, at_once: asyncio.Semaphore
    ) -> None:
        async with at_once:
            await self._writer.check(await _place(host, b"", resolver))

    async def _publish(
        self, challenge: Challenge, resolver: ChallengeResolver, at_once: asyncio.Semaphore
    ) -> None:
        async with at_once:
            record = await _place(challenge.host, txt_value(challenge.answer), resolver)
            await self._writer.check(record)
            self._written[challenge] = record
            self._uses[record] += 1
            await self._writer.add(record)
            servers = await resolver.servers_of(record.zone)
        seconds = await self._watch.wait(record, servers)
        self.propagation_seconds += seconds
        self._count("ok")
        _log.info(
            "dns-01: the value for %s is in the zone %s at %s, after %.1f s",
            challenge.host,
            show(record.zone),
            show(record.name),
            seconds,
        )

    def _unused(self, challenges: Sequence[Challenge]) -> Iterator[TxtRecord]:
        """Yield the values that no other challenge needs, and forget them."""
        for each in challenges:
            record = self._written.pop(each, None)
            if record is None:
                continue
            self._uses[record] -= 1
            if not self._uses[record]:
                del self._uses[record]
                yield record

    async def _remove_all(self, records: Sequence[TxtRecord]) -> None:
        left = set(records)
        try:
            async with asyncio.timeout(REMOVE_SECONDS):
                await asyncio.gather(*(self._remove(each, left) for each in records))
        except TimeoutError:
            self.left_behind += len(left)
            names = ", ".join(sorted({show(each.name) for each in left}))
            _log.warning(
                "dns-01: TXT values could not be removed within %.0f s and may be left: %s",
                REMOVE_SECONDS,
                names,
            )

    async def _remove(self, record: TxtRecord, left: set[TxtRecord]) -> None:
        """Remove one value, or say that it is left; ``left`` are those not done yet."""
        for attempt in range(1, _REMOVALS + 1):
            try:
                await self._writer.remove(record)
            except Fault as fault:
                if attempt == _REMOVALS:
                    self.left_behind += 1
                    _log.warning(
                        "dns-01: the TXT value %s is left at %s: %s; remove it by hand",
                        record.value.decode("ascii"),
                        show(record.name),
                        fault,
                    )
                else:
                    await self._sleep(_REMOVAL_PAUSE_SECONDS)
            else:
                break
        left.discard(record)

    def _count(self, outcome: str) -> None:
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1


async def _place(host: str, value: bytes, resolver: ChallengeResolver) -> TxtRecord:
    """Find where the value for a host belongs."""
    start = challenge_name(host)
    name = await resolver.follow(start)
    return TxtRecord(host, start, name, await resolver.zone_of(name), value)
