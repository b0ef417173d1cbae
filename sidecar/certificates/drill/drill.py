"""Orders certificates that are not served, and says of each whether it could be.

Issuers work side by side, the orders of one after another. Each order is placed with the bare
issuer: no lease of the fleet, no shared store. What comes is checked by the issuer, as for
serving; then against its CA's CRLs; then Envoy is asked about all of it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from sidecar.certificates.drill.envoy import EnvoyFault
from sidecar.certificates.drill.plan import Rehearsal
from sidecar.certificates.issuers.base import Issuers
from sidecar.certificates.on_demand.issuance_limits import IssuanceRateExceeded
from sidecar.common.clock import Now
from sidecar.common.errors import Fault
from workload.x509.material import Material

OK, FAILED, SKIPPED = "ok", "failed", "skipped"


@dataclass(frozen=True, slots=True)
class DrillResult:
    """What came of one order. ``not_after`` is Unix seconds, the end of the whole chain."""

    name: str
    issuer: str
    outcome: str
    detail: str = ""
    serial: str = ""
    not_after: float | None = None
    seconds: float = 0.0
    envoy: str = ""
    """``takes it``, or its words; empty where it was not asked."""


Keep = Callable[[Rehearsal, Material], Awaitable[None]]
"""Stores a certificate in the second store. Raises ``Fault``."""
Permit = Callable[[Rehearsal], Awaitable[str]]
"""Returns why an order may not be placed now; empty if it may. Raises ``Fault``."""
CrlProblem = Callable[[str, str], Awaitable[str]]
"""Returns what the CRLs of an issuer say against a serial; empty if nothing. Raises ``Fault``."""
Judge = Callable[[Sequence[Material]], Awaitable[Sequence[str]]]


async def keep_nothing(_rehearsal: Rehearsal, _material: Material) -> None:
    """Keep it in memory until the drill ends."""


@dataclass(frozen=True, slots=True)
class Drill:
    """One drill. ``order_seconds`` bounds one order; ``now`` and ``clock`` are the two clocks."""

    issuers: Issuers
    permit: Permit
    crl_problem: CrlProblem
    now: Now
    clock: Callable[[], float]
    order_seconds: float
    judge: Judge | None = None
    """Asks Envoy."""
    shows_envoy: Callable[[Rehearsal], bool] = lambda _rehearsal: True
    """Whether a key may be given to Envoy in a file."""
    keep: Keep = keep_nothing

    async def run(self, plan: Iterable[Rehearsal]) -> list[DrillResult]:
        """Return a result for each, in the order of the plan."""
        rehearsals = list(plan)
        of_issuer: dict[str, list[int]] = {}
        for at, rehearsal in enumerate(rehearsals):
            of_issuer.setdefault(rehearsal.issuer, []).append(at)
        results: dict[int, DrillResult] = {}
        made: dict[int, Material] = {}

        async def work(places: Sequence[int]) -> None:
            wait = ""
            for at in places:
                rehearsal = rehearsals[at]
                if wait or rehearsal.skipped:
                    results[at] = _result(rehearsal, SKIPPED, rehearsal.skipped or wait)
                    continue
                results[at], material, wait = await self._one(rehearsal)
                if material is not None:
                    made[at] = material

        async with asyncio.TaskGroup() as tasks:
            for places in of_issuer.values():
                tasks.create_task(work(places))
        shown = {at: each for at, each in made.items() if self.shows_envoy(rehearsals[at])}
        await self._ask_envoy(results, shown)
        return [results[at] for at in range(len(rehearsals))]

    async def _one(self, rehearsal: Rehearsal) -> tuple[DrillResult, Material | None, str]:
        """Place one order; return also why the issuer is asked for no more, if so."""
        started = self.clock()
        try:
            if why := await self.permit(rehearsal):
                return _result(rehearsal, SKIPPED, why), None, ""
            async with asyncio.timeout(self.order_seconds):
                material = await self.issuers[rehearsal.issuer].issue(rehearsal.order)
        except IssuanceRateExceeded as fault:
            return _result(rehearsal, SKIPPED, f"on_demand's own limit: {fault}"), None, ""
        except TimeoutError:
            why = f"no certificate within {self.order_seconds:.0f} s"
            return self._ended(rehearsal, started, why), None, ""
        except Fault as fault:
            asked = fault.retry_after_seconds
            wait = f"the CA asked to wait {asked:.0f} s" if asked else ""
            return self._ended(rehearsal, started, str(fault)), None, wait
        result = self._ended(rehearsal, started, await self._problem(rehearsal, material))
        return (
            replace(result, serial=material.serial, not_after=material.not_after), material, ""
        )  # fmt: skip

    def _ended(self, rehearsal: Rehearsal, started: float, problem: str) -> DrillResult:
        outcome = FAILED if problem else OK
        return replace(_result(rehearsal, outcome, problem), seconds=self.clock() - started)

    async def _problem(self, rehearsal: Rehearsal, material: Material) -> str:
        """Return what is wrong with a certificate that its issuer's checks have passed."""
        try:
            if listed := await self.crl_problem(rehearsal.issuer, material.serial):
                return listed
            await self.keep(rehearsal, material)
        except Fault as fault:
            return str(fault)
        return ""

    async def _ask_envoy(
        self, results: dict[int, DrillResult], made: Mapping[int, Material]
    ) -> None:
        if self.judge is None or not made:
            return
        try:
            words = await self.judge(list(made.values()))
        except EnvoyFault as fault:
            words = [f"could not be asked: {fault}"] * len(made)
        for at, said in zip(made, words, strict=True):
            result = results[at]
            if said:
                detail = result.detail or "Envoy does not take it"
                results[at] = replace(result, outcome=FAILED, envoy=said, detail=detail)
            else:
                results[at] = replace(result, envoy="takes it")


def _result(rehearsal: Rehearsal, outcome: str, detail: str) -> DrillResult:
    return DrillResult(rehearsal.order.name, rehearsal.issuer, outcome, detail)
