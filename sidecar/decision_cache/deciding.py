"""Joins a process that answers Checks to the decision cache: its epoch, its beats, its payloads.

The epoch is raised in the turn of the loop in which a snapshot was exchanged, and by nothing
else. The beat comes from that same loop, never from a thread: a process whose loop stands still
applies no revocation, and must not look as if it did.
"""

import asyncio
from collections.abc import Callable, Iterable

from sidecar.authz.decision import Snapshot
from sidecar.authz.exchange import decides_alike
from sidecar.authz.routes import Route
from sidecar.authz.service import CheckService
from sidecar.authz.snapshot import compile_routes
from sidecar.config import model
from sidecar.decision_cache.answers import LeasedAnswers
from sidecar.decision_cache.control import CommonArea, WorkerWord, secret_of
from sidecar.decision_cache.credits import CreditSlots
from sidecar.decision_cache.memory import SharedMemory
from sidecar.decision_cache.route_rows import scopes_of

BEAT_SECONDS = 0.05


class DecidingProcess:
    """One process that answers Checks. ``clock_ns`` is CLOCK_MONOTONIC."""

    def __init__(
        self,
        memory: SharedMemory,
        number: int,
        config: model.Config,
        service: CheckService,
        credit_slots: CreditSlots,
        *,
        clock_ns: Callable[[], int],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._word = WorkerWord(memory, number, clock_ns)
        self._timer: asyncio.TimerHandle | None = None
        self._area = CommonArea(memory, number)
        self.answers = LeasedAnswers(
            secret_of(memory),
            number,
            scopes_of(compile_routes(config)),
            credit_slots,
            self._area.place,
        )
        self.answers.begin_epoch(self._word.epoch)
        service.repeatable = self.answers
        service.on_exchange = self._exchanged

    @property
    def epoch(self) -> int:
        """The epoch under which this process decides."""
        return self._word.epoch

    def use_routes(self, routes: Iterable[Route]) -> None:
        """Decide by other routes, with the exchange of the snapshot that follows at once."""
        self.answers.use_scopes(scopes_of(routes))

    def hold(self, held: bool) -> None:
        """Send payloads while any Envoy holds a lease."""
        self.answers.held = held

    def start(self) -> None:
        """Beat from now on."""
        if self._timer is None:
            self._beat()

    def stop(self) -> None:
        """End every lease."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._word.rest()

    def _beat(self) -> None:
        self._word.beat()
        self._timer = self._loop.call_later(BEAT_SECONDS, self._beat)

    def _exchanged(self, held: Snapshot, fresh: Snapshot) -> None:
        if not decides_alike(held, fresh):
            self._word.raise_epoch()
            self._area.clear()
            self.answers.begin_epoch(self._word.epoch)
