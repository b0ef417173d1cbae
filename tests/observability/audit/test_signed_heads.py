"""The heads that checkpoints sign, and how long a chain's values are remembered."""

import pytest

from sidecar.observability.audit import signed_heads
from sidecar.observability.audit.chain import Head
from sidecar.observability.audit.findings import FindingKind, Place, TrailReport
from sidecar.observability.audit.signed_heads import SignedHeads, TrailState
from tests.observability.audit.signed_trail import START, TRAIL, Signer

TIME = "2026-11-26T03:00:00.000+00:00"


def test_recent_values_are_recalled_and_their_number_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(signed_heads, "RECENT_LINES", 10)
    state = TrailState(Head(TRAIL, 5, b"5"), TIME)
    for seq in range(6, 100):
        state.remember(seq, b"%d" % seq)
        state.seq = seq
    assert state.recall(99) == b"99"
    assert state.recall(90) == b"90"
    assert state.recall(79) is None
    assert state.is_forgotten(79)
    assert not state.is_forgotten(4), "it was before the first line"
    assert not state.is_forgotten(90)
    assert sum(state.recall(seq) is not None for seq in range(100)) <= 20


@pytest.mark.parametrize(("seq", "kinds"), [(3, []), (5, []), (6, [FindingKind.REWRITTEN])])
def test_a_checkpoint_in_a_line_is_of_a_line_before_it(seq: int, kinds: list[FindingKind]) -> None:
    report = TrailReport()
    heads = SignedHeads([Signer().key], report, 60)
    heads.trails[TRAIL] = state = TrailState(Head(TRAIL, 4, b"0a" * 32), TIME)
    state.seq = 5
    state.remember(5, b"0a" * 32)
    heads.compare(Signer().note(Head(TRAIL, seq, b"0a" * 32), START), Place("a", 9))
    assert [each.kind for each in report.findings] == kinds
    assert all("which is not before it" in each.text for each in report.findings)
    assert state.signed_to == (5 if seq == 5 else 0)


def test_checkpoints_kept_elsewhere_wait_until_their_line_is_read() -> None:
    report = TrailReport()
    heads = SignedHeads([Signer().key], report, 60)
    for seq in (9, 7, 8, 2):
        heads.add_external(Signer().note(Head(TRAIL, seq, b"0a" * 32), START), Place("kept", seq))
    heads.sort_external()
    heads.compare_external("a", 1)
    heads.trails[TRAIL] = state = TrailState(Head(TRAIL, 6, b"0a" * 32), TIME)
    for seq in (7, 8):
        state.seq = seq
        state.remember(seq, b"0a" * 32)
    heads.compare_external("a", 3)
    assert (state.checkpoints, state.signed_to) == (2, 8)
    assert not report.findings
    heads.finish(None)
    assert [(each.kind, each.line) for each in report.findings] == [(FindingKind.CUT, 9)]


def test_with_live_no_checkpoint_at_all_is_stale() -> None:
    report = TrailReport()
    SignedHeads([Signer().key], report, 60).finish(START)
    assert [each.kind for each in report.findings] == [FindingKind.STALE]
