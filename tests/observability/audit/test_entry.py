"""One audit line: its fields, what is redacted, and what another process's line must be."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.observability.audit import AuditEntry, encode_entry
from sidecar.observability.audit.entry import (
    encode_allowed_check,
    ground_fragment,
    ids_fragment,
    is_line,
    key_state_fragment,
    kid_fragment,
    peer_fragment,
    target_fragment,
    tenant_fragment,
    token_fragment,
)
from tests.observability.audit.test_faults import TOKEN

LEAST = AuditEntry(
    at=1.0, decision_id="d1", outcome="deny", reason="token_expired", status=401, route="api",
    latency_us=42,
)  # fmt: skip
ALLOWED = AuditEntry(
    at=1_700_000_000.0625, decision_id="0123456789abcdef", outcome="allow",
    reason="token_verified", status=200, route="api", latency_us=42, method="GET",
    host="app.example", path="/a?token=secret", tenant="acme", subject="alice", kid="key-1",
    token_id="tok-1", source="192.0.2.1", principal="spiffe://a/b", key_state="active",
    token_digest="ab12", warnings=("one", "two"), request_id="0d1c6c3a-0000-4000-8000-000000000001",
    trace_id="4bf92f3577b34da6a3ce929d0e0e4736",
)  # fmt: skip
FEW = msgspec.structs.replace(ALLOWED, tenant="", subject="", kid="", token_id="", token_digest="",
                              warnings=(), principal="", path="", request_id="",
                              trace_id="")  # fmt: skip
NO_TRACE = msgspec.structs.replace(ALLOWED, trace_id="")
NO_REQUEST_ID = msgspec.structs.replace(ALLOWED, request_id="")


def from_fragments(entry: AuditEntry) -> bytes:
    return encode_allowed_check(
        entry.at,
        entry.decision_id.encode(),
        ground_fragment(entry.reason, entry.route),
        tenant_fragment(entry.tenant, entry.subject),
        target_fragment(entry.method, entry.host, entry.path),
        peer_fragment(entry.source, entry.principal),
        kid_fragment(entry.kid),
        token_fragment(entry.token_id, entry.token_digest, entry.warnings),
        key_state_fragment(entry.key_state),
        ids_fragment(entry.request_id.encode(), entry.trace_id.encode()),
        entry.latency_us,
    )


def test_empty_fields_are_left_out() -> None:
    assert encode_entry(LEAST) == (
        b'{"time":"1970-01-01T00:00:01.000+00:00","decision_id":"d1","outcome":"deny",'
        b'"reason":"token_expired","status":401,"route":"api","latency_us":42}\n'
    )


@pytest.mark.parametrize(
    "entry",
    [ALLOWED, FEW, NO_TRACE, NO_REQUEST_ID],
    ids=["all fields", "few fields", "no trace", "no request id"],
)
def test_a_line_from_fragments_has_the_same_values(entry: AuditEntry) -> None:
    line = from_fragments(entry)
    assert json.loads(line) == json.loads(encode_entry(entry))
    assert list(json.loads(line))[-1] == "latency_us"
    assert is_line(line.rstrip(b"\n"))


def test_warnings_are_few() -> None:
    entry = msgspec.structs.replace(LEAST, warnings=tuple(map(str, range(20))))
    assert len(json.loads(encode_entry(entry))["warnings"]) == 8


OF_A_CLIENT = ("path", "subject", "kid", "token_id", "source", "principal", "detail")


@given(
    field=st.sampled_from(OF_A_CLIENT),
    before=st.text(st.characters(exclude_categories=["Cs"]), max_size=300),
    after=st.text(st.characters(exclude_categories=["Cs"]), max_size=300),
)
def test_no_token_survives_into_a_line(field: str, before: str, after: str) -> None:
    said: dict[str, Any] = {field: f"{before} {TOKEN} {after}"}
    one = AuditEntry(
        at=1.0, decision_id="d", outcome="deny", reason="r", status=401, route="x", latency_us=1,
        **said,
    )  # fmt: skip
    line = encode_entry(one)
    assert line.count(b"\n") == 1
    assert len(line) < 8192
    for part in TOKEN.encode().split(b"."):
        assert part not in line


WHOLE = encode_entry(LEAST).rstrip(b"\n")


@pytest.mark.parametrize(
    ("line", "valid"),
    [
        (WHOLE, True),
        (b"", False),
        (b"{}", False),
        (WHOLE[:-1], False),
        (WHOLE + b" x", False),
        (WHOLE.replace(b'"status":401', b'"status":"401"'), False),
        (WHOLE.replace(b'"status":401', b'"status":401,"more":1'), False),
        (WHOLE.replace(b"api", b"a\xffi"), False),
        (WHOLE.replace(b"api", "a\u202ei".encode()), False),
        (WHOLE.replace(b"api", b"a\x1b[2Ji"), False),
        (b"[" * 100_000, False),
    ],
    ids=[
        "whole", "empty", "no fields", "cut", "more after it", "a wrong type", "an unknown field",
        "no UTF-8", "turned text", "a terminal's escape", "deep",
    ],
)  # fmt: skip
def test_what_another_process_may_write(line: bytes, valid: bool) -> None:
    assert is_line(line) is valid
