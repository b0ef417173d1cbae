"""Between protobuf and the decision: the only module of ``authz`` that knows the wire.

Messages are those of ``proto/ext_authz.proto``; Envoy's behaviour with each field is
noted where it decides how the field is used.
"""

import json
from collections.abc import Iterable, Mapping

from google.protobuf.message import DecodeError

from sidecar.authz.decision import Decision, RequestView, Snapshot
from sidecar.errors import Denied
from sidecar.headers.tenant import tenant_headers
from sidecar.pb import ext_authz_pb2 as pb
from sidecar.reasons import ANSWERS, Answer, Reason

_OK = 0
_PERMISSION_DENIED = 7
_OVERWRITE = pb.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
_REALM = "septem"
_OUR_FAILURES = frozenset({Reason.KEYS_DEGRADED})
"""Counted by Envoy as errors of ours and not as denials; the client's answer is the same."""


def decode_request(raw: bytes) -> RequestView:
    """Read a ``CheckRequest``.

    Raises ``Denied(request_malformed)`` for bytes that are no such message. A message
    that lacks what a decision needs is read as it is: the pipeline says what is missing.
    """
    try:
        attributes = pb.CheckRequest.FromString(raw).attributes
    except DecodeError as exc:
        raise Denied(Reason.REQUEST_MALFORMED, "the bytes are no CheckRequest") from exc
    http = attributes.request.http
    source = attributes.source
    headers: Mapping[str, bytes] = http.headers
    if http.HasField("header_map"):
        headers = _join(http.header_map.headers)
    return RequestView(
        method=http.method,
        host=http.host,
        path=http.path,
        headers=headers,
        source=source.address.socket_address.address,
        principal=source.principal,
    )


def _join(raw_headers: Iterable[pb.HeaderValue]) -> dict[str, bytes]:
    """Join repeated headers by commas, as Envoy does where it does not send them raw."""
    joined: dict[str, bytes] = {}
    for header in raw_headers:
        name = header.key.lower()
        value = header.raw_value or header.value
        joined[name] = joined[name] + b"," + value if name in joined else value
    return joined


def encode_allowed(decision: Decision, snapshot: Snapshot) -> bytes:
    """Write the ``CheckResponse`` that lets a request pass.

    Every trusted header is either overwritten or removed, so none of the client's
    arrives (Envoy removes after it sets: what is set is left out of the removals).
    """
    response = pb.CheckResponse()
    response.status.code = _OK
    ok = response.ok_response
    claims = decision.token.claims if decision.token is not None else None
    trusted = tenant_headers(claims) if claims is not None else {}
    _set_headers(ok.headers, trusted.items())
    ok.headers_to_remove.extend(name for name in snapshot.names_to_remove if name not in trusted)
    tenant = claims.tenant_id if claims is not None else None
    _set_headers(
        ok.response_headers_to_add,
        snapshot.headers.on_allowed(decision.csp, decision.host, tenant),
    )
    _set_metadata(response, decision, snapshot)
    return response.SerializeToString()


def encode_denied(decision: Decision, snapshot: Snapshot, decision_id: str) -> bytes:
    """Write the ``CheckResponse`` that refuses: RFC 9457 body, RFC 6750 challenge."""
    reason = Reason(decision.outcome)
    answer = ANSWERS[reason]
    response = pb.CheckResponse()
    response.status.code = _PERMISSION_DENIED
    denied = response.error_response if reason in _OUR_FAILURES else response.denied_response
    denied.status.code = answer.status
    _set_headers(denied.headers, snapshot.headers.on_denied())
    _set_headers(denied.headers, (("content-type", "application/problem+json"),))
    challenge = challenge_of(answer)
    if challenge is not None:
        _set_headers(denied.headers, (("www-authenticate", challenge),))
    denied.body = problem_body(reason, answer, decision_id)
    _set_metadata(response, decision, snapshot, decision_id)
    return response.SerializeToString()


def challenge_of(answer: Answer) -> str | None:
    """Return the value of ``WWW-Authenticate`` (RFC 6750 §3), or ``None`` for none."""
    if answer.challenge is None:
        return None
    if not answer.challenge:
        return f'Bearer realm="{_REALM}"'
    return (
        f'Bearer realm="{_REALM}", error="{answer.challenge}", error_description="{answer.title}"'
    )


def problem_body(reason: Reason, answer: Answer, decision_id: str) -> str:
    """Return the problem+json of a refusal (RFC 9457 §3): terse, nothing of the request."""
    return json.dumps(
        {
            "type": f"urn:septem:reason:{reason}",
            "title": answer.title,
            "status": answer.status,
            "reason": reason,
            "instance": f"urn:septem:decision:{decision_id}",
        },
        separators=(",", ":"),
    )


def _set_headers(into: object, headers: Iterable[tuple[str, str]]) -> None:
    for name, value in headers:
        option = into.add(append_action=_OVERWRITE)  # type: ignore[attr-defined]
        option.header.key = name
        option.header.value = value.encode("ascii")


def _set_metadata(
    response: pb.CheckResponse,
    decision: Decision,
    snapshot: Snapshot,
    decision_id: str | None = None,
) -> None:
    """Set what the access log and per-tenant rate limits read."""
    fields = response.dynamic_metadata.fields
    fields["reason"].string_value = decision.outcome
    fields["route"].string_value = decision.route
    fields["key_state"].string_value = snapshot.key_state
    if decision.shadowed is not None:
        fields["shadow"].string_value = decision.shadowed
    if decision.token is not None:
        fields["tenant"].string_value = decision.token.claims.tenant_id
    if decision_id is not None:
        fields["decision_id"].string_value = decision_id
