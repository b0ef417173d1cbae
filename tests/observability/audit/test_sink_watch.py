"""Whether the sink keeps up: lines that are lost, and lines that nobody takes."""

from sidecar.observability.audit.sink_watch import STALLED_SECONDS, SinkWatch


class Log:
    problem = ""
    lines_out = 0
    queued = 0
    dropped = 0


def test_a_sink_that_takes_nothing_while_lines_wait_hangs() -> None:
    log, watch = Log(), SinkWatch()
    log.queued = 3
    for at in range(8):
        watch.look(log, 100.0 + at)
        assert (watch.stalled_since is not None) is (at >= STALLED_SECONDS + 1)
    assert watch.stalled_since == 101.0
    log.lines_out = 1
    watch.look(log, 109.0)
    assert watch.stalled_since is None


def test_a_queue_that_is_empty_waits_for_nobody() -> None:
    log, watch = Log(), SinkWatch()
    for at in range(20):
        watch.look(log, 100.0 + at)
    assert watch.stalled_since is None


def test_lines_that_are_lost_in_a_row_are_one_story() -> None:
    log, watch = Log(), SinkWatch()
    log.dropped = 5
    watch.look(log, 100.0)
    assert (watch.lost, watch.dropped_at) == (0, None), "before it looked for the first time"
    for at, dropped in ((101.0, 7), (102.0, 7), (200.0, 8)):
        log.dropped = dropped
        watch.look(log, at)
    assert (watch.lost, watch.dropped_since, watch.dropped_at) == (3, 101.0, 200.0)
    log.dropped = 9
    watch.look(log, 900.0)
    assert (watch.lost, watch.dropped_since) == (1, 900.0)


def test_the_last_words_stay_when_it_is_over() -> None:
    log, watch = Log(), SinkWatch()
    log.problem = "No space left on device"
    watch.look(log, 1.0)
    log.problem = ""
    watch.look(log, 2.0)
    assert watch.last_problem == "No space left on device"


def test_what_sinks_say_and_since_when() -> None:
    watch = SinkWatch()
    for now, words in ((1.0, ""), (2.0, "clickhouse: away"), (3.0, "clickhouse: still away")):
        watch.hear(words, now)
    assert (watch.words, watch.words_since) == ("clickhouse: still away", 2.0)
    watch.hear("", 4.0)
    assert watch.words_since is None
