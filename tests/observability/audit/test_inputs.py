"""What a line has of a decision's inputs: bounded, and never a part of what must be whole."""

import json
from typing import Any

import msgspec
import pytest

from sidecar.observability.audit import AuditEntry, encode_entry
from sidecar.observability.audit.entry import is_line, read_line
from sidecar.observability.audit.inputs import (
    CUT,
    MAX_BYTES,
    NO_INPUTS,
    RecordedInputs,
    fitting,
    inputs_fragment,
)
from tests.observability.audit.test_faults import TOKEN

TOKENS = RecordedInputs(
    iss="https://iam.example", alg="ES256", typ="jwt", aud=("https://api.example",),
    iat=1_790_000_000, exp=1_790_000_600, roles=("admin",), scopes=("read", "write"),
)  # fmt: skip


def entry(inputs: RecordedInputs) -> AuditEntry:
    return AuditEntry(
        at=1.0, decision_id="d1", outcome="allow", reason="token_verified", status=200,
        route="api", latency_us=42, inputs=inputs,
    )  # fmt: skip


def test_a_line_has_them_and_is_read_back() -> None:
    line = encode_entry(entry(TOKENS)).rstrip(b"\n")
    assert json.loads(line)["inputs"] == {
        "iss": "https://iam.example",
        "alg": "ES256",
        "typ": "jwt",
        "aud": ["https://api.example"],
        "iat": 1_790_000_000,
        "exp": 1_790_000_600,
        "roles": ["admin"],
        "scopes": ["read", "write"],
    }
    read = read_line(line)
    assert read is not None
    assert read.inputs == TOKENS


def test_none_are_no_member() -> None:
    assert b"inputs" not in encode_entry(entry(NO_INPUTS))
    assert b"inputs" not in encode_entry(entry(RecordedInputs()))
    assert inputs_fragment(NO_INPUTS) == b""


TOO_MUCH: dict[str, Any] = {
    "more than fits": {"roles": ("r" * 60,) * 64},
    "a name like a token": {"roles": ("admin", TOKEN)},
    "a scope like a token": {"scopes": (TOKEN,)},
    "an audience like a token": {"aud": (f"https://api.example/{TOKEN}",)},
    "an issuer like a token": {"iss": TOKEN},
    "a name of over 512 characters": {"peer": ("n" * 513,)},
    "half a character": {"aud": ("\ud800",)},
    "an origin with a token": {"origin": f"https://{TOKEN}"},
}


@pytest.mark.parametrize("what", TOO_MUCH)
def test_what_may_not_be_recorded_is_left_out_whole(what: str) -> None:
    inputs = msgspec.structs.replace(TOKENS, **TOO_MUCH[what])
    assert fitting(inputs) is CUT
    line = encode_entry(entry(inputs))
    assert json.loads(line)["inputs"] == {"cut": True}
    assert is_line(line.rstrip(b"\n"))
    assert inputs_fragment(inputs) == b',"inputs":{"cut":true}'


def test_the_bound_is_of_what_is_written() -> None:
    def of(length: int) -> RecordedInputs:
        return RecordedInputs(iss="https://a", roles=tuple("\u2028" for _ in range(length)))

    fits = next(length for length in range(1000) if fitting(of(length + 1)) is CUT)
    assert MAX_BYTES - 10 < len(inputs_fragment(of(fits))) - len(b',"inputs":') <= MAX_BYTES


def test_a_member_that_nobody_writes_is_refused() -> None:
    line = encode_entry(entry(TOKENS)).rstrip(b"\n")
    assert not is_line(line.replace(b'"alg"', b'"email"'))
