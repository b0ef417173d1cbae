"""The response fields: Structured Fields whose numbers a client can rely on."""

from sidecar.limits.bucket import SECOND_NS, Bucket, Limit
from sidecar.limits.fields import passing_fields, policy_field, refusal_fields, whole_seconds

LIMIT = Limit("tenant", "tenant", 100, 10, 200)


def test_a_refusal_says_when_to_come_back() -> None:
    assert dict(refusal_fields(LIMIT, 3)) == {
        "retry-after": b"3",
        "ratelimit-policy": b'"tenant";q=100;w=10',
        "ratelimit": b'"tenant";r=0;t=3',
    }
    assert dict(refusal_fields(LIMIT, 0))["retry-after"] == b"1", "never at once"
    assert dict(refusal_fields(LIMIT, 10**20))["retry-after"] == b"9" * 15


def test_an_answer_that_passes_says_what_remains() -> None:
    bucket = Bucket("k", LIMIT)
    bucket.spend(0, 50)
    assert passing_fields(bucket, 0) == (policy_field(LIMIT), ("ratelimit", b'"tenant";r=150;t=5'))
    bucket.spend(0, 150)
    assert passing_fields(bucket, 0)[1] == ("ratelimit", b'"tenant";r=0;t=1')
    assert passing_fields(bucket, 100 * SECOND_NS)[1] == ("ratelimit", b'"tenant";r=200;t=0')


def test_seconds_are_rounded_up() -> None:
    assert [whole_seconds(each) for each in (0, 1, SECOND_NS, SECOND_NS + 1)] == [0, 1, 1, 2]
