"""The audit line: a fixed list of fields, redacted when they are written (SECURITY-MODEL §10)."""

from datetime import UTC, datetime
from functools import lru_cache

import msgspec

from sidecar.redact import redact

_MAX_WARNINGS = 8


class AuditEntry(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The fields of a line, and no others: what is not here is not recorded.

    Texts that a client chose are redacted when the line is encoded.
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


class _Line(msgspec.Struct, omit_defaults=True):
    """How an entry is written. The order of the fields is that of the line."""

    time: str
    decision_id: str
    outcome: str
    reason: str
    status: int
    route: str
    tenant: str = ""
    subject: str = ""
    method: str = ""
    host: str = ""
    path: str = ""
    source: str = ""
    principal: str = ""
    kid: str = ""
    token_id: str = ""
    token_digest: str = ""
    detail: str = ""
    shadow_reason: str = ""
    warnings: tuple[str, ...] = ()
    key_state: str = ""
    latency_us: int = 0


_encoder = msgspec.json.Encoder()


def _timestamp(at: float) -> str:
    """Write RFC 3339 with milliseconds; the second is written once for all of its lines."""
    milliseconds = int(at * 1000)
    return f"{_second(milliseconds // 1000)}.{milliseconds % 1000:03}+00:00"


@lru_cache(maxsize=4)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def encode_entry(entry: AuditEntry) -> bytes:
    """Write one entry as one line of JSON."""
    line = _Line(
        time=_timestamp(entry.at),
        decision_id=entry.decision_id,
        outcome=entry.outcome,
        reason=entry.reason,
        status=entry.status,
        route=entry.route,
        tenant=entry.tenant,
        subject=redact(entry.subject, 256),
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
        warnings=tuple(redact(warning, 256) for warning in entry.warnings[:_MAX_WARNINGS]),
        key_state=entry.key_state,
        latency_us=entry.latency_us,
    )
    return _encoder.encode(line) + b"\n"
