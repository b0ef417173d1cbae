"""The response fields of rate limits (draft-ietf-httpapi-ratelimit-headers-10, RFC 9110 §10.2.3).

``RateLimit-Policy`` names the quota ``q`` and its window ``w`` in seconds; ``RateLimit`` how many
requests remain (``r``) and in how many seconds (``t``) there are more: with none left until the
next one passes, otherwise until the quota is whole again. Both are Structured Fields (RFC 9651).
The quota is the average; a burst above it shows in ``r``.
"""

from sidecar.limits.bucket import SECOND_NS, Bucket, Limit

Field = tuple[str, bytes]
"""A response field's name and value."""
_MAX_INTEGER = 999_999_999_999_999
"""The largest Integer of a Structured Field (RFC 9651 §3.3.1)."""


def policy_field(limit: Limit) -> Field:
    """Return ``RateLimit-Policy`` for one limit."""
    value = f'"{limit.kind}";q={limit.requests};w={limit.per_seconds}'
    return "ratelimit-policy", value.encode("ascii")


def refusal_fields(limit: Limit, wait_seconds: int) -> tuple[Field, ...]:
    """Return the fields of an answer with status 429."""
    wait = min(_MAX_INTEGER, max(1, wait_seconds))
    return (
        ("retry-after", b"%d" % wait),
        policy_field(limit),
        ("ratelimit", f'"{limit.kind}";r=0;t={wait}'.encode("ascii")),
    )


def passing_fields(bucket: Bucket, now_ns: int) -> tuple[Field, ...]:
    """Return the fields of an answer that lets the request pass."""
    remaining = min(_MAX_INTEGER, bucket.remaining(now_ns))
    until_ns = max(0, bucket.full_at_ns - now_ns)
    if not remaining:
        until_ns -= bucket.tolerance_ns
    value = f'"{bucket.limit.kind}";r={remaining};t={whole_seconds(until_ns)}'
    return (policy_field(bucket.limit), ("ratelimit", value.encode("ascii")))


def whole_seconds(nanoseconds: int) -> int:
    """Return seconds, rounded up: a client that waits so long does not come too early."""
    return -(-nanoseconds // SECOND_NS)
