"""``token verify`` against the server: the same tokens, the same words, reason by reason."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jwt.algorithms import ECAlgorithm

from sidecar.common.reasons import Reason
from sidecar.config import parse_config
from sidecar.tokens.keyring import KeyRing
from sidecar.tokens.revocation import Revocations, read_revocations
from tests.authz.conftest import CONFIG, Bench
from tests.cli.commands import Run
from tests.support.minting import ISSUER, NOW, TENANT, Issuer, b64, base_claims

OTHER = "https://other.example"
OF_OTHERS = Issuer.generate("key-1")
DENIED, REVOKED = Issuer.generate("denied-kid"), Issuer.generate("revoked-kid")
SETTINGS = CONFIG + "keys: {denied_kids: [denied-kid]}\n"
REVOCATIONS = {
    "kids": ["revoked-kid"],
    "tokens": [{"iss": ISSUER, "jti": "revoked-jti", "exp": NOW + 600}],
    "subjects": [{"iss": ISSUER, "sub": "revoked-sub", "issued_before": NOW}],
    "tenants": [{"tenant": TENANT.replace("7", "8"), "issued_before": NOW}],
}


def claims(issuer: Issuer, **changes: Any) -> bytes:
    return issuer.mint_raw(issuer.header(), json.dumps(base_claims(**changes)))


def header(issuer: Issuer, **changes: Any) -> bytes:
    return issuer.mint_raw(issuer.header(**changes), json.dumps(base_claims()))


def none_of_it(issuer: Issuer) -> bytes:
    head = issuer.header(alg="none")
    return f"{b64(head.encode())}.{b64(json.dumps(base_claims()).encode())}.".encode()


TOKENS: list[tuple[str, Reason | None, Callable[[Issuer], bytes]]] = [
    ("good", None, claims),
    ("personal data by its look", None, lambda i: claims(i, contact="a@b.example")),
    ("bound to a key", Reason.TOKEN_BOUND, lambda i: claims(i, cnf={"jkt": "A" * 43})),
    ("9 KB", Reason.TOKEN_TOO_LARGE, lambda i: claims(i, filler="x" * 7000)),
    ("rubbish", Reason.TOKEN_MALFORMED, lambda _: b"rubbish"),
    ("a scheme before it", Reason.TOKEN_MALFORMED, lambda i: b"Bearer " + claims(i)),
    ("two", Reason.TOKEN_AMBIGUOUS, lambda i: claims(i) + b"," + claims(i)),
    ("a member twice", Reason.TOKEN_MALFORMED, lambda i: i.mint_raw(i.header(), '{"a":1,"a":2}')),
    ("nothing before the dots", Reason.TOKEN_MALFORMED, lambda _: b".."),
    ("alg none", Reason.ALGORITHM_NOT_ALLOWED, none_of_it),
    ("another algorithm", Reason.ALGORITHM_NOT_ALLOWED, lambda i: header(i, alg="RS256")),
    ("a key of its own", Reason.HEADER_PARAMETER_NOT_ALLOWED, lambda i: header(i, jku="x")),
    ("no type", Reason.TOKEN_TYPE_NOT_ALLOWED, lambda i: header(i, typ=None)),
    ("a refresh token", Reason.REFRESH_TOKEN_PRESENTED, lambda i: header(i, typ="rt+jwt")),
    ("an unknown key", Reason.KEY_UNKNOWN, lambda i: header(i, kid="nobody")),
    ("a denied key", Reason.KEY_UNKNOWN, lambda _: claims(DENIED)),
    ("a revoked key", Reason.KEY_UNKNOWN, lambda _: claims(REVOKED)),
    ("signed by another", Reason.SIGNATURE_INVALID, lambda _: claims(OF_OTHERS)),
    ("no subject", Reason.CLAIM_MISSING, lambda i: claims(i, sub=None)),
    ("a tenant that is none", Reason.CLAIM_MALFORMED, lambda i: claims(i, tenantId="acme")),
    ("a header in a claim", Reason.CLAIM_MALFORMED, lambda i: claims(i, sub="a\r\nx: y")),
    (
        "expired",
        Reason.TOKEN_EXPIRED,
        lambda i: claims(i, exp=NOW - 60, iat=NOW - 90, nbf=NOW - 90),
    ),
    ("not yet", Reason.TOKEN_NOT_YET_VALID, lambda i: claims(i, nbf=NOW + 60)),
    ("of the future", Reason.TOKEN_ISSUED_IN_FUTURE, lambda i: claims(i, iat=NOW + 60)),
    ("for a day", Reason.TOKEN_LIFETIME_TOO_LONG, lambda i: claims(i, exp=NOW + 86_400)),
    ("another issuer", Reason.ISSUER_MISMATCH, lambda i: claims(i, iss=OTHER)),
    ("another audience", Reason.AUDIENCE_MISMATCH, lambda i: claims(i, aud="b")),
    ("personal data by its name", Reason.PII_IN_TOKEN, lambda i: claims(i, email="a@b.example")),
    ("nested", Reason.PII_IN_TOKEN, lambda i: claims(i, user={"phone": "x"})),
    ("revoked", Reason.TOKEN_REVOKED, lambda i: claims(i, jti="revoked-jti")),
    ("a revoked subject", Reason.TOKEN_REVOKED, lambda i: claims(i, sub="revoked-sub")),
    (
        "a revoked tenant",
        Reason.TOKEN_REVOKED,
        lambda i: claims(i, tenantId=TENANT.replace("7", "8")),
    ),
]
OF_THE_REQUEST = {
    # Not of a token: of the request around it, its route, the state of the server.
    "request_malformed", "request_too_large", "host_malformed", "path_ambiguous", "route_unknown",
    "origin_not_allowed", "token_missing", "token_scheme_unsupported", "tenant_mismatch",
    "tenant_unknown",
    "role_missing", "scope_missing", "client_certificate_missing", "client_not_allowed",
    "keys_degraded", "keys_unavailable", "internal_fault", "modules_busy", "rate_limited",
    "token_not_bound", "certificate_mismatch", "dpop_proof_missing", "dpop_proof_invalid",
    "dpop_proof_mismatch", "dpop_proof_expired", "dpop_proof_replayed", "dpop_nonce_required",
    "dpop_busy",
}  # fmt: skip


@pytest.fixture
def keys(tmp_path: Path, issuer: Issuer) -> Path:
    jwks = [
        {**ECAlgorithm.to_jwk(each.private.public_key(), as_dict=True), "kid": each.kid}
        for each in (issuer, DENIED, REVOKED)
    ]
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": jwks}))
    (tmp_path / "config.yaml").write_text(SETTINGS)
    (tmp_path / "revoked.json").write_text(json.dumps({"data": {"data": REVOCATIONS}}))
    return tmp_path


def verify(run: Run, keys: Path, *tokens: bytes) -> tuple[int, list[dict[str, Any]]]:
    code, out, err = run(
        "token", "verify", "--jwks", keys / "jwks.json", "--config", keys / "config.yaml",
        "--revocations", keys / "revoked.json", "--at", NOW, stdin=b"\n".join(tokens),
    )  # fmt: skip
    assert err == ""
    return code, [json.loads(line) for line in out.splitlines()]


def of_the_server(issuer: Issuer) -> Bench:
    """A service as one has it whose Vault holds these keys and revocations."""
    bench = Bench(issuer, config=SETTINGS)
    entry = read_revocations(REVOCATIONS)
    bench.service.snapshot = msgspec.structs.replace(
        bench.service.snapshot,
        ring=KeyRing([issuer.key]),  # the refresher lets no denied or revoked kid into it
        revocations=Revocations(entry, NOW, 930),
    )
    return bench


def test_it_says_what_the_edge_says(run: Run, keys: Path, issuer: Issuer) -> None:
    server, tokens = of_the_server(issuer), [make(issuer) for _, _, make in TOKENS]
    answers = [server.ask(token) for token in tokens]
    code, lines = verify(run, keys, *tokens)
    names = [name for name, _, _ in TOKENS]
    wanted = {name: reason and str(reason) for name, reason, _ in TOKENS}
    assert dict(zip(names, (line.get("reason") for line in lines), strict=True)) == wanted
    assert [line["ok"] for line in lines] == [answer.allowed for answer in answers]
    denied = [answer.metadata["reason"] for answer in answers if not answer.allowed]
    assert denied == [reason for reason in wanted.values() if reason]
    assert code == 1


def test_every_reason_of_a_token_is_in_the_table() -> None:
    told = {str(reason) for _, reason, _ in TOKENS if reason is not None}
    of_modules = {str(each) for each in Reason if each.startswith("module_")}
    assert told | of_modules | OF_THE_REQUEST == {str(each) for each in Reason}


def test_what_is_found_and_let_pass_is_shown(run: Run, keys: Path, issuer: Issuer) -> None:
    token = claims(issuer, contact="a@b.example")
    code, (line,) = verify(run, keys, token)
    assert code == 0
    assert line["warnings"] == ["claim 'contact' holds email (by its value)"]
    assert line["claims"]["contact"] == "a@b.example"


def test_without_a_configuration_the_rest_is_as_a_server_has_it(
    run: Run, keys: Path, issuer: Issuer
) -> None:
    tokens = [claims(issuer, iss=OTHER, aud="b"), claims(issuer, iss=OTHER, email="a@b.example")]
    command = ["token", "verify", "--jwks", keys / "jwks.json", "--at", NOW]
    _, out, _ = run(*command, stdin=b"\n".join(tokens))
    assert [json.loads(line).get("reason") for line in out.splitlines()] == [None, "pii_in_token"]


@pytest.mark.parametrize("stdin", [b"", b"\n \r\n\t\n"])
def test_no_token_is_no_success(run: Run, keys: Path, stdin: bytes) -> None:
    code, out, err = run("token", "verify", "--jwks", keys / "jwks.json", stdin=stdin)
    assert (code, out) == (2, "")
    assert err == "sidecar: standard input has no token: send access tokens, one a line\n"


@pytest.mark.parametrize("at", ["nan", "inf", "-1", "1e300", "9999-12-31T23:59:59-14:00", "x"])
def test_a_time_that_is_none(run: Run, keys: Path, at: str) -> None:
    code, _, err = run("token", "verify", "--jwks", keys / "jwks.json", "--at", at)
    assert code == 2
    assert "neither RFC 3339" in err


TWO = SETTINGS.replace(
    "tokens:\n  issuers: [", f"tokens:\n  issuers: [{{issuer: {OTHER}, audiences: [b]}}, "
)


def test_of_two_issuers_each_has_its_own_keys(run: Run, keys: Path, issuer: Issuer) -> None:
    assert len(parse_config(TWO, "test").tokens.issuers) == 2
    (keys / "config.yaml").write_text(TWO)
    command = ["token", "verify", "--jwks", keys / "jwks.json", "--config", keys / "config.yaml"]
    token = claims(issuer, iss=OTHER, aud="b")
    code, _, err = run(*command, stdin=token)
    assert (code, "with --issuer, one of" in err) == (1, True)
    code, _, err = run(*command, "--issuer", "https://nobody.example", stdin=token)
    assert (code, "not one of tokens.issuers" in err) == (1, True)
    for name, reason in ((OTHER, None), (ISSUER, "issuer_mismatch")):
        _, out, _ = run(*command, "--issuer", name, "--at", NOW, stdin=token)
        assert json.loads(out).get("reason") == reason


@pytest.mark.parametrize("text", ["", "[", "[]", "5", '{"data": 5}', '{"kid": []}', "[" * 50_000])
def test_a_list_of_revocations_that_is_none(run: Run, keys: Path, text: str) -> None:
    (keys / "revoked.json").write_text(text)
    code, _, err = run(
        "token", "verify", "--jwks", keys / "jwks.json", "--revocations", keys / "revoked.json"
    )
    assert code == 1
    assert err.startswith(f"sidecar: {keys / 'revoked.json'}: the revocation list")


def test_check_knows_the_same(run: Run, keys: Path, issuer: Issuer) -> None:
    """A real token in a request's headers, offline: with its key's issuer and what is revoked."""
    case = keys / "case.json"
    for make, reason in ((claims, "token_verified"), (TOKENS[-3][2], "token_revoked")):
        headers = {"authorization": f"Bearer {make(issuer).decode()}"}
        case.write_text(json.dumps({"request": {"path": "/api", "headers": headers}, "at": NOW}))
        _, out, _ = run(
            "check", "--config", keys / "config.yaml", "--jwks", keys / "jwks.json",
            "--revocations", keys / "revoked.json", "--request", case,
        )  # fmt: skip
        assert json.loads(out)["reason"] == reason
