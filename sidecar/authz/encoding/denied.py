"""Answers of the sidecar's own: denials, preflights, and what a CA asks for.

To Envoy each of them is a denial: it is the only answer with a status and a body that it has.
"""

import json

from sidecar.authz.decision import Decision, Snapshot
from sidecar.authz.encoding.fields import MAX_SHARED, set_headers, set_metadata
from sidecar.authz.grpc_web import as_text, trailer_block
from sidecar.authz.preflight import NO_CONTENT
from sidecar.common.reasons import (
    ANSWERS,
    GRPC_CODES,
    INVALID_DPOP_PROOF,
    USE_DPOP_NONCE,
    Answer,
    Reason,
)
from sidecar.headers.field import ResponseHeader
from sidecar.limits.fields import Field
from sidecar.pb import ext_authz_pb2 as pb

PERMISSION_DENIED = 7
_REALM = "septem"
_CHALLENGE_HEADERS = (
    ResponseHeader("content-type", b"application/octet-stream"),
    ResponseHeader("cache-control", b"no-store"),
)
DenialKey = tuple[str, str, str, str, str, tuple[Field, ...]]
_SLOT, _REQUEST_SLOT = "~", "^"
"""They stand for each character of the decision's id, and of the request's; none of our headers
has two of either in a row."""
_OUR_FAILURES = frozenset({Reason.KEYS_DEGRADED})
"""Counted by Envoy as errors of ours and not as denials; the client's answer is the same."""


def encode_denied(
    decision: Decision,
    snapshot: Snapshot,
    decision_id: bytes,
    request_id: str,
    shared: dict[DenialKey, bytes],
) -> bytes:
    """Return the ``CheckResponse`` that denies: RFC 9457 body, RFC 6750 challenge.

    Denials for one reason on one route differ in nothing but their two ids, and those who are
    denied may come in floods: what is kept in ``shared`` has slots for them.
    """
    slot, request_slot = _SLOT * len(decision_id), _REQUEST_SLOT * len(request_id)
    key = (
        decision.outcome, decision.route, snapshot.key_state, decision.origin, request_slot,
        decision.fields,
    )  # fmt: skip
    template = shared.get(key)
    if template is None:
        if len(shared) >= MAX_SHARED:
            shared.clear()
        template = shared[key] = _encode_denied(decision, snapshot, slot, request_slot)
    answer = template.replace(slot.encode("ascii"), decision_id)
    return answer.replace(request_slot.encode("ascii"), request_id.encode("ascii"), 1)


def _encode_denied(
    decision: Decision, snapshot: Snapshot, decision_id: str, request_id: str
) -> bytes:
    reason = Reason(decision.outcome)
    answer = ANSWERS[reason]
    response = pb.CheckResponse()
    response.status.code = PERMISSION_DENIED
    denied = response.error_response if reason in _OUR_FAILURES else response.denied_response
    denied.status.code = answer.status
    set_headers(denied.headers, snapshot.headers.on_denied())
    cross_origin = snapshot.headers.on_cross_origin(decision.cors, decision.origin)
    set_headers(denied.headers, cross_origin)
    set_headers(denied.headers, (ResponseHeader("content-type", b"application/problem+json"),))
    set_headers(denied.headers, (ResponseHeader(*each) for each in decision.fields))
    challenge = challenge_of(answer, decision.dpop, snapshot.dpop.names)
    if challenge is not None:
        set_headers(denied.headers, (ResponseHeader("www-authenticate", challenge.encode()),))
    denied.body = problem_body(reason, answer, decision_id, request_id)
    set_metadata(response, decision, snapshot, decision_id)
    _set_grpc_status(response, answer)
    return response.SerializeToString()


def encode_preflight(
    decision: Decision,
    snapshot: Snapshot,
    decision_id: bytes,
    shared: dict[DenialKey, bytes],
) -> bytes:
    """Return the answer to an admitted preflight: to Envoy a denial, to the browser a 204.

    But for its id it is the same for every preflight of a route and an origin, and kept in
    ``shared``.
    """
    slot = _SLOT * len(decision_id)
    key = (decision.outcome, decision.route, snapshot.key_state, decision.origin, "", ())
    answer = shared.get(key)
    if answer is None:
        if len(shared) >= MAX_SHARED:
            shared.clear()
        answer = shared[key] = _encode_preflight(decision, snapshot, slot)
    return answer.replace(slot.encode("ascii"), decision_id)


def _encode_preflight(decision: Decision, snapshot: Snapshot, decision_id: str) -> bytes:
    response = pb.CheckResponse()
    response.status.code = PERMISSION_DENIED
    answered = response.denied_response
    answered.status.code = NO_CONTENT
    set_headers(answered.headers, snapshot.headers.on_denied())
    set_headers(answered.headers, snapshot.headers.on_preflight(decision.cors, decision.origin))
    set_metadata(response, decision, snapshot, decision_id)
    return response.SerializeToString()


def encode_challenge(
    decision: Decision, snapshot: Snapshot, decision_id: bytes, body: str
) -> bytes:
    """Write the ``CheckResponse`` that answers a CA in the application's place.

    A denial with status 200: it is the only answer with a body that Envoy has.
    """
    response = pb.CheckResponse()
    response.status.code = PERMISSION_DENIED
    denied = response.denied_response
    denied.status.code = 200
    set_headers(denied.headers, _CHALLENGE_HEADERS)
    denied.body = body
    set_metadata(response, decision, snapshot, decision_id.decode("ascii"))
    return response.SerializeToString()


def challenge_of(answer: Answer, dpop: str = "", algorithms: str = "") -> str | None:
    """Return the value of ``WWW-Authenticate`` (RFC 6750 §3, RFC 9449 §7.1), or ``None``.

    ``dpop`` is whether the route takes the scheme ``DPoP`` (``accepted``) or no other
    (``required``); ``algorithms`` are those of its proofs.
    """
    if answer.challenge is None:
        return None
    error = (
        f', error="{answer.challenge}", error_description="{answer.title}"'
        if answer.challenge
        else ""
    )
    bearer, proof = f'Bearer realm="{_REALM}"', f'DPoP realm="{_REALM}", algs="{algorithms}"'
    if dpop == "required" or answer.challenge in {INVALID_DPOP_PROOF, USE_DPOP_NONCE}:
        return proof + error
    return f"{bearer}{error}, {proof}" if dpop else bearer + error


def problem_body(reason: Reason, answer: Answer, decision_id: str, request_id: str) -> str:
    """Return the problem+json of a denial (RFC 9457 §3): terse, of the request its id alone."""
    members: dict[str, str | int] = {
        "type": f"urn:septem:reason:{reason}",
        "title": answer.title,
        "status": answer.status,
        "reason": reason,
        "instance": f"urn:septem:decision:{decision_id}",
    }
    if request_id:
        members["request_id"] = request_id
    return json.dumps(members, separators=(",", ":"))


def _set_grpc_status(response: pb.CheckResponse, answer: Answer) -> None:
    """Set what Envoy answers in place of the body where the client speaks gRPC or gRPC-Web.

    Only Envoy knows what it speaks: the request's content type is not sent to the sidecar.
    """
    code = GRPC_CODES[answer.status]
    block = trailer_block(code, answer.title)
    fields = response.dynamic_metadata.fields
    fields["title"].string_value = answer.title
    fields["grpc_status"].string_value = str(int(code))
    fields["grpc_web"].string_value = block
    fields["grpc_web_text"].string_value = as_text(block)
