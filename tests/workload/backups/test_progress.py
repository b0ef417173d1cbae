"""A line on a terminal, past two seconds, and on nothing else."""

import io

from workload.backups.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_long_run_shows_how_far_it_is() -> None:
    terminal, now = Terminal(), [0.0]
    progress = Progress(terminal, lambda: now[0])
    for second, shown in ((1.9, 0), (2.0, 1), (2.4, 1), (2.5, 2)):
        now[0] = second
        progress.add(100_000_000)
        assert terminal.getvalue().count("MB/s") == shown
    assert "\r200 MB, 100 MB/s" in terminal.getvalue()
    progress.end()
    assert terminal.getvalue().endswith("\r\x1b[K")


def test_a_short_run_and_a_log_show_nothing() -> None:
    for stream, seconds in ((Terminal(), 1.0), (io.StringIO(), 60.0)):
        now = [0.0]
        progress = Progress(stream, lambda now=now: now[0])  # type: ignore[misc]
        now[0] = seconds
        progress.add(7)
        progress.end()
        assert progress.total == 7
        assert stream.getvalue() == ""
