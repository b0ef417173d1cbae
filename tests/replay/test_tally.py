"""Counting by route and tenant, within bounds, and telling a sample from a whole log."""

import random

import pytest

from sidecar.replay import tally as module
from sidecar.replay.compare import Comparison
from sidecar.replay.tally import OTHER, Tally
from sidecar.replay.verdict import ReplayOutcome, ReplayVerdict
from tests.replay.lines import line
from tests.support.minting import NOW, TENANT

BEFORE = ReplayOutcome("allow", "token_verified", 200, "api")
AFTER = ReplayOutcome("deny", "role_missing", 403, "api")
LOST = Comparison(ReplayVerdict.LOST, BEFORE, AFTER, "routes[api].roles: owner")
SAME = Comparison(ReplayVerdict.SAME, BEFORE, BEFORE, "")


def test_requests_subjects_and_examples_are_counted_by_group() -> None:
    tally = Tally()
    for number in range(10):
        tally.add(
            line(subject=f"user-{number % 3}", decision_id=f"{number:020}", at=NOW + number), LOST
        )
        tally.add(line(), SAME)
    tally.add(line(tenant="other"), LOST)
    assert tally.replayed == 21
    assert tally.verdicts == {ReplayVerdict.LOST: 11, ReplayVerdict.SAME: 10}
    assert tally.subjects(ReplayVerdict.LOST) == 4
    first, second = tally.groups.items()
    assert (first[0].tenant, first[1].requests, first[1].subjects) == (TENANT, 10, 3)
    assert first[1].examples == tuple(f"{number:020}" for number in range(3))
    assert (first[1].first, first[1].last) == (NOW, NOW + 9)
    assert (second[0].tenant, second[1].requests) == ("other", 1)
    assert tally.totals == {("api", TENANT): 20, ("api", "other"): 1}
    assert (tally.first, tally.last) == (NOW, NOW + 9)


def test_one_subject_is_counted_once_for_all_groups() -> None:
    tally = Tally()
    tally.add(line(), LOST)
    tally.add(line(), LOST._replace(cause="another"))
    assert [group.subjects for group in tally.groups.values()] == [1, 1]
    assert tally.subjects(ReplayVerdict.LOST) == 1


def test_groups_beyond_the_bound_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_GROUPS", 3)
    monkeypatch.setattr(module, "MAX_TOTALS", 3)
    tally = Tally()
    for number in range(10):
        tally.add(line(tenant=f"tenant-{number}"), LOST)
    assert {key.tenant: group.requests for key, group in tally.groups.items()} == {
        "tenant-0": 1, "tenant-1": 1, "tenant-2": 1, OTHER: 7,
    }  # fmt: skip
    assert len(tally.totals) == 3
    assert tally.verdicts[ReplayVerdict.LOST] == 10


def test_subjects_beyond_the_bound_are_said_to_be_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SUBJECTS", 3)
    tally = Tally()
    for number in range(10):
        tally.add(line(subject=f"user-{number}"), LOST)
    (group,) = tally.groups.values()
    assert (group.subjects, group.are_more) == (3, True)


def ids(share: float, count: int = 5000) -> list[str]:
    """Return ids of a sample, chosen as ``AuditLog.sampled`` does."""
    drawn = random.Random(7)
    made = (f"{drawn.getrandbits(80):020x}" for _ in range(count))
    return [each for each in made if int(each[-6:], 16) < share * 2**24]


@pytest.mark.parametrize("share", [0.1, 0.25, 0.9])
def test_a_sample_is_told_by_its_ids(share: float) -> None:
    tally = Tally()
    for each in ids(share):
        tally.add(line(decision_id=each), SAME)
    assert tally.sampled_share == pytest.approx(share, rel=0.03)


def test_a_whole_log_and_a_short_one_are_no_samples() -> None:
    whole, short, odd = Tally(), Tally(), Tally()
    for each in ids(1.0):
        whole.add(line(decision_id=each), SAME)
        odd.add(line(decision_id="no hexadecimal"), SAME)
    for each in ids(0.1, 1000):
        short.add(line(decision_id=each), SAME)
    assert (whole.sampled_share, short.sampled_share, odd.sampled_share) == (None, None, None)


def test_denials_say_nothing_of_a_sample() -> None:
    tally = Tally()
    for each in ids(0.1):
        tally.add(line(decision_id=each, outcome="deny"), SAME)
    assert tally.sampled_share is None


def test_what_the_old_configuration_decides_otherwise_is_counted_by_reason() -> None:
    tally = Tally()
    tally.add(line(), SAME._replace(old=AFTER))
    tally.add(line(), SAME._replace(old=BEFORE))
    tally.add(line(reason="role_missing", outcome="deny"), SAME._replace(old=AFTER))
    uncertain = ReplayOutcome("deny", "key_unknown", 401, "api", is_certain=False)
    tally.add(line(reason="role_missing", outcome="deny"), SAME._replace(old=uncertain))
    assert tally.unlike == {("token_verified", "role_missing"): 1}
