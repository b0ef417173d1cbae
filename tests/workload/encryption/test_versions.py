"""Which version writes, which read, and when the next is due: from the records alone."""

import pytest

from workload.encryption.errors import FieldKeysMissing
from workload.encryption.places import KeyScope
from workload.encryption.versions import MAX_LIVE_VERSIONS, WrappedKey, plan_versions

ROTATE, AHEAD = 1000.0, 50.0
SCOPE = KeyScope("t", "pii")


def record(version: int, created_at: float, wrapped: str | None = "w") -> WrappedKey:
    return WrappedKey(SCOPE, version, "kek", wrapped, created_at)


@pytest.mark.parametrize(
    ("records", "now", "live", "expected"),
    [
        ([], 0, [], (0, "due")),
        ([record(1, 0)], 0, [1], (1, "")),
        ([record(1, 0)], 999, [1], (1, "")),
        ([record(1, 0)], 1000, [1], (1, "due")),
        ([record(2, 1000), record(1, 0)], 1049, [1, 2], (1, "pending")),
        ([record(1, 0), record(2, 1000)], 1050, [1, 2], (2, "")),
        ([record(1, 0, None), record(2, 1000)], 1001, [2], (2, "")),
        ([record(1, 0), record(2, 1000), record(3, 2000)], 2001, [1, 2, 3], (2, "pending")),
        ([record(2, 0), record(9, 10)], 100, [2, 9], (9, "")),
    ],
)
def test_a_plan(
    records: list[WrappedKey], now: float, live: list[int], expected: tuple[int, str]
) -> None:
    plan = plan_versions(records, now, ROTATE, AHEAD)
    assert [each.version for each in plan.live] == live
    state = "due" if plan.due else "pending" if plan.is_pending else ""
    assert (plan.writing, state) == expected
    assert not plan.destroyed


@pytest.mark.parametrize(
    "records", [[record(1, 0, None)], [record(1, 0), record(2, 0, None)]], ids=["alone", "behind"]
)
def test_a_destroyed_record_at_the_end_closes_the_scope(records: list[WrappedKey]) -> None:
    plan = plan_versions(records, 1e9, ROTATE, AHEAD)
    assert (plan.destroyed, plan.live, plan.due) == (True, (), False)


@pytest.mark.parametrize(
    "versions", [[0], [-1, 1], [2**31], range(1, MAX_LIVE_VERSIONS + 2)], ids=repr
)
def test_records_without_sense(versions: list[int]) -> None:
    with pytest.raises(FieldKeysMissing):
        plan_versions([record(each, 0) for each in versions], 0, ROTATE, AHEAD)
