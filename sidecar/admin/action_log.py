"""What operators did: a line in the log for each action, and the last ones for the page."""

import logging
from collections import deque
from typing import NamedTuple

from sidecar.common.clock import Now
from sidecar.common.printable import plural, printable
from sidecar.common.redact import redact
from sidecar.observability.alerts import Severity
from sidecar.observability.panel import (
    Ask,
    At,
    Mark,
    Panel,
    Row,
    Table,
)

KEPT_ACTIONS = 100
_MAX_WORDS = 512
_COLUMNS = (
    ("at", "At"), ("who", "Who"), ("what", "What"), ("outcome", "Outcome"),
    ("words", "How it ended"),
)  # fmt: skip
_log = logging.getLogger("sidecar.admin")


class OperatorAction(NamedTuple):
    """One action and how it ended. ``at`` is in Unix seconds."""

    number: int
    at: float
    peer: str
    what: str
    done: bool
    words: str


class ActionLog:
    """The actions of this run of the process."""

    def __init__(self, now: Now) -> None:
        self._now = now
        self._count = 0
        self._latest: deque[OperatorAction] = deque(maxlen=KEPT_ACTIONS)

    def note(self, peer: str, what: str, words: str, *, done: bool) -> OperatorAction:
        """Log and keep one action: by whom (``peer``), what, and how it ended."""
        self._count += 1
        what, words = printable(redact(what, _MAX_WORDS)), printable(redact(words, _MAX_WORDS))
        noted = OperatorAction(self._count, self._now(), peer, what, done, words)
        self._latest.append(noted)
        outcome = "done" if done else "refused"
        _log.warning("operator action: %s, by %s: %s: %s", what, peer, outcome, words)
        return noted

    def find(self, number: str) -> OperatorAction | None:
        """Return an action by its number."""
        return next((each for each in self._latest if str(each.number) == number), None)

    def panel(self, _ask: Ask) -> Panel:
        """Return what the page says of actions: the latest first."""
        rows: tuple[Row, ...] = tuple(
            (
                At(each.at), each.peer, each.what,
                Mark("done") if each.done else Mark("refused", Severity.WARNING), each.words,
            )
            for each in reversed(self._latest)
        )  # fmt: skip
        table = Table(
            "actions",
            "What operators did",
            _COLUMNS,
            rows,
            len(rows),
            brief=("at", "what", "outcome"),
        )
        summary = f"{plural(self._count, 'action')} since the start, each in the log."
        return Panel(summary, tables=(table,))
