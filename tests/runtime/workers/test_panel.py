"""What the operator reads of workers: which serve, and how those that do not have ended."""

import pytest

from sidecar.observability.alerts import Severity
from sidecar.observability.panel import Action, Ask, At, Mark
from sidecar.runtime.workers.panel import RECENT_SECONDS, workers_panel
from sidecar.runtime.workers.process import Ended
from sidecar.runtime.workers.slot import Slot, WorkerEnd
from tests.runtime.workers.pooled import Lines, unstarted

NOW = 5000.0


def slots(serving: tuple[bool, ...]) -> list[Slot]:
    made = [Slot(number, f"127.0.0.1:{number}", Lines()) for number in range(len(serving))]
    for slot, serves in zip(made, serving, strict=True):
        if serves:
            slot.process = unstarted()
            slot.process.serving, slot.process.applied, slot.process.pid = True, 3, 70 + slot.number
            slot.serving_since = 100.0
    return made


async def test_all_serve() -> None:
    made = slots((True, True))
    made[1].past.counters.count_check("allow", "token_verified", "api", 10)
    panel = workers_panel(made, 3, Ask(NOW))
    assert (panel.summary, panel.findings) == ("2 of 2 workers serve.", ())
    workers, ends = panel.tables
    row = dict(zip([key for key, _ in workers.columns], workers.rows[1], strict=True))
    assert (row["state"], row["since"], row["pid"], row["checks"]) == (
        Mark("serves"), At(100.0), "71", 1,
    )  # fmt: skip
    assert isinstance(row["drain"], Action)
    assert (row["drain"].name, row["drain"].target) == ("drain", "1")
    assert ends.rows == ()
    old = workers_panel(made, 4, Ask(NOW)).tables[0].rows[0]
    assert Mark("has older keys", Severity.INFO) in old


@pytest.mark.parametrize(
    ("ended", "words"),
    [(Ended.EXITED, "dmesg"), (Ended.HUNG, "CPU"), (Ended.BROKE_PROTOCOL, "taken over")],
)
async def test_one_that_keeps_ending(ended: Ended, words: str) -> None:
    made = slots((False, True))
    made[0].ends.append(WorkerEnd(NOW - 2 * RECENT_SECONDS, ended, "long ago"))
    for ago in (300.0, 200.0, 4.0):
        made[0].ends.append(WorkerEnd(NOW - ago, ended, "it ended with exit code -9"))
    panel = workers_panel(made, 3, Ask(NOW))
    (finding,) = panel.findings
    assert (finding.severity, finding.part, finding.since) == (
        Severity.WARNING, "worker/0", NOW - 300.0,
    )  # fmt: skip
    assert "ended 3 times" in finding.wrong
    assert "exit code -9" in finding.wrong
    assert "does not serve now" in finding.wrong
    assert words in finding.do
    assert panel.tables[1].rows[0][0] == At(NOW - 4.0)


async def test_one_that_serves_again_is_said_for_a_while() -> None:
    made = slots((True,))
    made[0].ends.append(WorkerEnd(NOW - 5.0, Ended.EXITED, "x"))
    assert "serves again" in workers_panel(made, 3, Ask(NOW)).findings[0].wrong
    assert workers_panel(made, 3, Ask(NOW + RECENT_SECONDS)).findings == ()


async def test_an_end_that_was_asked_for_is_no_problem() -> None:
    made = slots((True, True))
    made[0].ends.append(WorkerEnd(NOW - 5.0, Ended.ASKED, "an operator asked for it"))
    made[0].restarts[Ended.ASKED] = 1
    panel = workers_panel(made, 3, Ask(NOW))
    assert panel.findings == ()
    assert panel.tables[1].rows[0][2] == Mark("asked")
    assert panel.tables[0].rows[0][-2] == 0


async def test_one_that_was_drained_is_given_time_to_start() -> None:
    made = slots((False, True))
    made[0].ends.append(WorkerEnd(NOW - 5.0, Ended.ASKED, "an operator asked for it"))
    assert workers_panel(made, 3, Ask(NOW)).findings == ()
    (finding,) = workers_panel(made, 3, Ask(NOW + 60.0)).findings
    assert finding.since == NOW - 5.0


async def test_one_that_does_not_serve() -> None:
    (finding,) = workers_panel(slots((False, True)), 3, Ask(NOW)).findings
    assert (finding.part, finding.since) == ("worker/0", None)
    assert workers_panel(slots((False, False)), 3, Ask(NOW)).findings == (), "the health says it"
