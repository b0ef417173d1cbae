"""A bound token passes with its proof, on a route that takes it, and nowhere without.

Through the whole service, so that no cache stands between: each answer is asked for twice.
"""

from hashlib import sha256
from typing import Any, NamedTuple
from urllib.parse import unquote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from sidecar.authz.service import CheckService
from sidecar.authz.snapshot import build_snapshot
from sidecar.authz.token_binding import check_certificate
from sidecar.cli.client_certificates import forwarded_certificate
from sidecar.common.errors import Denied
from sidecar.common.reasons import Reason
from sidecar.config import parse_config
from sidecar.tokens.proofs import own_guard
from tests.authz.checks import WEB, Answer, check_request, read_answer
from tests.authz.conftest import CONFIG, Bench
from tests.support.ids import numbered_ids
from tests.support.minting import NOW, Issuer
from tests.support.proving import Prover, b64

ROUTES = """\
  - {name: proved, path_prefix: /proved, binding: {by: [dpop]}}
  - {name: offered, path_prefix: /offered, binding: {by: [dpop], unbound: accept}}
  - {name: mtls, path_prefix: /mtls, binding: {by: [certificate]}}
  - {name: any, path_prefix: /any, binding: {by: [certificate, dpop]}}
  - {name: tried, path_prefix: /tried, shadow: true, binding: {by: [dpop]}}
  - {name: kept, path_prefix: /passed, keep_overrides: [dpop], binding: {by: [dpop]}}
  - {name: admin, path_prefix: /admin, roles: [root], binding: {by: [dpop]}}
headers:
"""
PROVER, THIEF = Prover(), Prover()
HOST = "https://app.septemcore.com"


def der(certificate: str) -> bytes:
    return x509.load_pem_x509_certificate(unquote(certificate).encode()).public_bytes(Encoding.DER)


WEB_X5T = b64(sha256(der(forwarded_certificate(WEB, NOW))).digest())


class Bound(Bench):
    """A service with routes that take bound tokens."""

    def __init__(self, issuer: Issuer, dpop: str = "{}", entries: int = 4096) -> None:
        config = CONFIG.replace("headers:\n", ROUTES, 1).replace("[kept, path", "[kept2, path")
        config = config.replace("{name: kept, path_prefix: /kept", "{name: kept2, path_prefix: /k")
        super().__init__(issuer, config=config.replace("tokens:\n", f"tokens:\n  dpop: {dpop}\n"))
        self.count = 0
        self.service = CheckService(
            build_snapshot(parse_config(self.config, "test"), issuer.ring),
            now=lambda: self.now,
            elapsed_ns=lambda: 0,
            new_id=numbered_ids(),
            observer=self,
            on_fault=self.faults.append,
            proofs=own_guard(entries),
        )

    def token(self, cnf: object = None, **changes: Any) -> bytes:
        return self.issuer.mint(cnf=cnf, **changes)

    def send(
        self, path: str, token: bytes, scheme: str = "DPoP", proof: bytes | None = None
    ) -> Answer:
        """Ask with a token under a scheme, and a new proof for it unless one is given."""
        headers = {"authorization": f"{scheme} {token.decode()}"}
        if proof is None and scheme.lower() == "dpop":
            proof = self.prove(path, token)
        if proof:
            headers["dpop"] = proof.decode()
        return read_answer(self.handle(check_request(path=path, headers=headers)))

    def prove(self, path: str, token: bytes, **changes: Any) -> bytes:
        self.count += 1
        claims = {"htu": HOST + path, "jti": str(self.count), **changes}
        return PROVER.proof(token, self.now, **claims)

    @property
    def reason(self) -> str:
        return str(self.last.decision.outcome)


@pytest.fixture
def bound(issuer: Issuer) -> Bound:
    return Bound(issuer)


JKT = {"jkt": PROVER.jkt}
X5T = {"x5t#S256": WEB_X5T}
PASSES = "token_verified"
TOKENS: dict[str, object] = {
    "unbound": None,
    "jkt": JKT,
    "another jkt": {"jkt": THIEF.jkt},
    "x5t": X5T,
    "another x5t": {"x5t#S256": THIEF.jkt},
    "both": JKT | X5T,
    "both, another x5t": JKT | {"x5t#S256": THIEF.jkt},
    "unknown": {"kid": "x"},
    "known and unknown": JKT | {"kid": "x"},
    "none": {},
}


class Row(NamedTuple):
    """A token, its scheme, and the outcome on each route."""

    token: str
    scheme: str
    api: str
    proved: str
    offered: str
    mtls: str
    any: str


B, N, U = "token_bound", "token_not_bound", "token_scheme_unsupported"
M, C = "dpop_proof_mismatch", "certificate_mismatch"
BAD = "claim_malformed"
ROWS = [
    Row("unbound", "Bearer", PASSES, N, PASSES, N, N),
    Row("unbound", "DPoP", U, N, N, U, N),
    Row("jkt", "Bearer", B, B, B, B, B),
    Row("jkt", "DPoP", U, PASSES, PASSES, U, PASSES),
    Row("jkt", "dpop", U, PASSES, PASSES, U, PASSES),
    Row("another jkt", "DPoP", U, M, M, U, M),
    Row("another jkt", "Bearer", B, B, B, B, B),
    Row("x5t", "Bearer", B, B, B, PASSES, PASSES),
    Row("x5t", "DPoP", U, B, B, U, N),
    Row("another x5t", "Bearer", B, B, B, C, C),
    Row("both", "Bearer", B, B, B, B, B),
    Row("both", "DPoP", U, B, B, U, PASSES),
    Row("both, another x5t", "DPoP", U, B, B, U, C),
    Row("unknown", "Bearer", B, B, B, B, B),
    Row("known and unknown", "DPoP", U, B, B, U, B),
    Row("none", "Bearer", BAD, BAD, BAD, BAD, BAD),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.token}, {row.scheme}")
def test_what_passes_where(bound: Bound, row: Row) -> None:
    token = bound.token(TOKENS[row.token])
    for route in ("api", "proved", "offered", "mtls", "any"):
        for _ in range(2):
            answer = bound.send(f"/{route}/x", token, row.scheme)
            assert (route, answer.allowed) == (route, getattr(row, route) == PASSES)
            if not answer.allowed:
                assert (route, bound.reason) == (route, getattr(row, route))
    assert not bound.faults


def test_a_bound_token_and_an_unbound_one_of_one_user_share_no_answer(bound: Bound) -> None:
    """Both have one principal key: what is cached for one must not answer the other."""
    plain, proved = bound.token(), bound.token(JKT, jti="tok-2")
    for _ in range(3):
        assert bound.send("/offered/x", plain, "Bearer").allowed
        assert bound.send("/offered/x", proved).allowed
        assert not bound.send("/offered/x", proved, "Bearer").allowed
        assert not bound.send("/proved/x", plain, "Bearer").allowed
        assert bound.send("/proved/x", proved).allowed
    assert len(bound.allowed_checks) == 3, "the fast path serves the unbound one alone"


def test_a_proof_is_used_once(bound: Bound) -> None:
    token = bound.token(JKT)
    proof = bound.prove("/proved/x", token)
    assert bound.send("/proved/x", token, proof=proof).allowed
    answer = bound.send("/proved/x", token, proof=proof)
    assert (answer.status, bound.reason) == (401, "dpop_proof_replayed")
    bound.now += 66
    bound.send("/proved/x", token, proof=proof)
    assert bound.reason == "dpop_proof_expired"


def test_a_refused_request_does_not_use_its_proof_up(bound: Bound) -> None:
    """Nothing that fails is remembered: a stolen proof does not lock its owner out."""
    token, other = bound.token(JKT), bound.token(JKT, jti="tok-2")
    proof = bound.prove("/proved/x", token)
    for path, stolen in (("/proved/y", token), ("/proved/x", other)):
        assert not bound.send(path, stolen, proof=proof).allowed
    assert bound.send("/proved/x", token, proof=proof).allowed


def test_without_room_for_another_proof_it_is_503(issuer: Issuer) -> None:
    bound = Bound(issuer, entries=64)
    token = bound.token(JKT)
    assert all(bound.send("/proved/x", token).allowed for _ in range(64))
    answer = bound.send("/proved/x", token)
    assert (answer.status, bound.reason) == (503, "dpop_busy")
    assert "www-authenticate" not in answer.response_headers


DPOP = 'DPoP realm="septem", algs="ES256"'
BEARER = 'Bearer realm="septem"'
MALFORMED = 'error="invalid_token", error_description="The access token is malformed"'


@pytest.mark.parametrize(
    ("path", "headers", "challenge"),
    [
        ("/api/x", {}, BEARER),
        ("/proved/x", {}, DPOP),
        ("/offered/x", {}, f"{BEARER}, {DPOP}"),
        ("/any/x", {}, f"{BEARER}, {DPOP}"),
        ("/proved/x", {"authorization": "Basic eDp5"}, DPOP),
        ("/proved/x", {"authorization": "Bearer x"},
         f"{DPOP}, {MALFORMED}"),
        ("/offered/x", {"authorization": "Bearer x"},
         f"{BEARER}, {MALFORMED}, {DPOP}"),
    ],
)  # fmt: skip
def test_the_challenge(bound: Bound, path: str, headers: dict[str, str], challenge: str) -> None:
    answer = read_answer(bound.handle(check_request(path=path, headers=headers)))
    assert answer.response_headers["www-authenticate"] == challenge


def test_a_missing_proof_is_told_with_where_envoy_may_keep_it_back(bound: Bound) -> None:
    answer = bound.send("/offered/x", bound.token(JKT), proof=b"")
    error = 'error="invalid_dpop_proof", error_description="A DPoP proof is required"'
    assert answer.response_headers["www-authenticate"] == f"{DPOP}, {error}"
    assert "allowed_headers" in bound.last.decision.detail


def test_a_nonce_is_offered_asked_for_and_renewed(issuer: Issuer) -> None:
    bound = Bound(issuer, "{nonce: required, nonce_seconds: 60}")
    token = bound.token(JKT)
    first = bound.send("/proved/x", token)
    error = 'error="use_dpop_nonce", error_description="The DPoP proof needs this nonce"'
    assert first.response_headers["www-authenticate"] == f"{DPOP}, {error}"
    nonce = first.response_headers["dpop-nonce"]
    bound.now = NOW // 60 * 60 + 59
    current = bound.send("/proved/x", token).response_headers["dpop-nonce"]
    assert current == nonce
    answer = bound.send("/proved/x", token, proof=bound.prove("/proved/x", token, nonce=nonce))
    assert answer.allowed
    assert "dpop-nonce" not in answer.response_headers
    bound.now += 1
    answer = bound.send("/proved/x", token, proof=bound.prove("/proved/x", token, nonce=nonce))
    assert answer.allowed
    renewed = answer.response_headers["dpop-nonce"]
    assert renewed != nonce
    bound.now += 60
    answer = bound.send("/proved/x", token, proof=bound.prove("/proved/x", token, nonce=nonce))
    assert (answer.status, bound.reason) == (401, "dpop_nonce_required")
    assert answer.response_headers["dpop-nonce"] not in {nonce, renewed}


@pytest.mark.parametrize(
    ("path", "removed"), [("/proved/x", True), ("/api/x", True), ("/passed/x", False)]
)
def test_the_proof_reaches_the_application_only_where_it_is_kept(
    bound: Bound, path: str, removed: bool
) -> None:
    bearer = path == "/api/x"
    token = bound.token(None if bearer else JKT)
    for _ in range(2):
        answer = bound.send(path, token, "Bearer" if bearer else "DPoP")
        assert answer.allowed
        assert ("dpop" in answer.removed) is removed


def test_shadow_mode_records_what_it_would_refuse(bound: Bound) -> None:
    assert bound.send("/tried/x", bound.token(), "Bearer").allowed
    assert bound.last.decision.shadowed is Reason.TOKEN_NOT_BOUND


def test_a_good_proof_is_used_though_a_role_is_missing(bound: Bound) -> None:
    token = bound.token(JKT)
    proof = bound.prove("/admin/x", token)
    assert bound.send("/admin/x", token, proof=proof).status == 403
    bound.send("/admin/x", token, proof=proof)
    assert bound.reason == "dpop_proof_replayed", "the proof was good, so it is used"


def test_the_certificate_is_that_of_envoy_s_tls_and_no_header_s(bound: Bound) -> None:
    stolen = bound.token({"x5t#S256": THIEF.jkt})
    pem = forwarded_certificate(WEB, NOW)
    for name in ("x-forwarded-client-cert", "client-cert", "x-client-cert", "ssl-client-cert"):
        headers = {"authorization": f"Bearer {stolen.decode()}", name: f'Cert="{pem}"'}
        assert not read_answer(bound.handle(check_request(path="/mtls/x", headers=headers))).allowed


@pytest.mark.parametrize("certificate", ["", "x", "%2D", "-----BEGIN%20CERTIFICATE-----"])
def test_what_is_no_certificate_is_nobody_s(certificate: str) -> None:
    with pytest.raises(Denied, match="certificate"):
        check_certificate(certificate, "")
    with pytest.raises(Denied, match="certificate"):
        check_certificate(certificate, WEB_X5T)


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_no_header_brings_the_service_down(authorization: bytes, proof: bytes) -> None:
    bound = FUZZED
    raw = [
        (":method", b"GET"),
        ("authorization", b"DPoP " + authorization),
        ("dpop", proof),
    ]
    bound.handle(check_request(path="/proved/x", raw_headers=raw))
    assert not bound.faults


FUZZED = Bound(Issuer.generate())
