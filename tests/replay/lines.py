"""Makes recorded lines by hand, as a sidecar writes them."""

from typing import Any

from sidecar.observability.audit import AuditEntry, encode_entry
from sidecar.observability.audit.inputs import RecordedInputs
from sidecar.replay.line import RecordedLine, parse_line
from tests.support.minting import AUDIENCE, ISSUER, NOW, TENANT

INPUTS = RecordedInputs(
    iss=ISSUER, alg="ES256", typ="jwt", aud=(AUDIENCE,), iat=NOW - 10, exp=NOW + 600,
    roles=("admin",), scopes=("read",), size=700,
)  # fmt: skip


def entry(**changes: Any) -> AuditEntry:
    """Return the entry of an allowed request with a verified token."""
    made: dict[str, Any] = {
        "at": NOW, "decision_id": "00112233445566778899", "outcome": "allow",
        "reason": "token_verified", "status": 200, "route": "api", "latency_us": 5,
        "method": "GET", "host": "app.example", "path": "/api/x", "tenant": TENANT,
        "subject": "user-42", "kid": "main", "source": "203.0.113.7", "inputs": INPUTS,
        "token_digest": "ab12",
    }  # fmt: skip
    return AuditEntry(**{**made, **changes})


def raw_line(**changes: Any) -> bytes:
    return encode_entry(entry(**changes)).rstrip(b"\n")


def line(**changes: Any) -> RecordedLine:
    """Return it as it is replayed."""
    read = parse_line(raw_line(**changes))
    assert read is not None
    return read
