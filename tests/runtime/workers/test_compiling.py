"""Policies of a reload are compiled by a worker, and it says so."""

from collections.abc import AsyncIterator

import pytest

from sidecar.config import parse_config
from sidecar.keys.lifecycle import KeyState
from sidecar.observability.counters import Counters
from sidecar.runtime.workers import compiling
from sidecar.runtime.workers.compiling import PolicyCompiler
from sidecar.runtime.workers.frames import Compiled, Policies
from sidecar.runtime.workers.key_frames import KeysFrame
from sidecar.runtime.workers.worker_check import WorkerCheck
from tests.authz.conftest import CONFIG

FIRST = Policies(parse_config(CONFIG, "test"))
SECOND = Policies(parse_config(CONFIG.replace("path_prefix: /api", "path_prefix: /v2"), "test"), 2)


class Compiling:
    """A worker's Check service, its compiler, and what that has said."""

    def __init__(self) -> None:
        self.sent: list[Compiled] = []
        self.faults: list[Exception] = []
        self.check = WorkerCheck(FIRST, Counters(), self.faults.append)
        self.compiler = PolicyCompiler(self.sent.append, self.faults.append)


@pytest.fixture
async def made() -> AsyncIterator[Compiling]:
    made = Compiling()
    yield made
    made.check.close(5)


async def test_what_is_compiled_is_put_in_force_by_keys_that_name_it(made: Compiling) -> None:
    made.check.expect(SECOND)
    await made.compiler.compile(made.check, SECOND)
    assert made.sent == [Compiled(2)]
    assert made.check.policies == 1
    made.check.take_keys(KeysFrame(1, (), (), KeyState.ACTIVE, policies=2))
    assert made.check.config is SECOND.config
    assert made.faults == []


async def test_what_can_not_be_compiled_is_reported_and_the_next_is_compiled(
    made: Compiling, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as defect:
        defect.delattr(compiling, "compile_policies")
        await made.compiler.compile(made.check, SECOND)
    assert made.sent == [Compiled(2, "the configuration can't be compiled: NameError")]
    assert [type(each) for each in made.faults] == [NameError]
    await made.compiler.compile(made.check, SECOND)
    assert made.sent[1] == Compiled(2)
