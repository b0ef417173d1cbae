"""The counts of a process, and their sum over processes."""

import msgspec
import pytest

from sidecar.common.reasons import Grant, Reason
from sidecar.limits.bucket import KINDS
from sidecar.observability.counters import (
    CHECK_BUCKETS_US,
    LIMIT_KINDS,
    Counters,
    Exemplar,
    Histogram,
)


@pytest.mark.parametrize(
    ("microseconds", "bucket"), [(0, 0), (10, 0), (11, 1), (20, 1), (21, 2), (10**9, 2)]
)
def test_a_duration_is_in_the_first_bucket_that_holds_it(microseconds: int, bucket: int) -> None:
    histogram = Histogram((10, 20))
    histogram.add(microseconds)
    assert [index for index, count in enumerate(histogram.counts) if count] == [bucket]
    assert histogram.sum_us == microseconds


def test_buckets_are_exported_as_prometheus_expects_them() -> None:
    histogram = Histogram((50, 1_000_000))
    for each in (50, 51, 2_000_000):
        histogram.add(each)
    assert histogram.export() == ([("5e-05", 1), ("1.0", 2), ("+Inf", 3)], 2.000101)


@pytest.mark.parametrize("counts", [[1, 2], [1, 2, 3, 4]])
def test_a_histogram_has_one_count_more_than_bounds(counts: list[int]) -> None:
    with pytest.raises(ValueError, match="one count per bucket"):
        Histogram((10, 20), counts)


def test_other_buckets_can_not_be_added_up() -> None:
    with pytest.raises(ValueError, match="buckets differ"):
        Counters(latency=Histogram(CHECK_BUCKETS_US[1:]))


def test_processes_are_added_up_and_keep_their_own() -> None:
    one, other = Counters(), Counters()
    one.count_check("allow", Grant.PUBLIC, "api", 40)
    for each in (one, other):
        each.count_check("deny", Reason.TOKEN_EXPIRED, "api", 60)
        each.count_fault()
    other.count_pii_warning()
    one.merge(other)
    assert one.checks == {
        ("allow", Grant.PUBLIC, "api"): 1,
        ("deny", Reason.TOKEN_EXPIRED, "api"): 2,
    }
    assert (one.faults, one.pii_warnings, one.latency.sum_us) == (2, 1, 160)
    assert sum(one.latency.counts) == 3
    assert sum(other.latency.counts) == 1
    other.latency.add(1)
    assert sum(one.latency.counts) == 3, "the sum is no reference"


@pytest.mark.parametrize(
    ("key", "known"),
    [
        (("allow", "public", "api"), True),
        (("shadow", "token_expired", "api"), True),
        (("permit", "public", "api"), False),
        (("allow", "because", "api"), False),
        (("allow", "public", "elsewhere"), False),
    ],
)
def test_labels_are_of_a_closed_set(key: tuple[str, str, str], known: bool) -> None:
    counters = Counters(checks={key: 1})
    counters.keep_known({"api"})
    assert (key in counters.checks) is known


@pytest.mark.parametrize(
    ("key", "known"),
    [
        (("refused", "tenant", "api"), True),
        (("shadow", "account", "api"), True),
        (("passed", "tenant", "api"), False),
        (("refused", "planet", "api"), False),
        (("refused", "tenant", "elsewhere"), False),
    ],
)
def test_labels_of_limits_are_of_a_closed_set(key: tuple[str, str, str], known: bool) -> None:
    counters = Counters(limited={key: 1})
    counters.keep_known({"api"})
    assert (key in counters.limited) is known
    total = Counters(limited={key: 2})
    total.merge(counters)
    assert total.limited[key] == (3 if known else 2)


def test_every_kind_of_limit_has_its_label() -> None:
    assert set(LIMIT_KINDS) == set(KINDS)


def exemplar(label: str, value: str, at: float, microseconds: int = 60) -> Exemplar:
    return msgspec.convert([label, value, microseconds, at], Exemplar)


TRACED, ASKED = "trace_id", "request_id"


@pytest.mark.parametrize(
    ("shown", "kept"),
    [
        ([(ASKED, "request-1", 1), (ASKED, "request-2", 2)], "request-2"),
        ([(ASKED, "request-1", 2), (ASKED, "request-2", 1)], "request-1"),
        ([(ASKED, "request-1", 1), (TRACED, "trace-0001", 1)], "trace-0001"),
        ([(TRACED, "trace-0001", 1), (ASKED, "request-1", 60.9)], "trace-0001"),
        ([(TRACED, "trace-0001", 1), (ASKED, "request-1", 61)], "request-1"),
        ([(TRACED, "trace-0001", 1), (TRACED, "trace-0002", 2)], "trace-0002"),
    ],
    ids=["the newest", "no older one", "a trace", "a trace for a while", "and no longer",
         "the newest trace"],
)  # fmt: skip
def test_a_bucket_has_one_exemplar(shown: list[tuple[str, str, float]], kept: str) -> None:
    counters, total = Counters(), Counters()
    for each in shown:
        counters.show(exemplar(*each))
    assert [each.value for each in counters.exemplars.values()] == [kept]
    for each in shown:  # of several processes, in any order
        other = Counters()
        other.show(exemplar(*each))
        total.merge(other)
    assert total.exemplars == counters.exemplars


def test_an_exemplar_is_in_its_own_bucket() -> None:
    counters = Counters()
    for microseconds in (50, 51, 10**9):
        counters.show(exemplar(ASKED, "request-1", 1, microseconds))
    assert set(counters.exemplars) == {0, 1, len(CHECK_BUCKETS_US)}
    counters.exemplars[3] = exemplar(ASKED, "request-1", 1, 50)
    counters.exemplars[99] = exemplar(ASKED, "request-1", 1, 50)
    counters.keep_known({"api"})
    assert set(counters.exemplars) == {0, 1, len(CHECK_BUCKETS_US)}, "a worker's are no others"


@pytest.mark.parametrize(
    "odd",
    [
        ["user", "request-1", 1, 1], [ASKED, "short", 1, 1], [ASKED, "x" * 65, 1, 1],
        [ASKED, 'quo"te-123', 1, 1], [ASKED, "line\nfeed1", 1, 1], [ASKED, "request-1", -1, 1],
        [ASKED, "request-1", 1, -1], [ASKED, "request-1", 1, 1e300],
    ],
)  # fmt: skip
def test_what_no_worker_sends_is_no_exemplar(odd: list[object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(odd, Exemplar)


def test_losses_of_spans_are_of_a_closed_set() -> None:
    counters = Counters(spans_dropped={"rate": 1, "elsewhere": 2})
    counters.keep_known({"api"})
    total = Counters(spans_dropped={"rate": 2, "queue": 0})
    total.merge(counters)
    assert total.spans_dropped == {"rate": 3, "queue": 0}
