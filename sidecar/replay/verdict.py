"""What becomes of one request: the same, lost, gained, changed or unknown."""

from enum import Enum
from typing import NamedTuple

from sidecar.authz.decision import Decision, Snapshot
from sidecar.authz.encoding.allowed import encode_allowed
from sidecar.authz.encoding.denied import encode_denied, encode_preflight
from sidecar.authz.encoding.response import DecodedResponse, decode_response
from sidecar.common.reasons import Grant
from sidecar.replay.decider import Access, Prediction
from sidecar.replay.line import ALLOW, RecordedLine

_ID = b"0" * 20
_NONCE = b"a-nonce-made-only-once--"
"""Stand for what differs from answer to answer."""


class ReplayVerdict(Enum):
    """What becomes of a request, in the order in which it is told."""

    GAINED = "gained"
    LOST = "lost"
    CHANGED = "changed"
    UNKNOWN = "unknown"
    SAME = "same"


class ReplayOutcome(NamedTuple):
    """What was decided, or would be."""

    access: Access
    reason: str
    status: int
    route: str
    shadowed: str = ""
    is_certain: bool = True
    """Whether the reason is; the access always is, where it is not ``unknown``."""


def recorded_outcome(line: RecordedLine) -> ReplayOutcome:
    """Return what was decided when the line was written."""
    access: Access = "allow" if line.outcome == ALLOW else "deny"
    return ReplayOutcome(access, line.reason, line.status, line.route, line.shadow_reason)


def predicted_outcome(prediction: Prediction) -> ReplayOutcome:
    """Return what would be decided."""
    access, reason, status, route, _, shadowed, left_open, _ = prediction
    return ReplayOutcome(access, reason, status, route, shadowed, not left_open)


def verdict_of(before: ReplayOutcome, after: ReplayOutcome) -> ReplayVerdict:
    """Return what becomes of a request with these two outcomes."""
    if "unknown" in {before.access, after.access}:
        return ReplayVerdict.UNKNOWN
    if before.access != after.access:
        return ReplayVerdict.GAINED if after.access == "allow" else ReplayVerdict.LOST
    are_certain = before.is_certain and after.is_certain
    if before.route != after.route or (are_certain and before != after):
        return ReplayVerdict.CHANGED
    return ReplayVerdict.SAME


def changed_headers(
    before: Decision, old: Snapshot, after: Decision, new: Snapshot
) -> tuple[str, ...]:
    """Return the names of headers that two answers differ in, those to the application first."""
    one, two = _answer_of(before, old), _answer_of(after, new)
    requests = _differing(one.request_headers, two.request_headers)
    requests |= set(one.removed_headers) ^ set(two.removed_headers)
    responses = _differing(one.response_headers, two.response_headers)
    return (
        *(f"request {name}" for name in sorted(requests)),
        *(f"response {name}" for name in sorted(responses)),
    )


def _answer_of(decision: Decision, snapshot: Snapshot) -> DecodedResponse:
    if decision.outcome is Grant.PREFLIGHT:
        return decode_response(encode_preflight(decision, snapshot, _ID, {}))
    if decision.allowed:
        return decode_response(encode_allowed(decision, snapshot, {}, lambda: _NONCE, _ID))
    return decode_response(encode_denied(decision, snapshot, _ID, "", {}))


def _differing(one: dict[str, str], two: dict[str, str]) -> set[str]:
    return {name for name in one.keys() | two.keys() if one.get(name) != two.get(name)}
