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
from sidecar.tokens.claims import Claims

_PERMISSION_DENIED = 7
_OVERWRITE = pb.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
_REALM = "septem"
_NOT_STORED = ("cache-control", "no-store")
_MAX_SHARED = 4096
_NO_PARTS = (b"", b"")
_OK_STATUS = pb.CheckResponse(status=pb.Status()).SerializeToString()
_OK_TAG, _METADATA_TAG = b"\x1a", b"\x22"
"""Fields 3 and 4 of ``CheckResponse``, length-delimited."""
Parts = tuple[bytes, bytes]
"""Runs of fields of ``OkHttpResponse`` and of the metadata's ``Struct``."""
SharedKey = tuple[str, str | None, str, str | None, str, bool]
"""What the shared part of an answer depends on."""
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
        certificate=source.certificate,
    )


def _join(raw_headers: Iterable[pb.HeaderValue]) -> dict[str, bytes]:
    """Join repeated headers by commas, as Envoy does where it does not send them raw."""
    joined: dict[str, bytes] = {}
    for header in raw_headers:
        name = header.key.lower()
        value = header.raw_value or header.value
        joined[name] = joined[name] + b"," + value if name in joined else value
    return joined


def encode_allowed(decision: Decision, snapshot: Snapshot, shared: dict[SharedKey, Parts]) -> bytes:
    """Return the ``CheckResponse`` that lets a request pass.

    Its two submessages are each put together of two runs of fields: what the route, the
    tenant's domain and the state of the keys make of them, kept in ``shared``, and what the
    token makes of them, kept with the token. So nothing is encoded for a token that was
    here before, and a remembered token costs a few hundred bytes.

    Every trusted header is either overwritten or removed, so none of the client's
    arrives (Envoy removes after it sets: what is set is left out of the removals).
    """
    token, remembered = decision.token, decision.remembered
    tenant = token.claims.tenant_id if token is not None else None
    has_roles = token is not None and bool(token.claims.roles)
    domain = snapshot.headers.domain_of(decision.host, tenant)
    key = (
        decision.outcome, decision.shadowed, decision.route, domain, snapshot.key_state, has_roles,
    )  # fmt: skip
    common = shared.get(key)
    if common is None:
        common = _common_parts(decision, snapshot, domain)
        if len(shared) >= _MAX_SHARED:
            shared.clear()
        shared[key] = common
    if token is None:
        own = _NO_PARTS
    elif remembered is None:
        own = _own_parts(token.claims)
    else:
        own = remembered.answer = remembered.answer or _own_parts(token.claims)
    ok, metadata = common[0] + own[0], common[1] + own[1]
    return b"".join(
        (_OK_STATUS, _OK_TAG, _varint(len(ok)), ok, _METADATA_TAG, _varint(len(metadata)), metadata)
    )


def _common_parts(decision: Decision, snapshot: Snapshot, domain: str | None) -> Parts:
    """Encode what tokens have in common."""
    response = pb.CheckResponse()
    ok = response.ok_response
    trusted = tenant_headers(decision.token.claims) if decision.token is not None else {}
    ok.headers_to_remove.extend(name for name in snapshot.names_to_remove if name not in trusted)
    _set_headers(ok.response_headers_to_add, snapshot.headers.on_allowed(decision.csp, domain))
    _set_metadata(response, decision, snapshot)
    return ok.SerializeToString(), response.dynamic_metadata.SerializeToString()


def _own_parts(claims: Claims) -> Parts:
    """Encode what is one token's alone."""
    response = pb.CheckResponse()
    _set_headers(response.ok_response.headers, tenant_headers(claims).items())
    response.dynamic_metadata.fields["tenant"].string_value = claims.tenant_id
    return response.ok_response.SerializeToString(), response.dynamic_metadata.SerializeToString()


def _varint(value: int) -> bytes:
    """Encode a length as protobuf does: seven bits a byte, the lowest first."""
    if 128 <= value < 16_384:  # noqa: PLR2004 - two bytes: nearly every answer
        return bytes((value & 0x7F | 0x80, value >> 7))
    encoded = bytearray()
    while value > 0x7F:  # noqa: PLR2004
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


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


def encode_challenge(decision: Decision, snapshot: Snapshot, decision_id: str, body: str) -> bytes:
    """Write the ``CheckResponse`` that answers a CA in the application's place.

    A refusal with status 200: it is the only answer with a body that Envoy has.
    """
    response = pb.CheckResponse()
    response.status.code = _PERMISSION_DENIED
    denied = response.denied_response
    denied.status.code = 200
    _set_headers(denied.headers, (("content-type", "application/octet-stream"), _NOT_STORED))
    denied.body = body
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
    if decision_id is not None:
        fields["decision_id"].string_value = decision_id
