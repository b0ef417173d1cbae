"""Look-ups in a slow registry: one per name at a time, and a bounded number in all."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable

from sidecar.certificates.on_demand.domains import DomainRegistry
from sidecar.certificates.on_demand.names import NameRefused
from sidecar.common.faults import call_each, report_to_loop
from sidecar.common.polling import PollFault, fault_of

MAX_QUEUED = 1024
MAX_UNRESOLVABLE = 4096


class ResolutionQueue:
    """The open look-ups, and the names whose last look-up failed."""

    def __init__(
        self,
        registry: DomainRegistry,
        *,
        retry_seconds: float,
        clock: Callable[[], float],
        resolved: Callable[[str], None],
        failed: Callable[[str, str], None],
    ) -> None:
        """Call ``resolved`` with each spelling that waited, ``failed`` with name and message."""
        self._registry = registry
        self._retry_seconds = retry_seconds
        self._clock = clock
        self._resolved = resolved
        self._failed = failed
        self._open: dict[str, tuple[asyncio.Task[None], set[str]]] = {}
        self._unresolvable: OrderedDict[str, float] = OrderedDict()

    def use(self, registry: DomainRegistry, retry_seconds: float) -> None:
        """Ask another registry from now on; look-ups under way end with the one before."""
        if registry is not self._registry:
            self._unresolvable.clear()
        self._registry, self._retry_seconds = registry, retry_seconds

    def ask(self, canonical: str, asked: str) -> None:
        """Look up the owner of a name. Raises ``NameRefused`` if that is not possible now."""
        running = self._open.get(canonical)
        if running is not None:
            running[1].add(asked)
            return
        if self._unresolvable.get(canonical, 0.0) > self._clock():
            raise NameRefused("registry_unavailable")
        if len(self._open) >= MAX_QUEUED:
            raise NameRefused("registry_busy")
        waiting = {asked}
        self._open[canonical] = asyncio.create_task(self._run(canonical, waiting)), waiting

    async def close(self) -> None:
        """Cancel the open look-ups."""
        tasks = [task for task, _ in self._open.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, canonical: str, waiting: set[str]) -> None:
        """Ask the registry, and notify those who wait whatever the outcome."""
        try:
            await self._registry.resolve(canonical)
        except Exception as exc:  # noqa: BLE001 - a task's edge: a name waits for no defect
            self._remember_failure(canonical)
            fault = fault_of(exc, "the domain registry")
            if isinstance(fault, PollFault):
                report_to_loop(exc)
            call_each([self._failed], canonical, str(fault))
        else:
            self._unresolvable.pop(canonical, None)
        finally:
            del self._open[canonical]
        for asked in waiting:
            call_each([self._resolved], asked)

    def _remember_failure(self, canonical: str) -> None:
        self._unresolvable[canonical] = self._clock() + self._retry_seconds
        self._unresolvable.move_to_end(canonical)
        while len(self._unresolvable) > MAX_UNRESOLVABLE:
            self._unresolvable.popitem(last=False)
