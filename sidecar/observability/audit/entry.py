"""The audit line: a fixed list of fields, redacted on encoding (SECURITY-MODEL §10)."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache

import msgspec

from sidecar.common.printable import escape_json
from sidecar.common.redact import redact
from sidecar.observability.audit.inputs import NO_INPUTS, RecordedInputs, fitting, inputs_fragment

_MAX_WARNINGS = 8
MAX_SUBJECT = 256
"""The most characters of a subject in a line."""


class AuditEntry(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The fields of a line: nothing else is recorded.

    Texts that a client controls are redacted when the line is encoded.
    """

    at: float
    decision_id: str
    outcome: str
    reason: str
    status: int
    route: str
    latency_us: int
    method: str = ""
    host: str = ""
    path: str = ""
    tenant: str = ""
    subject: str = ""
    kid: str = ""
    token_id: str = ""
    source: str = ""
    principal: str = ""
    detail: str = ""
    key_state: str = ""
    token_digest: str = ""
    shadow_reason: str = ""
    warnings: tuple[str, ...] = ()
    request_id: str = ""
    """Envoy's ``x-request-id``, of the form that ``authz.request_ids`` takes."""
    trace_id: str = ""
    """The trace that the request's span belongs to (W3C Trace Context), where it is recorded."""
    inputs: RecordedInputs = NO_INPUTS


class AuditLine(
    msgspec.Struct, omit_defaults=True, kw_only=True, forbid_unknown_fields=True, gc=False
):
    """How an entry is written. The order of the fields is that of the line.

    What is said of each stands in docs/reference-audit.md too.
    """

    time: str
    """When it was decided: RFC 3339, UTC, milliseconds."""
    decision_id: str
    """The decision's id, as the answer's `instance`, Envoy's access log and a span have it."""
    outcome: str
    """`allow` or `deny`; `trail` in a line of the trail's own."""
    reason: str
    """Why the request was denied, or why it was allowed: one name."""
    status: int
    """The HTTP status of the answer; 200 for what was allowed."""
    route: str
    """The name of the route that decided."""
    tenant: str = ""
    """The tenant of the verified token."""
    subject: str = ""
    """The verified token's user, at most 256 characters; a pseudonym with `audit.pseudonyms`."""
    method: str = ""
    """The request's method."""
    host: str = ""
    """The request's host, without its port."""
    path: str = ""
    """The request's path, without the query."""
    source: str = ""
    """The client's address; a pseudonym with `audit.pseudonyms`."""
    principal: str = ""
    """The name of the verified client certificate."""
    kid: str = ""
    """The `kid` of the key that verified the token."""
    token_id: str = ""
    """The token's `jti`."""
    token_digest: str = ""
    """The beginning of the token's SHA-256: it finds the same token again, and is none."""
    detail: str = ""
    """What was wrong, in words that the client is not told."""
    shadow_reason: str = ""
    """On a route in shadow mode, the reason for which it would be denied."""
    warnings: tuple[str, ...] = ()
    """What was noticed and let pass, such as personal data in a claim; at most 8."""
    inputs: RecordedInputs | None = None
    """What the decision was made from, with `audit.record_inputs`."""
    key_state: str = ""
    """The state of the keys at that moment."""
    request_id: str = ""
    """Envoy's `x-request-id`."""
    trace_id: str = ""
    """The trace that the request belongs to, where it is recorded (W3C Trace Context)."""
    latency_us: int
    """Microseconds from the message to the answer."""


_EMPTY: frozenset[object] = frozenset({"", ()})
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(AuditLine)


def timestamp(at: float) -> str:
    """Return RFC 3339 with milliseconds; the formatted second is cached."""
    milliseconds = int(at * 1000)
    return f"{_second(milliseconds // 1000).decode()}.{milliseconds % 1000:03}+00:00"


@lru_cache(maxsize=4)
def _second(second: int) -> bytes:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S").encode("ascii")


def ground_fragment(reason: str, route: str) -> bytes:
    """Encode the fields that depend on grant and route. An allowed request's status is 200."""
    return _members(outcome="allow", reason=reason, status=200, route=route)


def tenant_fragment(tenant: str, subject: str) -> bytes:
    """Encode the token's tenant and subject."""
    return _members(tenant=tenant, subject=redact(subject, MAX_SUBJECT))


def target_fragment(method: str, host: str, path: str) -> bytes:
    """Encode method, host and path."""
    return _members(method=method, host=host, path=redact(path))


@lru_cache(maxsize=4096)
def peer_fragment(source: str, principal: str) -> bytes:
    """Encode the peer; cached, as peers recur."""
    return _members(source=redact(source, 64), principal=redact(principal, 256))


@lru_cache(maxsize=512)
def kid_fragment(kid: str) -> bytes:
    """Encode the kid of the key that verified."""
    return _members(kid=redact(kid, 256))


def token_fragment(
    token_id: str, token_digest: str, warnings: Sequence[str], inputs: RecordedInputs = NO_INPUTS
) -> bytes:
    """Encode the token's id, digest and warnings, and the inputs that are the token's."""
    members = _members(
        token_id=redact(token_id, 256),
        token_digest=token_digest,
        warnings=_redacted(warnings),
    )
    return members if inputs is NO_INPUTS else members + inputs_fragment(inputs)


def key_state_fragment(key_state: str) -> bytes:
    """Encode the state of the keys."""
    return _members(key_state=key_state)


def ids_fragment(request_id: bytes, trace_id: bytes) -> bytes:
    """Encode the ids that others know a request by; each is empty, or needs no escape."""
    if not trace_id:
        return b',"request_id":"%b"' % request_id if request_id else b""
    traced = b',"trace_id":"%b"' % trace_id
    return b',"request_id":"%b"%b' % (request_id, traced) if request_id else traced


def _redacted(warnings: Sequence[str]) -> tuple[str, ...]:
    return tuple(redact(warning, 256) for warning in warnings[:_MAX_WARNINGS])


def _members(**members: str | int | tuple[str, ...]) -> bytes:
    """Encode the members that are not empty, each with a comma before it."""
    shown = {name: value for name, value in members.items() if value not in _EMPTY}
    # The whole object in one call, without its brackets: every token pays for two of these.
    return b"," + escape_json(_encoder.encode(shown)[1:-1]) if shown else b""


def encode_allowed_check(  # noqa: PLR0917 - the fragments in the line's order
    at: float,
    decision_id: bytes,
    ground: bytes,
    tenant: bytes,
    target: bytes,
    peer: bytes,
    kid: bytes,
    token: bytes,
    key_state: bytes,
    ids: bytes,
    latency_us: int,
) -> bytes:
    """Return the line of an allowed Check, from fragments, as ``encode_entry`` would write it."""
    milliseconds = int(at * 1000)
    return b'{"time":"%b.%03d+00:00","decision_id":"%b"%b%b%b%b%b%b%b%b,"latency_us":%d}\n' % (
        _second(milliseconds // 1000),
        milliseconds % 1000,
        decision_id,
        ground,
        tenant,
        target,
        peer,
        kid,
        token,
        key_state,
        ids,
        latency_us,
    )


def encode_entry(entry: AuditEntry) -> bytes:
    """Return one entry as one line of JSON."""
    line = AuditLine(
        time=timestamp(entry.at),
        decision_id=entry.decision_id,
        outcome=entry.outcome,
        reason=entry.reason,
        status=entry.status,
        route=entry.route,
        tenant=entry.tenant,
        subject=redact(entry.subject, MAX_SUBJECT),
        method=entry.method,
        host=entry.host,
        path=redact(entry.path),
        source=redact(entry.source, 64),
        principal=redact(entry.principal, 256),
        kid=redact(entry.kid, 256),
        token_id=redact(entry.token_id, 256),
        detail=redact(entry.detail, 256),
        token_digest=entry.token_digest,
        shadow_reason=entry.shadow_reason,
        warnings=_redacted(entry.warnings),
        inputs=None if entry.inputs is NO_INPUTS else fitting(entry.inputs),
        key_state=entry.key_state,
        request_id=entry.request_id,
        trace_id=entry.trace_id,
        latency_us=entry.latency_us,
    )
    return escape_json(_encoder.encode(line)) + b"\n"


def read_line(line: bytes) -> AuditLine | None:
    """Return what ``encode_entry`` and ``encode_allowed_check`` write, without its end.

    ``None`` for anything else. For lines of a process that may be compromised: a collector or a
    terminal that reads the log gets nothing else.
    """
    try:
        read = _decoder.decode(line)
        # Its last byte is the bracket: the chain's members go before that (``chain``).
        return read if line.endswith(b"}") and escape_json(line) == line else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def read_lines(lines: bytes) -> list[AuditLine] | None:
    """Return what ``read_line`` does of each of several lines, of which each has its end.

    ``None`` if it would not take one. A ring's lines are read many at once, so the loop is short.
    """
    decode = _decoder.decode
    try:
        read = [decode(line) for line in lines[:-1].split(b"\n")]
        whole = lines.endswith(b"\n") and lines.count(b"}\n") == len(read)
        return read if whole and escape_json(lines) == lines else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def is_line(line: bytes) -> bool:
    """Return whether ``read_line`` takes it."""
    return read_line(line) is not None
