"""A line of the log is explained by the disturbance that it speaks of, at its time, or by none."""

import json

import pytest

from bench.soak.logs import findings
from bench.soak.timeline import Timeline


def line(level: str, message: str) -> str:
    return json.dumps({"level": level, "message": message})


REDIS = "Redis 127.0.0.1:1 does not answer (TimeoutError); each sidecar spends its last share"
ROWS = [
    ("information", 100, line("info", "serving Checks"), True),
    ("a warning", 100, line("warning", "keys can't be refreshed"), True),
    ("an error of the disturbance", 101, line("error", REDIS), True),
    ("just after it", 115, line("error", REDIS), True),
    ("the same long after", 300, line("error", REDIS), False),
    ("before it", 99, line("error", REDIS), False),
    ("an error of something else", 101, line("error", "no certificate"), False),
    ("a critical one", 101, line("critical", "x"), False),
    ("a bug, whatever its level", 101, line("warning", "internal error (a bug in the sidecar)"),
     False),
    ("what is no log at all", 101, "Traceback (most recent call last):", False),
    ("an exception that nobody took", 101, line("info", "Task exception was never retrieved"),
     False),
    ("an empty line", 101, "", True),
]  # fmt: skip


@pytest.mark.parametrize(
    ("at", "text", "explained"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS]
)
def test_what_is_explained(at: float, text: str, explained: bool) -> None:
    timeline, now = Timeline(), iter((100.0, 110.0))
    with timeline.during("redis_killed", "", lambda: next(now)):
        pass
    assert (findings([(at, "sidecar 0", text)], timeline) == []) is explained
