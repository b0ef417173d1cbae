"""Runs tests against mutants: everything is imported and collected once, then each mutant is
a forked child that swaps one function's code and runs its tests until one fails.
"""

import contextlib
import ctypes
import os
import resource
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.mutation.mutants import Mutant
from tests.mutation.swap import SwapError, swap

CPU_SECONDS = 60
"""More than all tests of a mutant take: what takes longer runs round in circles."""
IDLE_SECONDS = 30.0
IDLE_CPU_SECONDS = 0.3
"""A child that has had less CPU in so long waits for what will never come."""
EXAMPLES = 25
"""Of each Hypothesis test: enough for what it finds at once; the whole is for ``make test``."""
TESTS = {
    "sidecar/authz/": ("tests/authz/", "tests/policy/", "tests/transport/test_lane.py"),
    "sidecar/common/canonical.py": (
        "tests/common/test_canonical.py", "tests/authz/test_lenient.py",
        "tests/config/test_rules_routes.py",
    ),
    "sidecar/tokens/mint.py": ("tests/tokens/test_mint.py",),
    "sidecar/tokens/": (
        "tests/tokens/", "tests/authz/test_stateful.py", "tests/authz/test_pii_actions.py",
        "tests/authz/test_response_cache.py",
    ),
    "sidecar/keys/": (
        "tests/keys/", "tests/tokens/test_verifier.py", "tests/tokens/test_verifier_edges.py",
        "tests/tokens/test_cache.py", "tests/module_signing/test_publishers.py",
    ),
    "sidecar/headers/": (
        "tests/headers/", "tests/authz/test_browser_headers.py", "tests/authz/test_service.py",
        "tests/authz/test_module_install.py", "tests/policy/",
    ),
    "sidecar/transport/guard.py": (
        "tests/transport/test_guard.py", "tests/transport/test_guard_faults.py",
    ),
    "sidecar/transport/pipe.py": (
        "tests/transport/test_pipe.py", "tests/transport/test_guard_faults.py",
    ),
}  # fmt: skip
"""Which tests concern a file; those of the first folder run first."""
NEVER = ("stays_flat", "lives_that_nobody_chose", "generated_code_is_current", "ten_thousand")
"""Tests of memory, of time, and of what no mutant changes."""
LIVES = "test_what_is_cached_changes_no_answer"
LIVES_ARE_FOR = frozenset({
    "sidecar/authz/response_cache.py", "sidecar/authz/evaluate.py", "sidecar/authz/service.py",
    "sidecar/authz/slow_path.py", "sidecar/authz/encoding/allowed.py", "sidecar/tokens/cache.py",
})  # fmt: skip
"""The stateful test takes seconds: it is for what caches."""
REAL_ARE_FOR = frozenset({
    "sidecar/keys/kv_source.py", "sidecar/keys/refresher.py", "sidecar/keys/revocation_source.py",
    "sidecar/keys/sources.py",
})  # fmt: skip
"""Tests that start servers are for what asks one."""
KILLED, SURVIVED, TIMEOUT, SKIPPED = "killed", "survived", "timeout", "skipped"
_CODES = {0: SURVIVED, 1: KILLED, 3: SKIPPED}
Told = Callable[[Mutant, str, str], None]


def folders_of(paths: Iterable[str]) -> list[str]:
    """Return the tests that files are run against, as arguments of pytest."""
    wanted = {test for path in paths for test in tests_of(path)}
    return sorted(wanted)


def tests_of(path: str) -> tuple[str, ...]:
    """Return where the tests of a file are."""
    return next(tests for prefix, tests in TESTS.items() if path.startswith(prefix))


@dataclass
class Runner:
    """A pytest plugin whose test loop is a loop over mutants.

    ``deadline`` is monotonic seconds after which no further mutant is begun.
    """

    mutants: Sequence[Mutant]
    tell: Told
    jobs: int = 1
    deadline: float = float("inf")
    clean: bool | None = None
    """Whether the tests pass without any mutant; ``None`` where that is still to be tried."""
    _killers: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    _running: dict[int, "_Child"] = field(default_factory=dict)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        from hypothesis import Phase, settings  # noqa: PLC0415 - pytest rewrites it first

        items[:] = [item for item in items if not any(name in item.nodeid for name in NEVER)]
        for item in items:
            test = getattr(item, "obj", None)
            given: Any = getattr(test, "_hypothesis_internal_use_settings", None)
            if given is not None and test is not None:
                test = getattr(test, "__func__", test)
                test._hypothesis_internal_use_settings = settings(
                    given, max_examples=min(given.max_examples, EXAMPLES), database=None,
                    derandomize=True, phases=[Phase.explicit, Phase.generate],
                )  # fmt: skip

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        reporter: Any = session.config.pluginmanager.getplugin("terminalreporter")
        shown = reporter._tw._file
        with Path(os.devnull).open("w") as nowhere:
            reporter._tw._file = nowhere
            self._run_all(session)
        reporter._tw._file = shown
        return True

    def _run_all(self, session: pytest.Session) -> None:
        if self.clean is None:
            pid = self._fork(lambda: _run(session, session.items, None))
            self.clean = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        if not self.clean:
            return
        for mutant in self.mutants:
            if time.monotonic() >= self.deadline:
                break
            while len(self._running) >= self.jobs:
                self._collect()
            self._begin(session, mutant)
        while self._running:
            self._collect()

    def _begin(self, session: pytest.Session, mutant: Mutant) -> None:
        items = self._items(session, mutant)
        readable, writable = os.pipe()

        def child() -> int:
            os.close(readable)
            try:
                swap(mutant.path, mutant.function, mutant.source())
            except (SwapError, SyntaxError):
                return 3
            return _run(session, items, writable)

        pid = self._fork(child)
        os.close(writable)
        self._running[pid] = _Child(pid, mutant, readable)

    def _items(self, session: pytest.Session, mutant: Mutant) -> list[pytest.Item]:
        """Order the tests: those that killed this function's mutants, near ones, slow ones."""
        known = self._killers.get(mutant.key[:2], [])
        places = tests_of(mutant.path)
        stem = Path(mutant.path).stem

        def order(item: pytest.Item) -> tuple[bool, bool, bool, bool, int]:
            name = item.nodeid
            late = name.endswith(LIVES) or item.get_closest_marker("real") is not None
            given = hasattr(getattr(item, "obj", None), "hypothesis")
            near = f"test_{stem}" in name
            return name not in known, late, given, not near, 0 if name.startswith(places[0]) else 1

        concern = (
            item
            for item in session.items
            if item.nodeid.startswith(places)
            and (mutant.path in LIVES_ARE_FOR or not item.nodeid.endswith(LIVES))
            and (mutant.path in REAL_ARE_FOR or item.get_closest_marker("real") is None)
        )
        return sorted(concern, key=order)

    def _fork(self, child: Callable[[], int]) -> int:
        parent = os.getpid()
        pid = os.fork()
        if pid:
            return pid
        code = 2
        try:
            os.setsid()
            _die_with_parent(parent)
            nowhere = os.open(os.devnull, os.O_RDWR)
            for descriptor in range(3):
                os.dup2(nowhere, descriptor)
            resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 5))
            code = child()
        finally:
            os._exit(code)

    def _collect(self) -> None:
        """Wait for one child, and end those that have taken too long."""
        while True:
            for pid, child in list(self._running.items()):
                done, status = os.waitpid(pid, os.WNOHANG)
                if not done and not child.hangs():
                    continue
                _end_group(pid)
                if not done:
                    os.waitpid(pid, 0)
                with os.fdopen(child.readable, "rb") as pipe:
                    killer = pipe.read().decode()
                del self._running[pid]
                if killer:
                    known = self._killers.setdefault(child.mutant.key[:2], [])
                    known[:] = [killer, *(each for each in known if each != killer)][:8]
                self.tell(child.mutant, _result(done, status, killer), killer)
                return
            time.sleep(0.005)


@dataclass
class _Child:
    """A mutant at work. ``readable`` is where it says which test failed."""

    pid: int
    mutant: Mutant
    readable: int
    _cpu_seconds: float = 0.0
    _looked_at: float = field(default_factory=time.monotonic)

    def hangs(self) -> bool:
        """Tell whether it has done next to nothing for a while."""
        now = time.monotonic()
        if now < self._looked_at + IDLE_SECONDS:
            return False
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        cpu_seconds = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        idle = cpu_seconds < self._cpu_seconds + IDLE_CPU_SECONDS
        self._cpu_seconds, self._looked_at = cpu_seconds, now
        return idle


def _die_with_parent(parent: int) -> None:
    """Have the kernel end this process when its parent ends (prctl(2))."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(2)


def _result(done: int, status: int, killer: str) -> str:
    if not done:
        return TIMEOUT
    code = os.waitstatus_to_exitcode(status)
    if code in {-signal.SIGXCPU, -signal.SIGKILL}:
        return TIMEOUT
    return KILLED if killer else _CODES.get(code, KILLED)


def _end_group(pid: int) -> None:
    """End what a child has started too: it is the leader of its own session."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def _run(session: pytest.Session, items: Sequence[pytest.Item], tell: int | None) -> int:
    """Run tests until one fails; returns 1 then, and writes its name into ``tell``."""
    last: list[Any] = [None]
    for item, following in pairwise([*items, *last]):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.testsfailed:
            if tell is not None:
                os.write(tell, item.nodeid.encode())
            return 1
    return 0


def batches(mutants: Sequence[Mutant]) -> Iterator[tuple[str, list[Mutant]]]:
    """Group mutants by the tests they are run against."""
    for prefix, tests in TESTS.items():
        chosen = [mutant for mutant in mutants if tests_of(mutant.path) is tests]
        if chosen:
            yield prefix, chosen
