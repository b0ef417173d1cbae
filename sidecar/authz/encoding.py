"""Decodes ``CheckRequest`` and encodes ``CheckResponse``: authz's only module with protobuf.

Messages are those of ``proto/ext_authz.proto``; Envoy's behaviour with each field is
noted where it decides how the field is used.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache

from google.protobuf.message import DecodeError

from sidecar.authz.credential import COOKIE
from sidecar.authz.decision import Decision, RequestView, Snapshot
from sidecar.authz.grpc_web import as_text, trailer_block
from sidecar.authz.response_cache import NO_FIELDS, EncodedFields, NonceTemplate, Template
from sidecar.authz.streams import TIMEOUT_HEADER, format_timeout
from sidecar.common.errors import Denied
from sidecar.common.reasons import ANSWERS, GRPC_CODES, Answer, Reason
from sidecar.headers.field import ResponseHeader
from sidecar.headers.nonce import NONCE_SLOT
from sidecar.headers.security import Page
from sidecar.headers.tenant import (
    CSP_NONCE,
    ROLES,
    TENANT_ID,
    TOKEN_ID,
    USER_ID,
    module_headers,
    tenant_headers,
)
from sidecar.pb import ext_authz_pb2 as pb
from sidecar.tokens.claims import Claims

PERMISSION_DENIED = 7
_REALM = "septem"
MAX_SHARED = 4096
_CONDITIONS = ("if-none-match", "if-modified-since")
_CHALLENGE_HEADERS = (
    ResponseHeader("content-type", b"application/octet-stream"),
    ResponseHeader("cache-control", b"no-store"),
)
_NONCE_SLOT = NONCE_SLOT.encode("ascii")
_OK_STATUS = pb.CheckResponse(status=pb.Status()).SerializeToString()
SharedKey = tuple[str, str | None, str, Page, str, bool, str, tuple[str, ...], tuple[str, ...]]
"""What the shared part of an answer depends on."""
DenialKey = tuple[str, str, str, str, str]
_SLOT = "~"
"""Placeholder for each character of a decision id; no header contains two of it in a row."""
_ERRORS = frozenset({Reason.KEYS_DEGRADED})
"""Envoy counts these as errors of ext_authz, not as denials; the client's answer is the same."""


def parse_request(raw: bytes) -> pb.AttributeContext:
    """Parse a ``CheckRequest`` and return its attributes.

    Raises ``Denied(request_malformed)`` for bytes that are not such a message.
    """
    try:
        return pb.CheckRequest.FromString(raw).attributes
    except DecodeError as exc:
        raise Denied(Reason.REQUEST_MALFORMED, "the bytes are not a CheckRequest") from exc


def view_of(attributes: pb.AttributeContext) -> RequestView:
    """Return the request view of a Check's attributes.

    Missing fields are empty in the view: the evaluation denies the request and says what is
    missing.
    """
    http = attributes.request.http
    source = attributes.source
    headers: Mapping[str, bytes] = http.headers
    if http.HasField("header_map"):
        headers = _join(http.header_map.headers)
    return RequestView(
        http.method,
        http.host,
        http.path,
        headers,
        source.address.socket_address.address,
        source.principal,
        source.certificate,
        http.raw_body,
    )


def decode_request(raw: bytes) -> RequestView:
    """Return the request view of a serialised ``CheckRequest``; raise as ``parse_request``."""
    return view_of(parse_request(raw))


def _join(raw_headers: Iterable[pb.HeaderValue]) -> dict[str, bytes]:
    """Join repeated headers with commas, as Envoy does when it does not send them raw."""
    joined: dict[str, bytes] = {}
    for header in raw_headers:
        name = header.key.lower()
        value = header.raw_value or header.value
        joined[name] = joined[name] + b"," + value if name in joined else value
    return joined


def encode_allowed(
    decision: Decision,
    snapshot: Snapshot,
    shared: dict[SharedKey, EncodedFields],
    new_nonce: Callable[[], bytes],
) -> bytes:
    """Return the ``CheckResponse`` that allows a request."""
    token = decision.token
    own = NO_FIELDS if token is None else own_fields(token.claims)
    module = (_request_header(*each) for each in _module_headers(decision).items())
    if decision.cookie is not None:
        own = (own[0] + _request_header(COOKIE, decision.cookie.decode("ascii")), own[1])
    own = (b"".join((own[0], *module, _stream_limit(decision))), own[1])
    return make_template(decision, snapshot, own, shared, new_nonce).fill(own)


def make_template(
    decision: Decision,
    snapshot: Snapshot,
    own: EncodedFields,
    shared: dict[SharedKey, EncodedFields],
    new_nonce: Callable[[], bytes],
) -> Template:
    """Return the answer to an allowed request, without the fields that are its token's own.

    Each of its two submessages consists of two parts: the fields that depend on the route, the
    tenant's domain and the key state, kept in ``shared``, and the fields that depend on the
    token, kept with the cached token. So nothing is encoded for a token that was seen before,
    and a cached token costs a few hundred bytes.

    Every trusted header is either overwritten or removed, so none of the client's reaches the
    application (Envoy removes after it sets: headers that are set are not removed).
    """
    token = decision.token
    tenant = token.claims.tenant_id if token is not None else None
    has_roles = token is not None and bool(token.claims.roles)
    page = snapshot.headers.page_of(decision.host, tenant)
    key = (
        decision.outcome, decision.shadowed, decision.route, page, snapshot.key_state, has_roles,
        decision.origin, tuple(_module_headers(decision)), decision.removed,
    )  # fmt: skip
    common = shared.get(key)
    if common is None:
        common = _common_fields(decision, snapshot, page)
        if len(shared) >= MAX_SHARED:
            shared.clear()
        shared[key] = common
    ok, metadata = common
    template = Template(
        _OK_STATUS + b"\x1a" + varint(len(ok) + len(own[0])),  # field 3: ok_response
        ok,
        b"\x22" + varint(len(metadata) + len(own[1])),  # field 4: dynamic_metadata
        metadata,
        outcome=decision.outcome,
        route=decision.route,
        key_state=snapshot.key_state,
    )
    return NonceTemplate(template, _NONCE_SLOT, new_nonce) if decision.nonce else template


def _common_fields(decision: Decision, snapshot: Snapshot, page: Page) -> EncodedFields:
    """Encode the fields that do not depend on the token."""
    response = pb.CheckResponse()
    ok = response.ok_response
    trusted = set(tenant_headers(decision.token.claims)) if decision.token is not None else set()
    trusted |= _module_headers(decision).keys()
    nonce = NONCE_SLOT if decision.nonce else None
    if nonce is not None:
        trusted.add(CSP_NONCE)
        set_headers(ok.headers, (ResponseHeader(CSP_NONCE, _NONCE_SLOT),))
        # A 304 would pair a page that was stored earlier with the new nonce.
        ok.headers_to_remove.extend(_CONDITIONS)
    ok.headers_to_remove.extend(decision.removed)
    left = trusted | snapshot.kept_by_route.get(decision.route, frozenset())
    ok.headers_to_remove.extend(name for name in snapshot.names_to_remove if name not in left)
    headers = snapshot.headers
    set_headers(ok.response_headers_to_add, headers.on_allowed(decision.csp, page, nonce))
    cross_origin = headers.on_cross_origin(decision.cors, decision.origin)
    set_headers(ok.response_headers_to_add, cross_origin)
    set_metadata(response, decision, snapshot)
    return ok.SerializeToString(), response.dynamic_metadata.SerializeToString()


def own_fields(claims: Claims) -> EncodedFields:
    """Encode the fields that are one token's own: its request headers, its tenant as metadata.

    Encoded by hand, because every new token pays for it; the tests compare the result with
    protobuf's own encoder.
    """
    tenant_header, tenant_metadata = _tenant_fields(claims.tenant_id)
    headers = (
        tenant_header
        + _request_header(USER_ID, claims.subject)
        + _request_header(TOKEN_ID, claims.token_id)
    )
    if claims.roles:
        headers += _roles_header(claims.roles)
    return headers, tenant_metadata


@lru_cache(maxsize=16_384)
def _tenant_fields(tenant_id: str) -> EncodedFields:
    tenant = tenant_id.encode("ascii")
    string_value = b"\x1a" + varint(len(tenant)) + tenant  # google.protobuf.Value, field 3
    entry = b"\x0a\x06tenant\x12" + varint(len(string_value)) + string_value
    return _request_header(TENANT_ID, tenant_id), b"\x0a" + varint(len(entry)) + entry


@lru_cache(maxsize=4096)
def _roles_header(roles: tuple[str, ...]) -> bytes:
    return _request_header(ROLES, ",".join(roles))


def _stream_limit(decision: Decision) -> bytes:
    limit = decision.stream_milliseconds
    return _request_header(TIMEOUT_HEADER, format_timeout(limit)) if limit else b""


def _module_headers(decision: Decision) -> dict[str, str]:
    return {} if decision.provenance is None else module_headers(decision.provenance.publisher)


def _request_header(name: str, value: str) -> bytes:
    """Encode field 2 of ``OkHttpResponse``: a ``HeaderValueOption`` that overwrites."""
    key, raw = _name_field(name), value.encode("ascii")
    whole = len(key) + len(raw)
    if whole < _SHORT:
        # The three lengths, around the value's own, fit into one byte each.
        return b"\x12%c\x0a%c%b%c%b\x18\x02" % (whole + 5, whole + 1, key, len(raw), raw)
    header = key + varint(len(raw)) + raw
    option = b"\x0a" + varint(len(header)) + header + b"\x18\x02"
    return b"\x12" + varint(len(option)) + option


_SHORT = 120


@lru_cache(maxsize=64)
def _name_field(name: str) -> bytes:
    """Encode a ``HeaderValue``'s key, and the tag of its value."""
    raw = name.encode("ascii")
    return b"\x0a" + varint(len(raw)) + raw + b"\x12"


_ONE_BYTE = tuple(bytes((value,)) for value in range(128))


def varint(value: int) -> bytes:
    """Encode a length as protobuf does: seven bits a byte, the lowest first."""
    if value < 128:  # noqa: PLR2004
        return _ONE_BYTE[value]
    encoded = bytearray()
    while value > 0x7F:  # noqa: PLR2004
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def encode_denied(
    decision: Decision, snapshot: Snapshot, decision_id: str, shared: dict[DenialKey, bytes]
) -> bytes:
    """Return the ``CheckResponse`` that denies: RFC 9457 body, RFC 6750 challenge.

    Denials for one reason on one route differ only in their decision id, and they may come in
    floods: the encoded answer in ``shared`` has a slot for the id.
    """
    slot = _SLOT * len(decision_id)
    key = (decision.outcome, decision.route, snapshot.key_state, decision.origin, slot)
    template = shared.get(key)
    if template is None:
        if len(shared) >= MAX_SHARED:
            shared.clear()
        template = shared[key] = _encode_denied(decision, snapshot, slot)
    return template.replace(slot.encode("ascii"), decision_id.encode("ascii"))


def _encode_denied(decision: Decision, snapshot: Snapshot, decision_id: str) -> bytes:
    reason = Reason(decision.outcome)
    answer = ANSWERS[reason]
    response = pb.CheckResponse()
    response.status.code = PERMISSION_DENIED
    denied = response.error_response if reason in _ERRORS else response.denied_response
    denied.status.code = answer.status
    set_headers(denied.headers, snapshot.headers.on_denied())
    cross_origin = snapshot.headers.on_cross_origin(decision.cors, decision.origin)
    set_headers(denied.headers, cross_origin)
    set_headers(denied.headers, (ResponseHeader("content-type", b"application/problem+json"),))
    challenge = challenge_of(answer)
    if challenge is not None:
        set_headers(denied.headers, (ResponseHeader("www-authenticate", challenge.encode()),))
    denied.body = problem_body(reason, answer, decision_id)
    set_metadata(response, decision, snapshot, decision_id)
    _set_grpc_status(response, answer)
    return response.SerializeToString()


def encode_challenge(decision: Decision, snapshot: Snapshot, decision_id: str, body: str) -> bytes:
    """Return the ``CheckResponse`` that answers a CA in place of the application.

    It is a denial with status 200: ext_authz has no other answer with a body.
    """
    response = pb.CheckResponse()
    response.status.code = PERMISSION_DENIED
    denied = response.denied_response
    denied.status.code = 200
    set_headers(denied.headers, _CHALLENGE_HEADERS)
    denied.body = body
    set_metadata(response, decision, snapshot, decision_id)
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
    """Return the problem+json of a denial (RFC 9457 §3): terse, nothing of the request."""
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


def _set_grpc_status(response: pb.CheckResponse, answer: Answer) -> None:
    """Set what Envoy answers instead of the body to clients of gRPC or gRPC-Web.

    Only Envoy knows the protocol: the request's content type is not sent to the sidecar.
    """
    code = GRPC_CODES[answer.status]
    block = trailer_block(code, answer.title)
    fields = response.dynamic_metadata.fields
    fields["title"].string_value = answer.title
    fields["grpc_status"].string_value = str(int(code))
    fields["grpc_web"].string_value = block
    fields["grpc_web_text"].string_value = as_text(block)


def set_headers(into: object, headers: Iterable[ResponseHeader]) -> None:
    """Write headers into a repeated ``HeaderValueOption``."""
    for name, value, how in headers:
        option = into.add(append_action=int(how))  # type: ignore[attr-defined]
        option.header.key = name
        option.header.value = value


def set_metadata(
    response: pb.CheckResponse,
    decision: Decision,
    snapshot: Snapshot,
    decision_id: str | None = None,
) -> None:
    """Set the dynamic metadata that the access log and per-tenant rate limits read.

    A ``decision_id`` is set exactly where the answer has a body of the sidecar's: Envoy uses
    it to recognise the local replies that must be problem+json.
    """
    fields = response.dynamic_metadata.fields
    fields["reason"].string_value = decision.outcome
    fields["route"].string_value = decision.route
    fields["key_state"].string_value = snapshot.key_state
    if decision.shadowed is not None:
        fields["shadow"].string_value = decision.shadowed
    if decision_id is not None:
        fields["decision_id"].string_value = decision_id
