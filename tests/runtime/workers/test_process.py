"""A worker process before it is started; started ones are tested by the pool."""

from sidecar.runtime.workers.process import Ended
from tests.runtime.workers.pooled import unstarted


def test_a_process_that_was_never_started_has_no_exit_code() -> None:
    process = unstarted()
    process.kill(Ended.HUNG)
    assert process.exit_code is None


def test_before_the_first_frames_a_change_is_among_them() -> None:
    process = unstarted()
    process.give(b"", 7)
    process.send_encoded(b"")
    assert process.decides_by(7), "they will have the newest version"
    assert not process.serving


def test_a_heartbeat_before_it_serves_requests_nothing() -> None:
    process = unstarted()
    process.heartbeat()
    assert process._liveness.requested == 0
