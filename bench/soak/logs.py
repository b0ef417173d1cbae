"""Which lines of a log the schedule explains; every other error is a finding. Pure."""

import json
import re
from collections.abc import Iterable
from typing import NamedTuple

from bench.soak.judge import OUTAGES
from bench.soak.timeline import Timeline

AFTER_SECONDS = 20.0
"""How long after a disturbance its last words may come: polls pause up to a minute in an outage,
but they speak of it when it begins."""
_NEVER = re.compile(
    r"a bug in the sidecar|internal error|never retrieved|never awaited|Traceback"
    r"|Task was destroyed|ResourceWarning|Unhandled|Fatal Python"
)


class Explained(NamedTuple):
    """Errors that a disturbance has a sidecar say."""

    words: re.Pattern[str]
    kinds: tuple[str, ...]


EXPLAINED: tuple[Explained, ...] = (
    Explained(re.compile(r"^audit lines can't be written: File too large"), ("disk_full",)),
    Explained(re.compile(r"^audit lines were lost in the drain"), ("disk_full",)),
    Explained(re.compile(r"^worker \d+ ended: it ended with exit code -9"), ("worker_killed",)),
    Explained(re.compile(r"Vault at http://"), OUTAGES),
    Explained(re.compile(r"^Redis \S+ does not answer"), ("redis_killed", "redis_frozen")),
)


def findings(said: Iterable[tuple[float, str, str]], timeline: Timeline) -> list[tuple[float, str]]:
    """Return the lines that nothing explains, each with its time: of (when, who, text) each."""
    return [(at, f"{who}: {text}") for at, who, text in said if _is_finding(at, text, timeline)]


def _is_finding(at: float, text: str, timeline: Timeline) -> bool:
    if _NEVER.search(text):
        return True
    try:
        line = json.loads(text)
    except ValueError:
        return bool(text.strip())
    if line.get("level") not in {"error", "critical"}:
        return False
    message = str(line.get("message", ""))
    return not any(
        each.words.search(message) and timeline.meets(each.kinds, at, at, AFTER_SECONDS)
        for each in EXPLAINED
    )
