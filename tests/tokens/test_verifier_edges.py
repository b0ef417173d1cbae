"""Where a rule of the verifier ends, to the byte; and what is kept of a token."""

import json
from collections.abc import Callable

import msgspec
import pytest

from sidecar.common.errors import Denied
from sidecar.common.reasons import Reason
from sidecar.tokens.algorithms import ES256
from sidecar.tokens.keyring import KeyRing, VerificationKey
from sidecar.tokens.policy import MAX_TOKEN_BYTES, TokenPolicy
from sidecar.tokens.verifier import VerifiedToken, verify_token
from tests.support.minting import ISSUER, NOW, Issuer, b64, base_claims, policy

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def accept(issuer: Issuer, token: bytes, *, keep_payload: bool = True) -> VerifiedToken:
    return verify_token(token, issuer.ring, policy(), NOW, keep_payload=keep_payload)


def refused(issuer: Issuer, token: bytes) -> Denied:
    with pytest.raises(Denied) as denied:
        accept(issuer, token)
    return denied.value


def test_the_largest_token_and_one_byte_more(issuer: Issuer) -> None:
    token = issuer.mint()
    limits = msgspec.structs.replace(policy(), max_token_bytes=len(token))
    assert verify_token(token, issuer.ring, limits, NOW).claims.subject == "user-42"
    smaller = msgspec.structs.replace(policy(), max_token_bytes=len(token) - 1)
    with pytest.raises(Denied) as denied:
        verify_token(token, issuer.ring, smaller, NOW)
    assert denied.value.reason is Reason.TOKEN_TOO_LARGE
    assert TokenPolicy().max_token_bytes == MAX_TOKEN_BYTES == 8192


RANGES = [
    ("r zero", 0, 1, "out of range"),
    ("s zero", 1, 0, "out of range"),
    ("r the order", ORDER, 1, "out of range"),
    ("s the order", 1, ORDER, "out of range"),
    ("r beyond", ORDER + 1, 1, "out of range"),
    ("s beyond", 1, 2**256 - 1, "out of range"),
    ("the least", 1, 1, "does not verify"),
    ("the most", ORDER - 1, ORDER - 1, "does not verify"),
]


@pytest.mark.parametrize(
    ("r", "s", "said"), [row[1:] for row in RANGES], ids=[r[0] for r in RANGES]
)
def test_a_signature_is_two_numbers_of_a_range(issuer: Issuer, r: int, s: int, said: str) -> None:
    """CVE-2022-21449: OpenSSL refuses them too; here they do not come so far."""
    signature = b64(r.to_bytes(32, "big") + s.to_bytes(32, "big")).encode()
    denied = refused(issuer, issuer.mint().rpartition(b".")[0] + b"." + signature)
    assert denied.reason is Reason.SIGNATURE_INVALID
    assert said in denied.detail


def headed(issuer: Issuer, **header: object) -> bytes:
    return issuer.mint_raw(issuer.header(**header), json.dumps(base_claims()))


@pytest.mark.parametrize("kind", ["JWT", "jwt", "at+jwt", "application/at+jwt", "Application/JWT"])
def test_every_spelling_of_the_type_that_is_meant(issuer: Issuer, kind: str) -> None:
    assert accept(issuer, headed(issuer, typ=kind)).kid == issuer.kid


TYPES = [
    ("rt+jwt", Reason.REFRESH_TOKEN_PRESENTED),
    ("application/rt+jwt", Reason.REFRESH_TOKEN_PRESENTED),
    ("APPLICATION/REFRESH+JWT", Reason.REFRESH_TOKEN_PRESENTED),
    ("refresh", Reason.REFRESH_TOKEN_PRESENTED),
    ("id+jwt", Reason.TOKEN_TYPE_NOT_ALLOWED),
    ("jwtapplication/", Reason.TOKEN_TYPE_NOT_ALLOWED),
    ("application/application/jwt", Reason.TOKEN_TYPE_NOT_ALLOWED),
    (["jwt"], Reason.TOKEN_TYPE_NOT_ALLOWED),
]


@pytest.mark.parametrize(("kind", "reason"), TYPES)
def test_types_that_are_not_meant(issuer: Issuer, kind: object, reason: Reason) -> None:
    assert refused(issuer, headed(issuer, typ=kind)).reason is reason


def long(header: str) -> str:
    return header + " " * 600


def test_a_header_too_long_to_be_cached_is_judged_alike(issuer: Issuer) -> None:
    """White space is JSON's; nothing else can make a good header so long."""
    claims = json.dumps(base_claims())
    assert accept(issuer, issuer.mint_raw(long(issuer.header()), claims)).kid == issuer.kid
    for header, reason in (
        (issuer.header(alg="none"), Reason.ALGORITHM_NOT_ALLOWED),
        (issuer.header(jku="x"), Reason.HEADER_PARAMETER_NOT_ALLOWED),
        (issuer.header(kid="other"), Reason.KEY_UNKNOWN),
    ):
        assert refused(issuer, issuer.mint_raw(long(header), claims)).reason is reason


KIDS: list[tuple[object, str]] = [
    ("", "names no kid"), ("k" * 257, "names no kid"), (7, "names no kid"),
    ("k" * 256, "no key with this kid"), ("other", "no key with this kid"),
]  # fmt: skip


@pytest.mark.parametrize(("kid", "said"), KIDS)
def test_a_kid_is_a_text_of_a_bounded_length(issuer: Issuer, kid: object, said: str) -> None:
    denied = refused(issuer, headed(issuer, kid=kid))
    assert denied.reason is Reason.KEY_UNKNOWN
    assert said in denied.detail


def test_two_issuers_of_one_kid_each_sign_for_themselves(issuer: Issuer) -> None:
    other = Issuer.generate(issuer.kid, "https://other.example")
    ring = KeyRing([other.key, issuer.key])
    assert verify_token(issuer.mint(), ring, policy(), NOW).key == issuer.key
    with pytest.raises(Denied) as denied:
        verify_token(other.mint(), ring, policy(), NOW)
    assert denied.value.reason is Reason.SIGNATURE_INVALID


def test_a_key_of_nobody_reads_every_issuer(issuer: Issuer) -> None:
    """As ``sidecar token verify`` has them, without a configuration; no server has such a key."""
    ring = KeyRing([VerificationKey(issuer.kid, issuer.private.public_key(), None, ES256)])
    for keep_payload in (True, False):
        token = verify_token(issuer.mint(), ring, TokenPolicy(), NOW, keep_payload=keep_payload)
        assert token.claims.issuer == ISSUER
        with pytest.raises(Denied, match="is not configured"):
            verify_token(issuer.mint(), ring, policy(), NOW, keep_payload=keep_payload)
        assert token.slimmed().claims == token.claims


Change = Callable[[Issuer], bytes]
WHOLE: list[tuple[str, Change]] = [
    ("roles and scopes", Issuer.mint),
    ("none", lambda issuer: issuer.mint(roles=None, scope=None)),
    ("several audiences", lambda issuer: issuer.mint(aud=["https://api.septemcore.com", "x"])),
]


@pytest.mark.parametrize("make", [row[1] for row in WHOLE], ids=[row[0] for row in WHOLE])
def test_a_slimmed_token_says_the_same_and_shares_it(issuer: Issuer, make: Change) -> None:
    whole, plain = accept(issuer, make(issuer)), accept(issuer, make(issuer), keep_payload=False)
    assert whole.payload is not None
    assert plain.payload is None
    assert plain.slimmed() is plain
    slim = whole.slimmed()
    assert (slim.claims, slim.key, slim.payload) == (whole.claims, issuer.key, None)
    assert plain.claims == whole.claims
    assert slim.claims.issuer is slim.key.issuer
    again = accept(issuer, make(issuer)).slimmed()
    for name in ("audience", "roles", "scopes"):
        assert getattr(slim.claims, name) is getattr(again.claims, name)


def test_a_token_that_is_not_ordinary_keeps_what_rules_look_at(issuer: Issuer) -> None:
    kept = accept(issuer, issuer.mint(note="a@b.example"), keep_payload=False)
    assert kept.payload is not None
    assert kept.payload["note"] == "a@b.example"
