"""The cache of verified tokens: it changes what a Check costs, and nothing else."""

import hashlib
from typing import Any

import msgspec

from sidecar.authz.encoding.request import parse_request, view_of
from sidecar.authz.evaluate import decide
from sidecar.authz.response_cache import ResponseCache
from sidecar.authz.snapshot import build_snapshot
from sidecar.common.reasons import Grant, Reason
from sidecar.config import parse_config
from sidecar.keys.rotation import IssuerKeys
from sidecar.tokens.cache import TokenCache
from sidecar.tokens.keyring import KeyRing
from sidecar.tokens.revocation import Revocations, read_revocations
from tests.authz.checks import check_request
from tests.authz.conftest import CONFIG
from tests.support.minting import NOW, TENANT, Issuer

ISSUER, OTHER = Issuer.generate(), Issuer.generate(kid="key-2")
SNAPSHOT = build_snapshot(parse_config(CONFIG, "test"), KeyRing([ISSUER.key, OTHER.key]))


def request(token: bytes, path: str = "/api/x", host: str = "app.example") -> bytes:
    headers = {"authorization": f"Bearer {token.decode()}"}
    return check_request(path=path, host=host, headers=headers)


def outcome(cache: TokenCache, token: bytes, now: float = NOW, snapshot: Any = SNAPSHOT) -> object:
    return decide(
        view_of(parse_request(request(token))), snapshot, now, ResponseCache(cache)
    ).outcome


def test_the_second_time_is_from_the_cache() -> None:
    cache, token = TokenCache(), ISSUER.mint()
    assert [outcome(cache, token) for _ in range(3)] == [Grant.TOKEN_VERIFIED] * 3
    assert (cache.hits, cache.misses, len(cache)) == (2, 1, 1)


def test_a_cached_token_still_expires() -> None:
    cache, token = TokenCache(), ISSUER.mint(exp=NOW + 10)
    assert outcome(cache, token) is Grant.TOKEN_VERIFIED
    assert outcome(cache, token, NOW + 39.9) is Grant.TOKEN_VERIFIED
    assert outcome(cache, token, NOW + 40) is Reason.TOKEN_EXPIRED


def test_a_key_that_leaves_the_ring_takes_its_tokens_along_and_no_others() -> None:
    cache, mine, others = TokenCache(), ISSUER.mint(), OTHER.mint()
    for token in (mine, others):
        outcome(cache, token)
    without = msgspec.structs.replace(SNAPSHOT, ring=KeyRing([OTHER.key]))
    assert outcome(cache, mine, snapshot=without) is Reason.KEY_UNKNOWN
    hits = cache.hits
    assert outcome(cache, others, snapshot=without) is Grant.TOKEN_VERIFIED
    assert cache.hits == hits + 1


def test_another_key_under_the_same_kid_verifies_nothing_cached() -> None:
    cache, token = TokenCache(), ISSUER.mint()
    outcome(cache, token)
    stranger = Issuer.generate(kid=ISSUER.kid)
    swapped = msgspec.structs.replace(SNAPSHOT, ring=stranger.ring)
    assert outcome(cache, token, snapshot=swapped) is Reason.SIGNATURE_INVALID


def test_a_refresh_that_changes_nothing_drops_nothing() -> None:
    keys = IssuerKeys(100.0)
    keys.refresh([ISSUER.key], 0.0)
    first = keys.verifying()[0]
    same = ISSUER.private.public_key()
    keys.refresh([ISSUER.key._replace(public=same)], 10.0)
    assert keys.verifying()[0] is first


def test_a_revocation_reaches_what_is_cached() -> None:
    cache, token = TokenCache(), ISSUER.mint()
    outcome(cache, token)
    entry = read_revocations({"tenants": [{"tenant": TENANT, "issued_before": NOW}]})
    revoked = msgspec.structs.replace(SNAPSHOT, revocations=Revocations(entry, NOW, 930))
    assert outcome(cache, token, snapshot=revoked) is Reason.TOKEN_REVOKED


def test_forged_tokens_leave_nothing_and_push_nobody_out() -> None:
    cache = TokenCache(max_entries=16)
    good = [ISSUER.mint(jti=f"t{n}") for n in range(16)]
    for token in good:
        outcome(cache, token)
    forger = Issuer.generate()
    for number in range(500):
        outcome(cache, forger.mint(jti=f"f{number}"))
    assert len(cache) == 16
    hits = cache.hits
    for token in good:
        outcome(cache, token)
    assert cache.hits == hits + 16


def test_the_table_is_bounded_and_what_has_expired_goes_first() -> None:
    cache = TokenCache(max_entries=100)
    for number in range(50):
        outcome(cache, ISSUER.mint(jti=f"old{number}", exp=NOW + 5))
    for number in range(50):
        outcome(cache, ISSUER.mint(jti=f"new{number}"))
    outcome(cache, ISSUER.mint(jti="one-more", iat=NOW, nbf=NOW, exp=NOW + 600), NOW + 35)
    assert (len(cache), cache.evicted) == (51, 50)
    for number in range(200):
        outcome(cache, ISSUER.mint(jti=f"many{number}"))
    assert len(cache) <= 100


def test_none_are_cached_where_none_may_be() -> None:
    cache, token = TokenCache(max_entries=0), ISSUER.mint()
    assert outcome(cache, token) is outcome(cache, token) is Grant.TOKEN_VERIFIED
    assert (len(cache), cache.hits) == (0, 0)


def test_the_credential_itself_is_not_kept() -> None:
    cache, token = TokenCache(), ISSUER.mint()
    outcome(cache, token)
    (digest,) = cache.entries
    assert digest == hashlib.sha256(token).digest()
    assert token not in repr(cache.entries).encode()


def test_a_smaller_cache_drops_the_oldest() -> None:
    cache = TokenCache()
    tokens = [ISSUER.mint(jti=f"t{number}") for number in range(4)]
    for token in tokens:
        outcome(cache, token)
    cache.resize(2)
    assert (len(cache), cache.evicted) == (2, 2)
    kept = {hashlib.sha256(token).digest() for token in tokens[2:]}
    assert cache.entries.keys() == kept
    cache.resize(10)
    assert len(cache) == 2
