"""One act of the soak: a stack is started, disturbed under traffic, and judged at its end."""

import asyncio
import tempfile
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

from bench.kernel import rss_mb
from bench.soak.audit import Comparison, compare
from bench.soak.connections import Served
from bench.soak.disturbances import Disturber
from bench.soak.judge import GAP_SECONDS, GAPS, Judge
from bench.soak.levels import Level, Sample, level_of
from bench.soak.logs import findings
from bench.soak.plan import Plan
from bench.soak.schedule import draw
from bench.soak.settings import (
    EDGE,
)
from bench.soak.stack import Said, Sidecar
from bench.soak.starting import Starter
from bench.soak.timeline import Timeline
from bench.soak.tools import Stack, Tools
from bench.soak.traffic import Client, Publishers, Setting
from bench.soak.world import World
from sidecar.common.clock import monotonic_seconds, wall_seconds

_SAMPLE_SECONDS = 2.0
_SETTLE_SECONDS = 3.0
WELL_SECONDS = 120.0
"""How long after the last disturbance all must be well again."""


class Outcome(NamedTuple):
    """What an act came to."""

    plan: Plan
    seconds: float
    judge: Judge
    done: dict[str, int]
    audit: Comparison
    dropped: float
    levels: dict[str, list[Level]]
    """By what a process is: of each of its lives that was long enough."""
    gaps: list[float]
    """The seconds for which a single sidecar answered nobody."""
    certificates: int
    """How many handshakes were judged."""


async def play(plan: Plan, say: Callable[[str], None]) -> Outcome:
    """Run one act."""
    async with AsyncExitStack() as exits:
        folder = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="septem-soak-")))
        return await _Act(plan, folder, exits, say).run()


class _Act:
    def __init__(
        self, plan: Plan, folder: Path, exits: AsyncExitStack, say: Callable[[str], None]
    ) -> None:
        self._plan = plan
        self._folder = folder
        self._exits = exits
        self._say = say
        self._log: list[Said] = []
        self._served: list[Served] = []
        self._timeline = Timeline()
        self._world = World(monotonic_seconds)
        self._judge = Judge(self._timeline, monotonic_seconds, single=plan.sidecars == 1)
        self._samples: dict[tuple[str, int], list[Sample]] = {}

    async def run(self) -> Outcome:
        """Start, disturb, end, judge."""
        starter = Starter(self._plan, self._folder, self._world, self._exits, self._log)
        stack, publishers = await starter.start(self._served.append)
        tools = Tools(stack, self._world, self._judge, self._timeline, wall_seconds)
        disturber = Disturber(tools)
        await disturber.edge.first_serials(EDGE)
        self._say(f"{self._plan.name}: everything runs")
        start = monotonic_seconds()
        setting = self._setting(stack, publishers)
        await self._disturb(stack, disturber, setting, start)
        seconds = monotonic_seconds() - start
        await asyncio.sleep(_SETTLE_SECONDS)
        await asyncio.to_thread(self._judge_state, stack)
        for each in stack.sidecars:
            await asyncio.to_thread(each.stop)
        self._judge_certificates(disturber)
        self._judge_logs(stack)
        return self._outcome(stack, disturber, seconds)

    def _setting(self, stack: Stack, publishers: Publishers) -> Setting:
        deciding = sum(each.unit.workers for each in stack.sidecars)
        return Setting(
            self._plan.seed, self._plan.name, stack.edge, self._world, self._judge, publishers,
            wall_seconds, self._timeline, deciding, len(stack.sidecars),
        )  # fmt: skip

    # The act itself

    async def _disturb(
        self, stack: Stack, disturber: Disturber, setting: Setting, start: float
    ) -> None:
        plan, over = self._plan, asyncio.Event()
        schedule = draw(plan.seed, plan.name, plan.seconds, plan.pace)
        lanes = {name: [each for each in schedule if each.lane == name] for name in plan.lanes}
        ending = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(self._watch(stack, over))
            clients = [
                tasks.create_task(Client(setting, number).run(over, plan.pause_seconds))
                for number in range(plan.clients)
            ]
            doing = [
                tasks.create_task(disturber.run(lane, start, ending)) for lane in lanes.values()
            ]
            telling = tasks.create_task(self._tell(start, over))
            await asyncio.sleep(max(0.0, start + plan.seconds - monotonic_seconds()))
            ending.set()
            await asyncio.gather(*doing)
            over.set()
            await asyncio.gather(*clients, watching, telling)

    async def _watch(self, stack: Stack, over: asyncio.Event) -> None:
        """Take samples of every process, until it is over."""
        while not over.is_set():
            for sidecar in stack.sidecars:
                await asyncio.to_thread(sidecar.metrics)
                self._sample(f"{sidecar.name}, main process", sidecar.pid)
                for pid in sidecar.worker_pids():
                    self._sample(f"{sidecar.name}, worker", pid)
            self._sample("Envoy", stack.envoy.pid)
            try:
                await asyncio.wait_for(over.wait(), _SAMPLE_SECONDS)
            except TimeoutError:
                continue

    def _sample(self, what: str, pid: int) -> None:
        if not pid:
            return
        try:
            files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
            sample = Sample(monotonic_seconds(), rss_mb(pid), files)
        except (OSError, SystemExit):  # it has just ended
            return
        self._samples.setdefault((what, pid), []).append(sample)

    async def _tell(self, start: float, over: asyncio.Event) -> None:
        while not over.is_set():
            try:
                await asyncio.wait_for(over.wait(), 30)
            except TimeoutError:
                judge = self._judge
                self._say(
                    f"{self._plan.name}: {monotonic_seconds() - start:.0f} s, "
                    f"{judge.total} answers, wrong: {dict(judge.wrong_counts) or 'none'}"
                )

    # Verdicts at the end

    def _judge_state(self, stack: Stack) -> None:
        """Every part must be well again, and no task may have ended unseen.

        A poll that has failed pauses for up to a minute; so it may take that long to be seen.
        """
        deadline = monotonic_seconds() + WELL_SECONDS
        for sidecar in stack.sidecars:
            while problems := _problems_of(sidecar):
                if monotonic_seconds() > deadline:
                    self._wrong("state", f"{sidecar.name} at the end", problems)
                    break
                time.sleep(0.5)

    def _wrong(self, kind: str, what: str, problems: list[str]) -> None:
        now = monotonic_seconds()
        self._judge.report(kind, what, problems, now, now)

    def _judge_certificates(self, disturber: Disturber) -> None:
        for each in self._served:
            fact = disturber.edge.serials.get(each.name)
            if fact is None:
                continue  # the first handshake of a name, by which it was seen
            right = frozenset[str]().union(*fact.during(each.start, each.end))
            if each.serial.lstrip("0") not in right:
                problem = f"{each.serial} is served, not {sorted(right)}"
                self._judge.report("certificate", each.name, [problem], each.start, each.end)

    def _judge_logs(self, stack: Stack) -> None:
        unexplained = findings(self._log, self._timeline)
        for at, line in unexplained:
            self._judge.report("log", line[:2000], ["no disturbance explains it"], at, at)
        for sidecar in stack.sidecars:
            if any(code != 0 for code in sidecar.exits):
                self._wrong("exit", sidecar.name, [f"exit codes {sidecar.exits}"])
            if sidecar.faults:
                self._wrong("fault", sidecar.name, [f"{sidecar.faults:.0f} internal faults"])

    def _outcome(self, stack: Stack, disturber: Disturber, seconds: float) -> Outcome:
        audited = [line for each in stack.sidecars for line in each.audited()]
        dropped = sum(each.dropped for each in stack.sidecars)
        judge = self._judge
        comparison = compare(judge.lines, judge.unnamed, audited, dropped, self._timeline)
        for finding in comparison.findings:
            self._wrong("audit", finding, [])
        gaps = [s.end - s.start for s in self._timeline.spans if s.kind in GAPS]
        for gap in gaps if self._plan.sidecars == 1 else ():
            if gap > GAP_SECONDS:
                self._wrong("gap", f"one sidecar was away for {gap:.1f} s", [])
        return Outcome(
            self._plan, seconds, judge, disturber.done, comparison, dropped, self._levels(),
            gaps if self._plan.sidecars == 1 else [], len(self._served),
        )  # fmt: skip

    def _levels(self) -> dict[str, list[Level]]:
        found: dict[str, list[Level]] = {}
        for (what, pid), samples in self._samples.items():
            level = level_of(samples)
            if level is None:
                continue
            found.setdefault(what, []).append(level)
            if not level.is_level:
                self._wrong("level", f"{what} (process {pid}) is not level", [str(level)])
        return found


def _problems_of(sidecar: Sidecar) -> list[str]:
    answer, found = sidecar.ask("GET", "/readyz"), sidecar.metrics()
    problems = [] if answer is not None and answer[0] == 200 else [f"not ready: {answer}"]
    problems += [
        f"{name} still fails"
        for name, value in found.items()
        if name.startswith("septem_poll_failing") and value
    ]
    workers = sidecar.unit.workers
    serving = found.get("septem_workers_serving", float(workers))
    if serving != workers:
        problems.append(f"{serving:.0f} of {workers} workers serve")
    return problems
