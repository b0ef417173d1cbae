"""The answer that lets a request pass: encoded in parts, of which most are kept."""

from collections.abc import Callable
from functools import lru_cache

from sidecar.authz.credential import COOKIE
from sidecar.authz.decision import Decision, Snapshot
from sidecar.authz.encoding.fields import MAX_SHARED, set_headers, set_metadata
from sidecar.authz.encoding.varint import varint
from sidecar.authz.response_cache import (
    ID_ENTRY_BYTES,
    NO_FIELDS,
    EncodedFields,
    NonceTemplate,
    Template,
)
from sidecar.authz.streams import TIMEOUT_HEADER, format_timeout
from sidecar.headers.field import ResponseHeader
from sidecar.headers.nonce import NONCE_SLOT
from sidecar.headers.security import Page
from sidecar.headers.tenant import (
    CSP_NONCE,
    JWT_ID,
    ROLES,
    TENANT_ID,
    USER_ID,
    module_headers,
    tenant_headers,
)
from sidecar.pb import ext_authz_pb2 as pb
from sidecar.tokens.claims import Claims

_CONDITIONS = ("if-none-match", "if-modified-since")
_NONCE_SLOT = NONCE_SLOT.encode("ascii")
_OK_STATUS = pb.CheckResponse(status=pb.Status()).SerializeToString()
SharedKey = tuple[str, str | None, str, Page, str, bool, str, tuple[str, ...], tuple[str, ...]]
"""What the shared part of an answer depends on."""


def encode_allowed(
    decision: Decision,
    snapshot: Snapshot,
    shared: dict[SharedKey, EncodedFields],
    new_nonce: Callable[[], bytes],
    decision_id: bytes,
) -> bytes:
    """Return the ``CheckResponse`` that lets a request pass."""
    token = decision.token
    own = NO_FIELDS if token is None else own_fields(token.claims)
    module = (_request_header(*each) for each in _module_headers(decision).items())
    if decision.cookie is not None:
        own = (own[0] + _request_header(COOKIE, decision.cookie.decode("ascii")), own[1])
    own = (b"".join((own[0], *module, _stream_limit(decision))), own[1])
    answer = make_template(decision, snapshot, own, shared, new_nonce).fill(own, decision_id)
    return answer + _response_fields(decision) if decision.fields else answer


def _response_fields(decision: Decision) -> bytes:
    """Encode response headers that differ from answer to answer.

    A second ``ok_response`` after the first: a reader of protobuf joins their repeated fields.
    """
    response = pb.CheckResponse()
    set_headers(
        response.ok_response.response_headers_to_add,
        (ResponseHeader(*each) for each in decision.fields),
    )
    return response.SerializeToString()


def make_template(
    decision: Decision,
    snapshot: Snapshot,
    own: EncodedFields,
    shared: dict[SharedKey, EncodedFields],
    new_nonce: Callable[[], bytes],
) -> Template:
    """Return the answer to an allowed request, but for what is its token's own.

    Its two submessages are each put together of two runs of fields: what the route, the
    tenant's domain and the state of the keys make of them, kept in ``shared``, and what the
    token makes of them, kept with the token. So nothing is encoded for a token that was
    here before, and a cached token costs a few hundred bytes.

    Every trusted header is either overwritten or removed, so none of the client's
    arrives (Envoy removes after it sets: what is set is left out of the removals).
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
        b"\x22" + varint(len(metadata) + len(own[1]) + ID_ENTRY_BYTES),  # field 4: dynamic_metadata
        metadata,
        outcome=decision.outcome,
        route=decision.route,
        key_state=snapshot.key_state,
    )
    return NonceTemplate(template, _NONCE_SLOT, new_nonce) if decision.nonce else template


def _common_fields(decision: Decision, snapshot: Snapshot, page: Page) -> EncodedFields:
    """Encode what tokens have in common."""
    response = pb.CheckResponse()
    ok = response.ok_response
    trusted = set(tenant_headers(decision.token.claims)) if decision.token is not None else set()
    trusted |= _module_headers(decision).keys()
    nonce = NONCE_SLOT if decision.nonce else None
    if nonce is not None:
        trusted.add(CSP_NONCE)
        set_headers(ok.headers, (ResponseHeader(CSP_NONCE, _NONCE_SLOT),))
        # A 304 would pair a page that was stored earlier with the nonce of now.
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
    """Encode what is one token's alone: its request headers, and its tenant as metadata.

    By hand, because every token that was not seen before pays for it; the tests hold it
    against protobuf's own encoder.
    """
    tenant_header, tenant_metadata = _tenant_fields(claims.tenant_id)
    headers = (
        tenant_header
        + _request_header(USER_ID, claims.subject)
        + _request_header(JWT_ID, claims.token_id)
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
