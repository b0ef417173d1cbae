"""The specification of a good token: a table of what is refused, and for what."""

import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sidecar.common.errors import Denied
from sidecar.common.reasons import Reason
from sidecar.tokens.keyring import EMPTY_RING, KeyRing
from sidecar.tokens.policy import TokenPolicy
from sidecar.tokens.verifier import verify_token
from tests.support.minting import NOW, Issuer, b64, base_claims, policy, rules

Make = Callable[[Issuer], bytes]


def changed(**claims: Any) -> Make:
    return lambda issuer: issuer.mint(**claims)


def headed(**header: Any) -> Make:
    return lambda issuer: issuer.mint_raw(issuer.header(**header), json.dumps(base_claims()))


def payload(raw: str | bytes) -> Make:
    return lambda issuer: issuer.mint_raw(issuer.header(), raw)


def resigned(signature: bytes) -> Make:
    return lambda issuer: issuer.mint().rpartition(b".")[0] + b"." + b64(signature).encode()


def respelt(change: Callable[[bytes], bytes]) -> Make:
    return lambda issuer: change(issuer.mint())


def hs256_with_public_key(issuer: Issuer) -> bytes:
    """CVE-2016-5431: the public key taken for an HMAC secret."""
    secret = issuer.private.public_key().public_bytes(
        Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
    )
    signed = f"{b64(issuer.header(alg='HS256').encode())}.{b64(json.dumps(base_claims()).encode())}"
    mac = hmac.new(secret, signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{b64(mac)}".encode()


def stray_bits(token: bytes) -> bytes:
    """Set a bit of the last signature character that decodes to nothing."""
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return token[:-1] + bytes([alphabet[alphabet.index(token[-1]) | 1]])


ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

REFUSED: list[tuple[str, Make, Reason]] = [
    ("empty", lambda _: b"", Reason.TOKEN_MALFORMED),
    ("two segments", lambda _: b"a.b", Reason.TOKEN_MALFORMED),
    ("four segments", respelt(lambda t: t + b".x"), Reason.TOKEN_MALFORMED),
    ("a thousand dots", lambda _: b"." * 1_000, Reason.TOKEN_MALFORMED),
    ("ten thousand dots", lambda _: b"." * 10_000, Reason.TOKEN_TOO_LARGE),
    ("over 8 KB", changed(pad="x" * 9_000), Reason.TOKEN_TOO_LARGE),
    ("padding", respelt(lambda t: t + b"=="), Reason.TOKEN_MALFORMED),
    ("white space", respelt(lambda t: t[:-4] + b" " + t[-3:]), Reason.TOKEN_MALFORMED),
    ("newline at the end", respelt(lambda t: t[:-1] + b"\n"), Reason.TOKEN_MALFORMED),
    ("standard alphabet", respelt(lambda t: t[:-1] + b"+"), Reason.TOKEN_MALFORMED),
    ("stray trailing bits", respelt(stray_bits), Reason.TOKEN_MALFORMED),
    ("alg none", headed(alg="none"), Reason.ALGORITHM_NOT_ALLOWED),
    (
        "alg none, unsigned",
        respelt(lambda t: b"eyJhbGciOiJub25lIn0." + t.split(b".")[1] + b"."),
        Reason.ALGORITHM_NOT_ALLOWED,
    ),
    ("alg nOnE", headed(alg="nOnE"), Reason.ALGORITHM_NOT_ALLOWED),
    ("alg missing", headed(alg=None), Reason.ALGORITHM_NOT_ALLOWED),
    ("alg es256", headed(alg="es256"), Reason.ALGORITHM_NOT_ALLOWED),
    ("alg a list", headed(alg=["ES256"]), Reason.ALGORITHM_NOT_ALLOWED),
    ("HS256 with the public key", hs256_with_public_key, Reason.ALGORITHM_NOT_ALLOWED),
    ("jwk in the header", headed(jwk={"kty": "EC"}), Reason.HEADER_PARAMETER_NOT_ALLOWED),
    ("jku", headed(jku="https://evil.example/k"), Reason.HEADER_PARAMETER_NOT_ALLOWED),
    ("x5u", headed(x5u="https://evil.example/c"), Reason.HEADER_PARAMETER_NOT_ALLOWED),
    ("x5c", headed(x5c=["MII"]), Reason.HEADER_PARAMETER_NOT_ALLOWED),
    ("crit", headed(crit=["exp"]), Reason.HEADER_PARAMETER_NOT_ALLOWED),
    ("b64 false", headed(b64=False), Reason.HEADER_PARAMETER_NOT_ALLOWED),
    ("zip", headed(zip="DEF"), Reason.HEADER_PARAMETER_NOT_ALLOWED),
    ("nested (cty)", headed(cty="JWT"), Reason.HEADER_PARAMETER_NOT_ALLOWED),
    ("typ missing", headed(typ=None), Reason.TOKEN_TYPE_NOT_ALLOWED),
    ("typ of another token", headed(typ="dpop+jwt"), Reason.TOKEN_TYPE_NOT_ALLOWED),
    ("typ refresh", headed(typ="rt+jwt"), Reason.REFRESH_TOKEN_PRESENTED),
    ("kid unknown", headed(kid="other"), Reason.KEY_UNKNOWN),
    ("kid missing", headed(kid=None), Reason.KEY_UNKNOWN),
    ("kid a number", headed(kid=1), Reason.KEY_UNKNOWN),
    ("kid an SQL injection", headed(kid="' OR 1=1 --"), Reason.KEY_UNKNOWN),
    ("kid a path", headed(kid="../../dev/null"), Reason.KEY_UNKNOWN),
    ("signature empty", resigned(b""), Reason.SIGNATURE_INVALID),
    ("signature of 63 bytes", resigned(b"\1" * 63), Reason.SIGNATURE_INVALID),
    ("signature of 65 bytes", resigned(b"\1" * 65), Reason.SIGNATURE_INVALID),
    ("psychic signature r=s=0", resigned(b"\0" * 64), Reason.SIGNATURE_INVALID),
    ("r zero", resigned(b"\0" * 32 + b"\1" * 32), Reason.SIGNATURE_INVALID),
    ("s the order", resigned(b"\1" * 32 + ORDER.to_bytes(32, "big")), Reason.SIGNATURE_INVALID),
    ("forged", lambda _: Issuer.generate().mint(), Reason.SIGNATURE_INVALID),
    ("repeated member", payload('{"iss":"a","iss":"b"}'), Reason.TOKEN_MALFORMED),
    ("NaN", payload('{"exp":NaN}'), Reason.TOKEN_MALFORMED),
    ("Infinity", payload('{"exp":-Infinity}'), Reason.TOKEN_MALFORMED),
    ("an array", payload("[]"), Reason.TOKEN_MALFORMED),
    ("not UTF-8", payload(b'{"iss":"\xff"}'), Reason.TOKEN_MALFORMED),
    ("not JSON", payload("{"), Reason.TOKEN_MALFORMED),
    ("a thousand deep", payload("[" * 1_000 + "]" * 1_000), Reason.TOKEN_MALFORMED),
    ("expired", changed(exp=NOW - 31), Reason.TOKEN_EXPIRED),
    ("expired at the leeway's end", changed(exp=NOW - 30), Reason.TOKEN_EXPIRED),
    ("not yet valid", changed(nbf=NOW + 31), Reason.TOKEN_NOT_YET_VALID),
    ("issued in the future", changed(iat=NOW + 31), Reason.TOKEN_ISSUED_IN_FUTURE),
    ("lives 15 min 1 s", changed(iat=NOW, exp=NOW + 901), Reason.TOKEN_LIFETIME_TOO_LONG),
    ("issuer of another key", changed(iss="https://evil.example"), Reason.ISSUER_MISMATCH),
    ("another audience", changed(aud="https://other"), Reason.AUDIENCE_MISMATCH),
    ("refresh by token_use", changed(token_use="refresh"), Reason.REFRESH_TOKEN_PRESENTED),
    *[
        (f"{name} missing", changed(**{name: None}), Reason.CLAIM_MISSING)
        for name in ("iss", "sub", "aud", "exp", "nbf", "iat", "jti", "tenantId")
    ],
    ("exp a string", changed(exp="1790000600"), Reason.CLAIM_MALFORMED),
    ("exp true", changed(exp=True), Reason.CLAIM_MALFORMED),
    ("exp negative", changed(exp=-1), Reason.CLAIM_MALFORMED),
    (
        "exp 1e400",
        payload(json.dumps(base_claims(exp=0)).replace('"exp": 0', '"exp": 1e400')),
        Reason.CLAIM_MALFORMED,
    ),
    ("sub a number", changed(sub=42), Reason.CLAIM_MALFORMED),
    ("sub with a line break", changed(sub="a\r\nx-tenant-id: b"), Reason.CLAIM_MALFORMED),
    ("jti with a space", changed(jti="a b"), Reason.CLAIM_MALFORMED),
    ("tenantId not a UUID", changed(tenantId="acme"), Reason.CLAIM_MALFORMED),
    (
        "tenantId with a line break",
        changed(tenantId=base_claims()["tenantId"] + "\n"),
        Reason.CLAIM_MALFORMED,
    ),
    ("aud empty", changed(aud=[]), Reason.CLAIM_MALFORMED),
    ("aud an object", changed(aud={"a": 1}), Reason.CLAIM_MALFORMED),
    ("roles a string", changed(roles="admin"), Reason.CLAIM_MALFORMED),
    ("a role that forges another", changed(roles=["viewer,admin"]), Reason.CLAIM_MALFORMED),
    ("scope with two spaces", changed(scope="a  b"), Reason.CLAIM_MALFORMED),
]


@pytest.mark.parametrize(("make", "reason"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED])
def test_refused(issuer: Issuer, make: Make, reason: Reason) -> None:
    with pytest.raises(Denied) as denied:
        verify_token(make(issuer), issuer.ring, policy(), NOW)
    assert denied.value.reason is reason, denied.value.detail


ACCEPTED: list[tuple[str, Make]] = [
    ("plain", changed()),
    ("typ at+jwt", headed(typ="at+jwt")),
    ("typ in full", headed(typ="application/at+jwt")),
    ("decimal times", changed(exp=NOW + 600.5, iat=NOW - 0.25)),
    ("aud an array", changed(aud=["x", "https://api.septemcore.com"])),
    ("expired within the leeway", changed(exp=NOW - 29)),
    ("early within the leeway", changed(nbf=NOW + 29, iat=NOW + 29)),
    ("exactly 15 minutes", changed(iat=NOW, exp=NOW + 900)),
    ("no roles, no scope", changed(roles=None, scope=None)),
    ("braces in a string", changed(note="{[" * 40)),
]


@pytest.mark.parametrize("make", [r[1] for r in ACCEPTED], ids=[r[0] for r in ACCEPTED])
def test_accepted(issuer: Issuer, make: Make) -> None:
    token = verify_token(make(issuer), issuer.ring, policy(), NOW)
    assert token.claims.tenant_id == base_claims()["tenantId"]
    assert token.kid == issuer.kid


def test_claims_are_read(issuer: Issuer) -> None:
    claims = verify_token(issuer.mint(), issuer.ring, policy(), NOW).claims
    assert claims.subject == "user-42"
    assert claims.token_id == "tok-1"
    assert claims.roles == ("admin", "editor")
    assert claims.scopes == ("read", "write")
    assert claims.expires_at == NOW + 600


def test_tenant_is_lower_case(issuer: Issuer) -> None:
    upper = base_claims()["tenantId"].upper()
    claims = verify_token(issuer.mint(tenantId=upper), issuer.ring, policy(), NOW).claims
    assert claims.tenant_id == upper.lower()


def test_nbf_may_be_made_optional(issuer: Issuer) -> None:
    token = issuer.mint(nbf=None)
    verify_token(token, issuer.ring, policy(require_nbf=False), NOW)


def test_every_bit_of_the_signature_counts(issuer: Issuer) -> None:
    head, _, signature = issuer.mint().rpartition(b".")
    raw = jwt.utils.base64url_decode(signature)
    for bit in range(0, 512, 7):
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Denied) as denied:
            verify_token(head + b"." + b64(bytes(flipped)).encode(), issuer.ring, policy(), NOW)
        assert denied.value.reason is Reason.SIGNATURE_INVALID


def test_an_empty_ring_knows_no_key(issuer: Issuer) -> None:
    with pytest.raises(Denied) as denied:
        verify_token(issuer.mint(), EMPTY_RING, policy(), NOW)
    assert denied.value.reason is Reason.KEY_UNKNOWN


def test_one_kid_of_two_issuers(issuer: Issuer) -> None:
    other = Issuer.generate(name="https://other.example")
    ring = KeyRing([other.key, issuer.key])
    assert verify_token(issuer.mint(), ring, policy(), NOW).claims.issuer == issuer.name
    with pytest.raises(Denied) as denied:  # the other's key may not speak for this issuer
        verify_token(other.mint(), ring, policy(), NOW)
    assert denied.value.reason is Reason.SIGNATURE_INVALID
    both = TokenPolicy({issuer.name: rules(), other.name: rules()}, others=None)
    with pytest.raises(Denied) as denied:
        verify_token(other.mint(), ring, both, NOW)
    assert denied.value.reason is Reason.ISSUER_MISMATCH
    assert verify_token(other.mint(iss=other.name), ring, both, NOW).key == other.key


def test_the_refusal_never_repeats_the_token(issuer: Issuer) -> None:
    for name, make, _reason in REFUSED:
        token = make(issuer)
        with pytest.raises(Denied) as denied:
            verify_token(token, issuer.ring, policy(), NOW)
        for segment in token.split(b"."):
            if len(segment) > 8:
                assert segment.decode("latin-1") not in str(denied.value), name
