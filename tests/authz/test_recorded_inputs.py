"""What lines have of a decision's inputs, request by request, as the service writes them."""

import json
from pathlib import Path
from typing import Any

import pytest

from sidecar.authz.decision_ids import DecisionIds
from sidecar.authz.recorder import DecisionRecorder
from sidecar.authz.service import CheckService
from sidecar.authz.snapshot import build_snapshot
from sidecar.authz.token_policy import rules_digest
from sidecar.config import parse_config
from sidecar.decision_cache.payload import token_texts
from sidecar.observability.audit import AuditLog, FileSink
from sidecar.observability.audit.entry import is_line
from sidecar.observability.counters import Counters
from sidecar.runtime.check import compile_policies, give_policies
from sidecar.tokens.cache import TokenCache
from tests.authz.checks import WEB, check_request
from tests.authz.conftest import CONFIG
from tests.support.failing import fail_on
from tests.support.minting import AUDIENCE, ISSUER, NOW, TENANT, Issuer

SIGNER = Issuer.generate()
RECORDING = CONFIG.replace(
    "routes:\n",
    """\
audit: {record_inputs: true}
routes:
  - {name: owners, path_prefix: /owners, roles: [owner]}
  - {name: shadowed, path_prefix: /shadowed, roles: [owner], shadow: true}
  - {name: page, path_prefix: /page, token_from: ["cookie:session", header], cors: pages}
  - {name: maybe, path_prefix: /maybe, auth: optional, token_from: ["cookie:session"]}
  - {name: socket, path_prefix: /socket, token_from: [websocket]}
  - {name: peers, path_prefix: /peers, auth: none, clients: ["spiffe://example/*"]}
""",
).replace("headers:\n", 'headers:\n  cors: {pages: {origins: ["https://page.example"]}}\n')
RULES = rules_digest(parse_config(RECORDING, "test"))
CLAIMS = {
    "iss": ISSUER,
    "alg": "ES256",
    "typ": "jwt",
    "aud": [AUDIENCE],
    "iat": int(NOW) - 10,
    "exp": int(NOW) + 600,
    "roles": ["admin", "editor"],
    "scopes": ["read", "write"],
}


class Recording:
    """A service that writes lines to a file."""

    def __init__(self, path: Path, config: str = RECORDING) -> None:
        self.path = path
        self.cache = TokenCache()
        self.audit = AuditLog(FileSink(path), queue_lines=1000, on_error=fail_on)
        self.recorder = DecisionRecorder(Counters(), self.audit, lambda *_: None)
        self.service = CheckService(
            build_snapshot(parse_config(config, "test"), SIGNER.ring),
            now=lambda: NOW,
            elapsed_ns=lambda: 0,
            new_id=DecisionIds().take,
            observer=self.recorder,
            on_fault=lambda exc: pytest.fail(repr(exc)),
            cache=self.cache,
        )

    def ask(self, token: bytes | None = None, **changes: Any) -> None:
        if token is not None:
            changes.setdefault("headers", {})["authorization"] = f"Bearer {token.decode()}"
        assert isinstance(self.service.handle(check_request(**changes)), bytes)

    def lines(self) -> list[dict[str, Any]]:
        self.recorder.drain()
        assert self.audit.close(5)
        lines = self.path.read_bytes().splitlines()
        assert all(map(is_line, lines))
        return [json.loads(line) for line in lines]


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    return Recording(tmp_path / "audit.jsonl")


def test_an_allowed_request_has_its_claims_on_both_paths(recording: Recording) -> None:
    token = SIGNER.mint()
    recording.ask(token)
    recording.ask(token)
    first, second = recording.lines()
    assert first["inputs"] == second["inputs"] == {**CLAIMS, "size": len(token)}
    assert list(first) == list(second)


def test_nothing_is_recorded_unless_asked_for(tmp_path: Path) -> None:
    quiet = Recording(tmp_path / "quiet", RECORDING.replace("record_inputs: true", ""))
    quiet.ask(SIGNER.mint())
    quiet.ask(SIGNER.mint(), path="/owners")
    allowed, denied = quiet.lines()
    assert "inputs" not in {**allowed, **denied}
    assert "tenant" not in denied


AFTER_VERIFICATION: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "a role is missing": ("role_missing", {"path": "/owners"}, {}),
    "expired": ("token_expired", {}, {"exp": NOW - 60, "iat": NOW - 100, "nbf": NOW - 90}),
    "another audience": ("audience_mismatch", {}, {"aud": "https://b.example"}),
    "too long a life": ("token_lifetime_too_long", {}, {"exp": NOW + 6000}),
    "personal data": ("pii_in_token", {}, {"email": "a@b.example"}),
    "another tenant's host": (
        "tenant_mismatch", {"host": "shop.acme.example"},
        {"tenantId": "0f0f0f0f-0000-4000-8000-000000000000"},
    ),
    "in shadow": ("shadow", {"path": "/shadowed"}, {}),
}  # fmt: skip


@pytest.mark.parametrize("what", AFTER_VERIFICATION)
def test_a_genuine_token_has_its_claims_though_the_request_is_denied(
    recording: Recording, what: str
) -> None:
    reason, request, claims = AFTER_VERIFICATION[what]
    recording.ask(SIGNER.mint(**claims), **request)
    (line,) = recording.lines()
    assert line["reason"] == reason
    assert line["inputs"]["iss"] == ISSUER
    assert line["tenant"] == claims.get("tenantId", TENANT)
    assert (line["subject"], line["kid"], line["token_id"]) == ("user-42", "key-1", "tok-1")
    if "exp" in claims:
        assert line["inputs"]["exp"] == claims["exp"]
    assert b"a@b.example" not in recording.path.read_bytes()


BEFORE_VERIFICATION = {
    "forged": Issuer.generate().mint(),
    "no token": b"rubbish",
    "an unknown key": Issuer.generate("key-9").mint(),
    "an ID token": SIGNER.mint(at_hash="x"),
    "no tenant": SIGNER.mint(tenantId=None),
}


@pytest.mark.parametrize("what", BEFORE_VERIFICATION)
def test_of_a_token_that_is_not_believed_nothing_is_recorded(
    recording: Recording, what: str
) -> None:
    recording.ask(BEFORE_VERIFICATION[what])
    (line,) = recording.lines()
    assert line["outcome"] == "deny"
    assert not line.keys() & {"tenant", "subject", "kid", "token_id"}
    assert line["inputs"] == {"place": "header", "rules": RULES}


def test_where_the_token_was_is_said(recording: Recording) -> None:
    token = SIGNER.mint()
    recording.ask(token, path="/page")
    recording.ask(path="/page", headers={"cookie": f"a=b; session={token.decode()}"})
    recording.ask(path="/socket", headers={"sec-websocket-protocol": f"bearer.{token.decode()}"})
    recording.ask(path="/page", headers={"cookie": "a=b"})
    recording.ask(path="/maybe")
    recording.ask(path="/api")
    recording.ask(path="/public")
    found = [line.get("inputs", {}) for line in recording.lines()]
    assert [(each.get("place"), each.get("searched")) for each in found] == [
        (None, ["cookie:session", "header"]),
        ("cookie:session", ["cookie:session", "header"]),
        ("websocket", ["websocket"]),
        (None, ["cookie:session", "header"]),
        (None, ["cookie:session"]),
        (None, None),
        (None, None),
    ]
    assert ["iss" in each for each in found] == [True] * 3 + [False] * 4


def test_two_credentials_are_not_told_apart_from_none_but_by_the_reason(
    recording: Recording,
) -> None:
    token = SIGNER.mint()
    recording.ask(token, path="/page", headers={"cookie": f"session={token.decode()}"})
    recording.ask(path="/either?access_token=x")
    recording.ask(path="/api", headers={"authorization": "Bearer a, Bearer b"})
    ambiguous, in_query, of_one_header = recording.lines()
    assert of_one_header["inputs"] == {"searched": ["header"], "rules": RULES}
    assert ambiguous["inputs"] == {"searched": ["cookie:session", "header"], "rules": RULES}
    assert in_query["inputs"] == {"in_query": True}


def test_a_preflight_has_its_origin_and_what_it_announces(recording: Recording) -> None:
    for origin in ("https://page.example", "https://evil.example"):
        headers = {"origin": origin, "access-control-request-method": "PUT"}
        recording.ask(method="OPTIONS", path="/page", headers=headers)
    allowed, denied = recording.lines()
    assert (allowed["reason"], denied["reason"]) == ("preflight", "origin_not_allowed")
    assert allowed["inputs"] == {
        "origin": "https://page.example",
        "announced": "PUT",
    }
    assert denied["inputs"]["origin"] == "https://evil.example"


def test_a_client_has_the_names_of_its_certificate(recording: Recording) -> None:
    recording.ask(path="/peers")
    (line,) = recording.lines()
    assert (line["reason"], line["inputs"]) == ("client_verified", {"peer": [WEB]})


def test_another_issuers_token_says_how_it_was_read(tmp_path: Path) -> None:
    mapped = RECORDING.replace(
        f"audiences: [{AUDIENCE}]",
        f"audiences: [{AUDIENCE}], types: [JWT, absent], tolerate_headers: [x5t], "
        "require: [sub, iat, jti], claims: {user: sub, tenant: {path: tenantId, any: true}, "
        "roles: [{path: roles}]}, pii: {allowed: [nick]}",
    )
    recording = Recording(tmp_path / "audit.jsonl", mapped)
    recording.ask(SIGNER.mint({"x5t": "abc"}, nick="a@b.example", aud=[AUDIENCE, "b"]))
    (line,) = recording.lines()
    inputs = line["inputs"]
    assert len(inputs["reading"]) == 12
    assert {name: inputs[name] for name in ("params", "required", "unsought", "aud")} == {
        "params": ["x5t"],
        "required": ["iat", "jti", "sub", "!nonce"],
        "unsought": ["nick"],
        "aud": [AUDIENCE, "b"],
    }


def test_a_reload_that_begins_it_is_in_force_with_the_next_request(tmp_path: Path) -> None:
    quiet = RECORDING.replace("record_inputs: true", "")
    recording = Recording(tmp_path / "audit.jsonl", quiet)
    token = SIGNER.mint()
    for config in (quiet, RECORDING, quiet):
        compiled = compile_policies(parse_config(config, "test"))
        give_policies(recording.service, recording.cache, compiled)
        recording.ask(token)
        recording.ask(token)
    assert ["inputs" in line for line in recording.lines()] == [
        False, False, True, True, False, False,
    ]  # fmt: skip


def test_what_envoy_repeats_has_the_same_inputs(recording: Recording) -> None:
    recording.ask(SIGNER.mint())
    (cached,) = recording.cache.entries.values()
    texts = token_texts(cached)
    assert texts is not None
    assert texts.kind.written_otherwise
    (line,) = recording.lines()
    member = json.dumps(line["inputs"], separators=(",", ":")).encode()
    assert texts.slots.endswith(b',"inputs":' + member)
