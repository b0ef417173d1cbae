"""Published flaws of JWT libraries, each tried on ours.

A case is named by the advisory whose class of attack it is; some classes have none.
"""

import hashlib
import hmac
import json
import zlib
from collections.abc import Callable

import jwt
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sidecar.common.errors import Denied
from sidecar.common.reasons import Reason
from sidecar.tokens.keyring import KeyRing
from sidecar.tokens.verifier import verify_token
from tests.support.minting import NOW, TENANT, Issuer, b64, base_claims, policy

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
Attack = Callable[[Issuer], bytes]
CLAIMS = json.dumps(base_claims())


def unsigned(alg: str) -> Attack:
    return lambda issuer: f"{b64(issuer.header(alg=alg).encode())}.{b64(CLAIMS.encode())}.".encode()


def hmac_with(encoding: Encoding, form: PublicFormat) -> Attack:
    def attack(issuer: Issuer) -> bytes:
        secret = issuer.private.public_key().public_bytes(encoding, form)
        signed = f"{b64(issuer.header(alg='HS256').encode())}.{b64(CLAIMS.encode())}"
        mac = hmac.new(secret, signed.encode(), hashlib.sha256).digest()
        return f"{signed}.{b64(mac)}".encode()

    return attack


def embedded_jwk(issuer: Issuer) -> bytes:
    """Signed by a key that the token brings along."""
    evil = Issuer.generate()
    jwk = jwt.algorithms.ECAlgorithm.to_jwk(evil.private.public_key(), as_dict=True)
    return evil.mint_raw(evil.header(kid=issuer.kid, jwk=jwk), CLAIMS)


def pointing(parameter: str, value: object) -> Attack:
    def attack(issuer: Issuer) -> bytes:
        evil = Issuer.generate()
        return evil.mint_raw(evil.header(kid=issuer.kid, **{parameter: value}), CLAIMS)

    return attack


def with_signature(r: int, s: int) -> Attack:
    def attack(issuer: Issuer) -> bytes:
        signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
        return issuer.mint().rpartition(b".")[0] + b"." + b64(signature).encode()

    return attack


def der_signature(issuer: Issuer) -> bytes:
    """An ASN.1 signature where JWS has r and s side by side."""
    signed = issuer.mint().rpartition(b".")[0]
    der = issuer.private.sign(signed, ec.ECDSA(hashes.SHA256()))
    return signed + b"." + b64(der).encode()


def unreduced(issuer: Issuer) -> bytes:
    """(r, s + n): another spelling of the same signature, if s + n fits 32 bytes."""
    while True:
        signed = issuer.mint().rpartition(b".")[0]
        r, s = decode_dss_signature(issuer.private.sign(signed, ec.ECDSA(hashes.SHA256())))
        if s + ORDER < 2**256:
            raw = r.to_bytes(32, "big") + (s + ORDER).to_bytes(32, "big")
            return signed + b"." + b64(raw).encode()
        # Once in 2^32: take one that surely does not verify instead.
        return signed + b"." + b64(r.to_bytes(32, "big") + ORDER.to_bytes(32, "big")).encode()


def nested(issuer: Issuer) -> bytes:
    """A signed token around an unsigned one."""
    inner = unsigned("none")(issuer)
    return issuer.mint_raw(issuer.header(cty="JWT"), inner)


def jwe(_issuer: Issuer) -> bytes:
    header = b64(b'{"alg":"ECDH-ES","enc":"A256GCM"}')
    return f"{header}..{b64(b'0' * 12)}.{b64(CLAIMS.encode())}.{b64(b'0' * 16)}".encode()


def jwe_with_bomb(_issuer: Issuer) -> bytes:
    bomb = b64(zlib.compress(b"0" * 1_000_000))
    header = b64(b'{"alg":"dir","enc":"A256GCM","zip":"DEF"}')
    return f"{header}..AAAA.{bomb}.AAAA".encode()


def json_serialisation(issuer: Issuer) -> bytes:
    """A JWS in JSON, with the compact one's parts."""
    head, payload, signature = issuer.mint().decode().split(".")
    document = {"protected": head, "payload": payload, "signature": signature, "header": {}}
    return json.dumps(document).encode()


def payload(raw: str | bytes) -> Attack:
    return lambda issuer: issuer.mint_raw(issuer.header(), raw)


def header(raw: str | bytes) -> Attack:
    return lambda issuer: issuer.mint_raw(raw, CLAIMS)


def duplicated(name: str, first: object, second: object) -> str:
    rest = json.dumps({k: v for k, v in base_claims().items() if k != name})[1:]
    return f'{{"{name}":{json.dumps(first)},"{name}":{json.dumps(second)},{rest}'


def swapped(issuer: Issuer) -> bytes:
    return issuer.mint(sub="a").rpartition(b".")[0] + b"." + issuer.mint().rpartition(b".")[2]


def rs256(issuer: Issuer) -> bytes:
    key = rsa.generate_private_key(65537, 2048)
    return jwt.encode(base_claims(), key, "RS256", {"kid": issuer.kid}).encode()


def es384(issuer: Issuer) -> bytes:
    key = ec.generate_private_key(ec.SECP384R1())
    return jwt.encode(base_claims(), key, "ES384", {"kid": issuer.kid}).encode()


SPKI, RAW, SSH = (
    PublicFormat.SubjectPublicKeyInfo,
    PublicFormat.UncompressedPoint,
    PublicFormat.OpenSSH,
)
FORGER = Issuer.generate()
ADVISORIES: list[tuple[str, Attack, Reason]] = [
    ("CVE-2018-1000531 alg none", unsigned("none"), Reason.ALGORITHM_NOT_ALLOWED),
    ("CVE-2020-15957 alg nOnE", unsigned("nOnE"), Reason.ALGORITHM_NOT_ALLOWED),
    (
        "CVE-2015-9235 PEM as HMAC secret",
        hmac_with(Encoding.PEM, SPKI),
        Reason.ALGORITHM_NOT_ALLOWED,
    ),
    (
        "CVE-2016-10555 DER as HMAC secret",
        hmac_with(Encoding.DER, SPKI),
        Reason.ALGORITHM_NOT_ALLOWED,
    ),
    (
        "CVE-2024-37568 raw point as HMAC secret",
        hmac_with(Encoding.X962, RAW),
        Reason.ALGORITHM_NOT_ALLOWED,
    ),
    (
        "CVE-2022-29217 OpenSSH key as HMAC secret",
        hmac_with(Encoding.OpenSSH, SSH),
        Reason.ALGORITHM_NOT_ALLOWED,
    ),
    ("CVE-2023-48238 RS256 where ES256 is meant", rs256, Reason.ALGORITHM_NOT_ALLOWED),
    ("CVE-2024-54150 ES384 where ES256 is meant", es384, Reason.ALGORITHM_NOT_ALLOWED),
    ("CVE-2021-22573 signature missing", unsigned("ES256"), Reason.SIGNATURE_INVALID),
    ("CVE-2022-21449 r = s = 0", with_signature(0, 0), Reason.SIGNATURE_INVALID),
    ("CVE-2022-21449 r = s = n", with_signature(ORDER, ORDER), Reason.SIGNATURE_INVALID),
    ("CVE-2022-21449 r = 1, s = 0", with_signature(1, 0), Reason.SIGNATURE_INVALID),
    ("an ASN.1 signature", der_signature, Reason.SIGNATURE_INVALID),
    ("s not reduced", unreduced, Reason.SIGNATURE_INVALID),
    ("the signature of another token", swapped, Reason.SIGNATURE_INVALID),
    (
        "CVE-2024-51744 expired and forged",
        lambda _: FORGER.mint(exp=NOW - 99),
        Reason.SIGNATURE_INVALID,
    ),
    ("CVE-2018-0114 embedded JWK", embedded_jwk, Reason.HEADER_PARAMETER_NOT_ALLOWED),
    (
        "RFC 8725 3.10 jku",
        pointing("jku", "https://evil.example/k"),
        Reason.HEADER_PARAMETER_NOT_ALLOWED,
    ),
    (
        "RFC 8725 3.10 x5u",
        pointing("x5u", "https://evil.example/c"),
        Reason.HEADER_PARAMETER_NOT_ALLOWED,
    ),
    ("RFC 8725 3.10 x5c", pointing("x5c", ["MIIB"]), Reason.HEADER_PARAMETER_NOT_ALLOWED),
    (
        "RFC 8725 3.10 kid as a path",
        header('{"alg":"ES256","typ":"JWT","kid":"../../dev/null"}'),
        Reason.KEY_UNKNOWN,
    ),
    (
        "RFC 8725 3.10 kid as a query",
        header('{"alg":"ES256","typ":"JWT","kid":"x\' UNION SELECT 1--"}'),
        Reason.KEY_UNKNOWN,
    ),
    ("kid of another type", header('{"alg":"ES256","typ":"JWT","kid":{}}'), Reason.KEY_UNKNOWN),
    ("CVE-2025-59420 unknown crit", pointing("crit", ["x"]), Reason.HEADER_PARAMETER_NOT_ALLOWED),
    ("CVE-2025-59420 empty crit", pointing("crit", []), Reason.HEADER_PARAMETER_NOT_ALLOWED),
    ("RFC 7797 b64 false", pointing("b64", False), Reason.HEADER_PARAMETER_NOT_ALLOWED),
    ("RFC 8725 2.7 nested, unsigned inside", nested, Reason.HEADER_PARAMETER_NOT_ALLOWED),
    ("CVE-2023-51774 a JWE for a JWS", jwe, Reason.TOKEN_MALFORMED),
    (
        "CVE-2022-3102 a JWE for a JWS, by its header",
        pointing("enc", "A256GCM"),
        Reason.HEADER_PARAMETER_NOT_ALLOWED,
    ),
    ("CVE-2024-33664 a JWE that is a zip bomb", jwe_with_bomb, Reason.TOKEN_MALFORMED),
    (
        "CVE-2024-28176 zip in the header",
        pointing("zip", "DEF"),
        Reason.HEADER_PARAMETER_NOT_ALLOWED,
    ),
    (
        "CVE-2023-50658 p2c in the header",
        pointing("p2c", 2**31),
        Reason.HEADER_PARAMETER_NOT_ALLOWED,
    ),
    ("CVE-2022-39227 JSON serialisation", json_serialisation, Reason.TOKEN_MALFORMED),
    (
        "CVE-2017-12635 a claim twice",
        payload(duplicated("tenantId", "a", TENANT)),
        Reason.TOKEN_MALFORMED,
    ),
    (
        "CVE-2017-12635 a header member twice",
        header('{"alg":"none","alg":"ES256","typ":"JWT","kid":"key-1"}'),
        Reason.TOKEN_MALFORMED,
    ),
    (
        "CVE-2020-26160 aud an empty list",
        payload(json.dumps(base_claims(aud=[]))),
        Reason.CLAIM_MALFORMED,
    ),
    (
        "CVE-2020-26160 aud an empty string",
        payload(json.dumps(base_claims(aud=""))),
        Reason.CLAIM_MALFORMED,
    ),
    (
        "CVE-2024-53861 a part of the issuer",
        payload(json.dumps(base_claims(iss="https://iam"))),
        Reason.ISSUER_MISMATCH,
    ),
    (
        "the issuer of another key",
        payload(json.dumps(base_claims(iss="https://evil.example"))),
        Reason.ISSUER_MISMATCH,
    ),
    ("exp missing", payload(json.dumps(base_claims(exp=None))), Reason.CLAIM_MISSING),
    (
        "exp infinite",
        payload(CLAIMS.replace(str(base_claims()["exp"]), "1e309")),
        Reason.CLAIM_MALFORMED,
    ),
    ("exp an object", payload(json.dumps(base_claims(exp={"valueOf": 9}))), Reason.CLAIM_MALFORMED),
    ("CVE-2025-30204 many periods", lambda _: b"." * 8_000, Reason.TOKEN_MALFORMED),
    ("CVE-2025-53864 deeply nested JSON", payload("[" * 3_000), Reason.TOKEN_MALFORMED),
    (
        "CVE-2022-25898 white space in base64",
        lambda i: i.mint().replace(b".", b"\n.", 1),
        Reason.TOKEN_MALFORMED,
    ),
    ("CVE-2022-25898 padding", lambda i: i.mint() + b"=", Reason.TOKEN_MALFORMED),
    (
        "CVE-2022-25898 an escape in base64",
        lambda i: i.mint().replace(b".", b"%2e", 1),
        Reason.TOKEN_MALFORMED,
    ),
]


@pytest.mark.parametrize(
    ("attack", "reason"), [a[1:] for a in ADVISORIES], ids=[a[0] for a in ADVISORIES]
)
def test_it_does_not_pass(issuer: Issuer, attack: Attack, reason: Reason) -> None:
    with pytest.raises(Denied) as denied:
        verify_token(attack(issuer), issuer.ring, policy(), NOW)
    assert denied.value.reason is reason


def test_the_key_of_another_kid_is_never_tried(issuer: Issuer) -> None:
    """No fall-back from the named key to another."""
    other = Issuer.generate(kid="key-2")
    ring = KeyRing([issuer.key, other.key])
    token = other.mint_raw(other.header(kid="key-1"), CLAIMS)
    with pytest.raises(Denied) as denied:
        verify_token(token, ring, policy(), NOW)
    assert denied.value.reason is Reason.SIGNATURE_INVALID


def test_two_issuers_do_not_speak_for_each_other(issuer: Issuer) -> None:
    """A key verifies the tokens of its own issuer alone (RFC 8725 §3.8)."""
    evil = Issuer.generate(kid="evil", name="https://evil.example")
    ring = KeyRing([issuer.key, evil.key])
    with pytest.raises(Denied) as denied:
        verify_token(evil.mint(), ring, policy(), NOW)
    assert denied.value.reason is Reason.ISSUER_MISMATCH
