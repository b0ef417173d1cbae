"""What operators did is in the log, with who and what, and the last of it on the page."""

import logging

import pytest

from sidecar.admin.action_log import KEPT_ACTIONS, ActionLog
from sidecar.observability.panel import Ask, Mark


def test_each_action_is_a_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    log = ActionLog(lambda: 5.0)
    with caplog.at_level(logging.WARNING):
        log.note("user 0, process 7", "renew edge", "it is ordered", done=True)
        log.note("127.0.0.1:5", "revoke edge", "there is none", done=False)
    assert caplog.messages == [
        "operator action: renew edge, by user 0, process 7: done: it is ordered",
        "operator action: revoke edge, by 127.0.0.1:5: refused: there is none",
    ]


def test_the_page_has_the_last_ones_first_and_finds_each_by_its_number() -> None:
    log = ActionLog(lambda: 5.0)
    for number in range(KEPT_ACTIONS + 5):
        log.note("p", f"a{number}", "w", done=number % 2 == 0)
    panel = log.panel(Ask(9.0))
    (table,) = panel.tables
    assert len(table.rows) == KEPT_ACTIONS
    assert table.rows[0][2:4] == ("a104", Mark("done"))
    assert panel.summary.startswith("105 actions")
    found = log.find("105")
    assert found is not None
    assert found.what == "a104"
    assert [log.find(each) for each in ("1", "", "x", "-1", "\u0661")] == [None] * 5


def test_what_is_asked_for_forges_no_line_and_shows_no_credential(
    caplog: pytest.LogCaptureFixture,
) -> None:
    noted = ActionLog(lambda: 5.0).note(
        "p", "renew a\nb\x1b[2J", "hvs.aaaaaaaaaaaaaaaaaaaaaaaaaaaa", done=True
    )
    assert "\n" not in caplog.text.rstrip("\n")
    assert "\x1b" not in noted.what
    assert "hvs." not in noted.words
