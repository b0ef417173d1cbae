"""Every reason for which a token is refused, one after the other."""

from collections.abc import Sequence

from sidecar.cli.idp_proposal import EntrySetting
from sidecar.cli.idp_trials import Judge, TrialRefusal, TrialVerdict, try_out

ONE, TWO, SPARE = EntrySetting("one", 1), EntrySetting("two", 2), EntrySetting("spare", 3)
OK = TrialVerdict(ok=True, reason="", detail="")


def needs(*reasons: tuple[str, set[str]]) -> Judge:
    """Return a judge that refuses for the first reason whose settings are not all there."""

    def judge(settings: Sequence[EntrySetting]) -> TrialVerdict | None:
        names = {each.name for each in settings}
        for reason, needed in reasons:
            if not needed <= names:
                return TrialVerdict(ok=False, reason=reason, detail=f"{reason}!")
        return OK

    return judge


def test_a_token_that_is_accepted_as_it_is_has_no_reason() -> None:
    assert try_out([SPARE], needs()) == ((), True)


def test_each_reason_has_the_setting_that_ends_it() -> None:
    trials = try_out([SPARE, ONE, TWO], needs(("b", {"two"}), ("a", {"one"})))
    assert trials.accepted
    assert trials.refusals == (TrialRefusal("b", "b!", ("two",)), TrialRefusal("a", "a!", ("one",)))


def test_a_reason_that_needs_several_settings_has_all_that_are_left() -> None:
    trials = try_out([ONE, TWO], needs(("a", {"one", "two"})))
    assert trials.refusals == (TrialRefusal("a", "a!", ("one", "two")),)
    assert trials.accepted


def test_a_reason_that_nothing_ends_is_the_last() -> None:
    trials = try_out([ONE, TWO], needs(("a", {"one"}), ("b", {"nothing"}), ("c", {"two"})))
    assert trials.refusals == (TrialRefusal("a", "a!", ("one",)), TrialRefusal("b", "b!", ()))
    assert not trials.accepted


def test_a_token_that_the_whole_entry_refuses_is_not_accepted() -> None:
    """A setting that nothing needed may still be wrong."""

    def judge(settings: Sequence[EntrySetting]) -> TrialVerdict | None:
        if SPARE in settings:
            return TrialVerdict(ok=False, reason="spare", detail="")
        return OK

    trials = try_out([SPARE], judge)
    assert trials.refusals == (TrialRefusal("spare", "", ()),)
    assert not trials.accepted


def test_an_entry_that_can_not_be_written_is_said_to_be_none() -> None:
    trials = try_out([ONE], lambda settings: None if settings else OK)
    assert [each.reason for each in trials.refusals] == ["entry_not_possible"]
    assert not trials.accepted


def test_settings_that_can_not_stand_alone_are_tried_together() -> None:
    def judge(settings: Sequence[EntrySetting]) -> TrialVerdict | None:
        if len(settings) == 1:
            return None
        return OK if settings else TrialVerdict(ok=False, reason="a", detail="")

    trials = try_out([ONE, TWO], judge)
    assert trials.refusals == (TrialRefusal("a", "", ("one", "two")),)
    assert trials.accepted
