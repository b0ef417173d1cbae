"""What looks like a credential never reaches a line."""

import io
import json
import logging
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.common.redact import MASK, redact
from sidecar.observability.audit import AuditEntry, encode_entry
from sidecar.observability.logs import LogOutput
from tests.support.minting import Issuer, base_claims

TOKEN = Issuer.generate().mint().decode()
_ISSUER = Issuer.generate()
SPACED = _ISSUER.mint_raw(
    '{ "alg": "ES256", "typ": "JWT", "kid": "key-1" }', json.dumps(base_claims())
).decode()
PEM = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49\n-----END PRIVATE KEY-----"
SECRETS = [
    ("a token", TOKEN, TOKEN.split(".")[1]),
    ("a token whose header has white space", SPACED, SPACED.split(".")[1]),
    ("one with encoded periods", SPACED.replace(".", "%2E"), SPACED.split(".")[1]),
    ("a token without signature", TOKEN.rpartition(".")[0], TOKEN.split(".")[1]),
    ("a header with a token", f"Authorization: Bearer {TOKEN}", TOKEN.split(".")[2]),
    ("an opaque bearer token", "Bearer abc123", "abc123"),
    ("one in a query", "/cb?x=bearer%20abc123", "abc123"),
    ("basic credentials", "basic dXNlcjpwYXNz", "dXNlcjpwYXNz"),
    ("a Vault token", "token hvs.CAESIJ1234567890abcdefghijkl was refused", "CAESIJ"),
    ("an OpenBao token", "s.abcdefghijklmnopqrstuvwx", "abcdefghij"),
    ("a private key", f"x {PEM} y", "MIGHAgEA"),
    ("half a private key", PEM[:50], "MIGHAgEA"),
]


@pytest.mark.parametrize(("text", "secret"), [s[1:] for s in SECRETS], ids=[s[0] for s in SECRETS])
def test_credentials_are_masked(text: str, secret: str) -> None:
    assert secret not in redact(text)
    assert MASK in redact(text)


@pytest.mark.parametrize(
    "text", ["/api/v1/users", "user-42", "the path is ambiguous: a slash, encoded"]
)
def test_the_rest_stays(text: str) -> None:
    assert redact(text) == text


@given(st.text(max_size=2000), st.text(max_size=2000))
def test_no_surroundings_save_a_token(before: str, after: str) -> None:
    masked = redact(f"{before} {TOKEN} {after}", 1024)
    assert len(masked) <= 1024
    for part in TOKEN.split("."):
        assert part not in masked


def test_an_audit_line_masks_what_a_client_chose() -> None:
    entry = AuditEntry(
        at=1.5, decision_id="d", outcome="deny", reason="r", status=401, route="x", latency_us=7,
        path=f"/reset/{TOKEN}", subject=TOKEN, principal=f"Bearer {TOKEN}", detail="line\nbreak",
    )  # fmt: skip
    line = encode_entry(entry)
    assert line.count(b"\n") == 1
    assert TOKEN.split(".")[1].encode() not in line
    assert json.loads(line)["time"] == "1970-01-01T00:00:01.500+00:00"


def test_the_log_masks_messages_and_tracebacks() -> None:
    stream = io.StringIO()
    output = LogOutput("info", stream)
    try:
        int(f"cannot parse {TOKEN}")
    except ValueError:
        logging.getLogger("sidecar.test").exception("with %s", TOKEN, extra={"state": TOKEN})
    output.close()
    line = json.loads(stream.getvalue())
    assert (line["level"], line["exception"]) == ("error", "ValueError")
    assert TOKEN.split(".")[1] not in stream.getvalue()


def test_hostile_text_costs_no_time() -> None:
    worst = max("a" * 16_384, "a." * 8192, ("a" * 20 + ".") * 780, "eyJ" * 5461, key=timed)
    assert timed(worst) < 0.02


def timed(text: str) -> float:
    """CPU of this thread: other processes are no fault of the text's."""
    started = time.thread_time()
    redact(text)
    return time.thread_time() - started
