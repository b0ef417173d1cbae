"""Proves names over dns-01: resolves where a value belongs, writes it, waits, removes it.

A value is noted before it is written, and whatever was noted is removed afterwards: after
success, after a failure at any step, and when the order is cancelled.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

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
REMOVE_SECONDS = 25.0
"""For removing all values of an order; two updates that hang fit in."""
_REMOVALS = 2
_REMOVAL_PAUSE_SECONDS = 0.5


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
        self._written: dict[str, TxtRecord] = {}
        """What may be in the DNS, by the challenge's token."""
        self._removing: set[asyncio.Task[None]] = set()
        self.outcomes: dict[str, int] = {}
        """Counts of challenges by outcome: ``ok`` or the reason of the fault."""
        self.left_behind = 0
        """Values that could not be removed."""
        self.propagation_seconds = 0.0
        """How long values took to be shown by all servers, in total."""

    async def publish(self, challenges: Sequence[Challenge]) -> None:
        """Put challenges into the DNS, and wait until all servers show them.

        Raises ``Dns01Fault`` or ``VaultFault``, when all of them have been tried.
        """
        await self._writer.begin()
        resolver = ChallengeResolver(self._settings.resolvers)
        at_once = asyncio.Semaphore(AT_ONCE)
        outcomes = await asyncio.gather(
            *(self._publish(each, resolver, at_once) for each in challenges),
            return_exceptions=True,
        )
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    async def withdraw(self, challenges: Sequence[Challenge]) -> None:
        """Remove what was written for challenges. Never raises a ``Fault``.

        A cancellation of the caller does not end it: its task removes them all the same.
        """
        records = [self._written.pop(each.token, None) for each in challenges]
        task = asyncio.create_task(self._remove_all([each for each in records if each]))
        self._removing.add(task)
        task.add_done_callback(self._removing.discard)
        await asyncio.shield(task)

    def close(self) -> None:
        """Make no further calls."""
        self._writer.close()

    async def _publish(
        self, challenge: Challenge, resolver: ChallengeResolver, at_once: asyncio.Semaphore
    ) -> None:
        try:
            async with at_once:
                record = await _place(challenge, resolver)
                self._writer.check(record)
                self._written[challenge.token] = record
                await self._writer.add(record)
                servers = await resolver.servers_of(record.zone)
            seconds = await self._watch.wait(record, servers)
        except Fault as fault:
            self._count(fault.reason if isinstance(fault, Dns01Fault) else "vault")
            raise
        self.propagation_seconds += seconds
        self._count("ok")
        _log.info(
            "dns-01: the value for %s is in the zone %s at %s, after %.1f s",
            challenge.host,
            show(record.zone),
            show(record.name),
            seconds,
        )

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


async def _place(challenge: Challenge, resolver: ChallengeResolver) -> TxtRecord:
    """Find where the value of a challenge belongs."""
    start = challenge_name(challenge.host)
    name = await resolver.follow(start)
    zone = await resolver.zone_of(name)
    return TxtRecord(challenge.host, start, name, zone, txt_value(challenge.answer))
