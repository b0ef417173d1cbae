"""A worker process before it is started; started ones are tested by the pool."""

from sidecar.common.clock import monotonic_seconds
from sidecar.runtime.workers.process import Ended, WorkerProcess
from tests.runtime.workers.pooled import Lines


def test_a_process_that_was_never_started_has_no_exit_code() -> None:
    process = WorkerProcess(
        0,
        lambda: (0, ()),
        audit=Lines(),
        on_serving=lambda: None,
        on_unknown_kid=lambda: None,
        routes=frozenset(),
        clock=monotonic_seconds,
    )
    process.kill(Ended.HUNG)
    assert process.exit_code is None
