"""The rules of a DPoP proof (RFC 9449 §4.3), one row for each way to break one."""

import json
from hashlib import sha256
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import OKPAlgorithm, RSAAlgorithm

from sidecar.common.errors import Denied
from sidecar.common.reasons import Reason
from sidecar.tokens.dpop import (
    MAX_PROOF_BYTES,
    DpopRules,
    Proof,
    ProvedRequest,
    check_proof,
    port_of,
    token_hash,
)
from sidecar.tokens.dpop_nonces import Nonces
from tests.support.proving import URL, Prover, b64

NOW = 1_750_000_000.0
TOKEN = b"a.token.of-ours"
PROVER = Prover()
NONCES = Nonces(b"s" * 32)
RULES = DpopRules()
REQUEST = ProvedRequest("GET", "app.septemcore.com", "/api/things", token_hash(TOKEN), PROVER.jkt)
INVALID, MISMATCH = Reason.DPOP_PROOF_INVALID, Reason.DPOP_PROOF_MISMATCH
OTHER_KEY = Prover()


def check(
    proof: bytes | None,
    request: ProvedRequest = REQUEST,
    rules: DpopRules = RULES,
    now: float = NOW,
) -> Proof:
    return check_proof(proof, request, rules, NONCES, now)


def reason(
    proof: bytes | None,
    request: ProvedRequest = REQUEST,
    rules: DpopRules = RULES,
    now: float = NOW,
) -> Reason | None:
    try:
        check(proof, request, rules, now)
    except Denied as denied:
        return denied.reason
    return None


def test_the_request_of_rfc_9449_section_7_1_passes() -> None:
    """Figure 12's own token and proof, at the proof's own time."""
    token = b"Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"
    proof = (
        b"eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6Ik"
        b"VDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCR"
        b"nMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JE"
        b"QSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIj"
        b"oiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0Z"
        b"WRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNF"
        b"c05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71E"
        b"OptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA"
    )
    request = ProvedRequest(
        "GET", "resource.example.org", "/protectedresource",
        "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo",
        "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I",
    )  # fmt: skip
    assert token_hash(token) == request.ath
    assert check(proof, request, now=1562262618).ends_at == 1562262618 + 65


# What differs of the claims, and what is said; None is good.
CLAIMS: list[tuple[str, dict[str, Any], Reason | None]] = [
    ("as it should be", {}, None),
    ("another method", {"htm": "POST"}, MISMATCH),
    ("the method in small letters", {"htm": "get"}, MISMATCH),
    ("no method", {"htm": None}, MISMATCH),
    ("a list of methods", {"htm": ["GET"]}, MISMATCH),
    ("no target", {"htu": None}, MISMATCH),
    ("a number as target", {"htu": 1}, MISMATCH),
    ("the port of HTTPS, said", {"htu": "https://app.septemcore.com:443/api/things"}, None),
    ("another port", {"htu": "https://app.septemcore.com:8443/api/things"}, MISMATCH),
    ("the host in other letters", {"htu": "https://APP.SeptemCore.com/api/things"}, None),
    ("the scheme in other letters", {"htu": "HTTPS://app.septemcore.com/api/things"}, None),
    ("the host with its dot", {"htu": "https://app.septemcore.com./api/things"}, None),
    ("an escape of a letter", {"htu": "https://app.septemcore.com/api/%74hings"}, None),
    ("an escape of what may stand raw", {"htu": "https://app.septemcore.com/api%2Dx"}, MISMATCH),
    ("a slash at the end", {"htu": URL + "/"}, MISMATCH),
    ("the path in other letters", {"htu": "https://app.septemcore.com/API/things"}, MISMATCH),
    ("a dot segment", {"htu": "https://app.septemcore.com/x/../api/things"}, MISMATCH),
    ("another path", {"htu": "https://app.septemcore.com/api"}, MISMATCH),
    ("another host", {"htu": "https://app.septemcore.com.evil.example/api/things"}, MISMATCH),
    ("a user", {"htu": "https://app.septemcore.com@evil.example/api/things"}, MISMATCH),
    ("in the clear", {"htu": "http://app.septemcore.com/api/things"}, MISMATCH),
    ("without a scheme", {"htu": "//app.septemcore.com/api/things"}, MISMATCH),
    ("a path alone", {"htu": "/api/things"}, MISMATCH),
    ("a query", {"htu": URL + "?a=1"}, MISMATCH),
    ("a fragment", {"htu": URL + "#a"}, MISMATCH),
    ("a line end", {"htu": URL + "\n"}, MISMATCH),
    ("not ASCII", {"htu": "https://app.septemcore.com/api/thingé"}, MISMATCH),
    ("another token", {"ath": token_hash(b"another")}, MISMATCH),
    ("no hash of a token", {"ath": None}, MISMATCH),
    ("the hash with padding", {"ath": token_hash(TOKEN) + "="}, MISMATCH),
    ("made 64 s ago", {"iat": NOW - 64}, None),
    ("made 65 s ago", {"iat": NOW - 65}, Reason.DPOP_PROOF_EXPIRED),
    ("made in 5 s", {"iat": NOW + 5}, None),
    ("made in 6 s", {"iat": NOW + 6}, Reason.DPOP_PROOF_EXPIRED),
    ("made at the end of time", {"iat": 1e300}, Reason.DPOP_PROOF_EXPIRED),
    ("made at no time", {"iat": None}, INVALID),
    ("made at a text", {"iat": "1750000000"}, INVALID),
    ("made at true", {"iat": True}, INVALID),
    ("without a name", {"jti": None}, INVALID),
    ("with an empty name", {"jti": ""}, INVALID),
    ("with a number as its name", {"jti": 1}, INVALID),
    ("with the longest name", {"jti": "j" * 256}, None),
    ("with a longer name", {"jti": "j" * 257}, INVALID),
    ("with half a character as its name", {"jti": "\ud800"}, None),
    ("with claims of others", {"exp": 1, "x": {}}, None),
]


@pytest.mark.parametrize(
    ("changes", "said"), [row[1:] for row in CLAIMS], ids=[r[0] for r in CLAIMS]
)
def test_claims(changes: dict[str, Any], said: Reason | None) -> None:
    proof = PROVER.sign(PROVER.header(), PROVER.claims(TOKEN, NOW, **changes))
    assert reason(proof) is said


PRIVATE = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(PROVER.key))
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
RSA_JWK = RSAAlgorithm.to_jwk(RSA.public_key(), as_dict=True)
HEADERS: list[tuple[str, dict[str, Any], Reason | None]] = [
    ("the whole media type", {"typ": "application/dpop+jwt"}, None),
    ("a type in capitals", {"typ": "DPoP+JWT"}, None),
    ("no type", {"typ": None}, INVALID),
    ("an access token's type", {"typ": "at+jwt"}, INVALID),
    ("a list of types", {"typ": ["dpop+jwt"]}, INVALID),
    ("no algorithm", {"alg": None}, INVALID),
    ("none", {"alg": "none"}, INVALID),
    ("HMAC", {"alg": "HS256"}, INVALID),
    ("an algorithm that is not configured", {"alg": "ES384"}, INVALID),
    ("a list of algorithms", {"alg": ["ES256"]}, INVALID),
    ("no key", {"jwk": None}, INVALID),
    ("a text as key", {"jwk": "x"}, INVALID),
    ("an empty key", {"jwk": {}}, INVALID),
    ("a private key", {"jwk": PRIVATE}, INVALID),
    ("a symmetric key", {"jwk": {"kty": "oct", "k": "AAAA"}}, INVALID),
    ("a key of RSA", {"jwk": RSA_JWK}, INVALID),
    ("a key of another curve", {"jwk": {**PROVER.jwk, "crv": "P-384"}}, INVALID),
    ("a key for another algorithm", {"jwk": {**PROVER.jwk, "alg": "ES384"}}, INVALID),
    ("a key for this algorithm", {"jwk": {**PROVER.jwk, "alg": "ES256", "use": "sig"}}, None),
    ("a key for encryption", {"jwk": {**PROVER.jwk, "use": "enc"}}, INVALID),
    ("a key that may not verify", {"jwk": {**PROVER.jwk, "key_ops": ["encrypt"]}}, INVALID),
    ("a key with no operations", {"jwk": {**PROVER.jwk, "key_ops": "verify"}}, INVALID),
    ("half a key", {"jwk": {**PROVER.jwk, "y": None}}, INVALID),
    ("a key off the curve", {"jwk": {**PROVER.jwk, "y": b64(b"\1" * 32)}}, INVALID),
    ("a key with a longer number", {"jwk": {**PROVER.jwk, "x": b64(b"\0" + b"\1" * 32)}}, INVALID),
    ("a key with another spelling", {"jwk": {**PROVER.jwk, "x": PROVER.jwk["x"] + "="}}, INVALID),
    ("a key with more members", {"jwk": {**PROVER.jwk, "kid": "x", "x5u": "https://x"}}, None),
    ("somebody else's key", {"jwk": OTHER_KEY.jwk}, MISMATCH),
    ("something critical", {"crit": ["exp"]}, INVALID),
    ("a payload that is not encoded", {"b64": False}, INVALID),
    ("a kid", {"kid": "x"}, None),
]


@pytest.mark.parametrize(
    ("changes", "said"), [row[1:] for row in HEADERS], ids=[r[0] for r in HEADERS]
)
def test_headers(changes: dict[str, Any], said: Reason | None) -> None:
    assert reason(PROVER.sign(PROVER.header(**changes), PROVER.claims(TOKEN, NOW))) is said


GOOD = PROVER.proof(TOKEN, NOW)
HEAD, BODY, SIGNATURE = GOOD.split(b".")
TWICE = b64(b'{"htm":"GET","htm":"GET"}').encode()
BYTES: list[tuple[str, bytes | None, Reason | None]] = [
    ("none", None, Reason.DPOP_PROOF_MISSING),
    ("nothing", b"", Reason.DPOP_PROOF_MISSING),
    ("one", GOOD, None),
    ("one with white space around it", b" " + GOOD + b"\t", None),
    ("two", GOOD + b"," + GOOD, INVALID),
    ("two, one empty", GOOD + b",", INVALID),
    ("a comma inside", GOOD[:40] + b"," + GOOD[40:], INVALID),
    ("without its signature", HEAD + b"." + BODY + b".", INVALID),
    ("without its third part", HEAD + b"." + BODY, INVALID),
    ("five parts", GOOD + b".x.y", INVALID),
    ("another signature", PROVER.proof(TOKEN, NOW, jti="x").rpartition(b".")[0] + b"." + SIGNATURE,
     INVALID),
    ("a signature cut short", GOOD[:-4], INVALID),
    ("a signature of zeros", HEAD + b"." + BODY + b"." + b64(b"\0" * 64).encode(), INVALID),
    ("with padding", GOOD + b"=", INVALID),
    ("with a member twice", HEAD + b"." + TWICE + b"." + SIGNATURE, INVALID),
    ("a payload that is a list", HEAD + b"." + b64(b"[]").encode() + b"." + SIGNATURE, INVALID),
    ("too long", b"x" * (MAX_PROOF_BYTES + 1), INVALID),
    ("not ASCII", b"\xff.\xff.\xff", INVALID),
]  # fmt: skip


@pytest.mark.parametrize(("proof", "said"), [row[1:] for row in BYTES], ids=[r[0] for r in BYTES])
def test_bytes(proof: bytes | None, said: Reason | None) -> None:
    assert reason(proof) is said


def test_a_proof_by_another_key_under_the_token_s_key_is_refused() -> None:
    """The header has the token's key; the signature is by the thief's."""
    forged = OTHER_KEY.sign(PROVER.header(), PROVER.claims(TOKEN, NOW))
    assert reason(forged) is INVALID


@pytest.mark.parametrize(
    ("request_path", "htu_path", "said"),
    [
        ("/a b".replace(" ", "%20"), "/a%20b", None),
        ("/caf%C3%A9", "/caf%c3%a9", None),
        ("/@x", "/%40x", None),
        ("/%40x".replace("%40", "@"), "/@x", None),
        ("/", "", None),
        ("/", "/", None),
        ("/a", "/a%2Fb", MISMATCH),
        ("/a", "/a;x", MISMATCH),
        ("/a", "//a", MISMATCH),
    ],
)
def test_paths_are_compared_in_their_one_form(
    request_path: str, htu_path: str, said: Reason | None
) -> None:
    proof = PROVER.proof(TOKEN, NOW, htu="https://app.septemcore.com" + htu_path)
    assert reason(proof, REQUEST._replace(path=request_path)) is said


@pytest.mark.parametrize(
    ("authority", "port"),
    [("a.example", 443), ("a.example:443", 443), ("a.example:8443", 8443), ("[::1]", 443),
     ("[::1]:80", 80), ("a:99999999", 443)],
)  # fmt: skip
def test_the_port_of_an_authority(authority: str, port: int) -> None:
    assert port_of(authority) == port


def test_ports_are_those_by_which_clients_reach_envoy() -> None:
    proof = PROVER.proof(TOKEN, NOW, htu="https://app.septemcore.com:8443/api/things")
    rules = RULES._replace(ports=(8443, 9443))
    assert reason(proof, rules=rules) is None
    assert reason(GOOD, rules=rules) is MISMATCH


NONCE_RULES = RULES._replace(require_nonce=True)


@pytest.mark.parametrize(
    ("nonce", "said"),
    [
        (NONCES.current(300, NOW), None),
        (NONCES.current(300, NOW - 300), None),
        (NONCES.current(300, NOW - 600), Reason.DPOP_NONCE_REQUIRED),
        (NONCES.current(300, NOW + 300), Reason.DPOP_NONCE_REQUIRED),
        (Nonces(b"t" * 32).current(300, NOW), Reason.DPOP_NONCE_REQUIRED),
        ("", Reason.DPOP_NONCE_REQUIRED),
        (None, Reason.DPOP_NONCE_REQUIRED),
        (["x"], Reason.DPOP_NONCE_REQUIRED),
        ("é", Reason.DPOP_NONCE_REQUIRED),
        ("x" * 100_0, Reason.DPOP_NONCE_REQUIRED),
    ],
)
def test_a_nonce_must_be_ours_and_of_now(nonce: object, said: Reason | None) -> None:
    assert reason(PROVER.proof(TOKEN, NOW, nonce=nonce), rules=NONCE_RULES) is said
    assert reason(PROVER.proof(TOKEN, NOW, nonce=nonce)) is None, "none is required"


def test_without_a_source_no_nonce_is_ours() -> None:
    proof = PROVER.proof(TOKEN, NOW, nonce="")
    with pytest.raises(Denied, match="nonce"):
        check_proof(proof, REQUEST, NONCE_RULES, None, NOW)


def test_one_name_under_two_keys_is_two_proofs() -> None:
    """Nobody can use up another client's names."""
    other = REQUEST._replace(jkt=OTHER_KEY.jkt)
    digests = {
        check(PROVER.proof(TOKEN, NOW)).digest,
        check(PROVER.proof(TOKEN, NOW, iat=int(NOW) - 1)).digest,
        check(OTHER_KEY.proof(TOKEN, NOW), other).digest,
        check(PROVER.proof(TOKEN, NOW, jti="two")).digest,
    }
    assert len(digests) == 3


P384 = ec.generate_private_key(ec.SECP384R1())
P521 = ec.generate_private_key(ec.SECP521R1())
ED25519 = ed25519.Ed25519PrivateKey.generate()


@pytest.mark.parametrize(
    ("name", "key", "adapter"),
    [
        ("ES384", P384, jwt.algorithms.ECAlgorithm),
        ("ES512", P521, jwt.algorithms.ECAlgorithm),
        ("EdDSA", ED25519, OKPAlgorithm),
        ("RS256", RSA, RSAAlgorithm),
        ("PS384", RSA, RSAAlgorithm),
    ],
)
def test_each_algorithm_verifies_what_pyjwt_signs(name: str, key: Any, adapter: Any) -> None:
    jwk = adapter.to_jwk(key.public_key(), as_dict=True)
    headers = {"typ": "dpop+jwt", "jwk": jwk}
    proof = jwt.encode(PROVER.claims(TOKEN, NOW), key, name, headers).encode()
    members = {each: jwk[each] for each in ("crv", "kty", "x", "y", "n", "e") if each in jwk}
    canonical = json.dumps(members, separators=(",", ":"), sort_keys=True).encode()
    request = REQUEST._replace(jkt=b64(sha256(canonical).digest()))
    rules = RULES._replace(algorithms=(name,))
    assert reason(proof, request, rules) is None
    changed = proof.rpartition(b".")[0] + b"." + b64(b"\1" * 64).encode()
    assert reason(changed, request, rules) is INVALID
    assert reason(proof, request) is INVALID


@given(st.binary(max_size=300) | st.just(GOOD), st.integers(0, 400), st.binary(max_size=3))
def test_whatever_comes_is_accepted_or_denied(raw: bytes, at: int, put: bytes) -> None:
    reason(raw[:at] + put + raw[at + len(put) :])


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(
    st.dictionaries(st.sampled_from(["typ", "alg", "jwk", "crit"]), JSON),
    st.dictionaries(st.sampled_from(["htm", "htu", "ath", "iat", "jti", "nonce"]), JSON),
    st.dictionaries(st.sampled_from(["kty", "crv", "x", "y", "alg", "use", "key_ops"]), JSON),
)
def test_whatever_json_comes_is_accepted_or_denied(
    header: dict[str, Any], claims: dict[str, Any], jwk: dict[str, Any]
) -> None:
    changed = PROVER.header(jwk={**PROVER.jwk, **jwk}) | header
    reason(PROVER.sign(changed, PROVER.claims(TOKEN, NOW)), rules=NONCE_RULES)
    proof = PROVER.sign(PROVER.header(), PROVER.claims(TOKEN, NOW) | claims)
    reason(proof, rules=NONCE_RULES)
