"""The memory of verified tokens: it changes what a Check costs, and nothing else."""

import hashlib
import tracemalloc
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.authz.pipeline import decide
from sidecar.authz.policy import build_snapshot
from sidecar.authz.wire import decode_request, encode_allowed
from sidecar.config import parse_config
from sidecar.keys.keyring import KeyRing
from sidecar.keys.rotation import IssuerKeys
from sidecar.reasons import Grant, Reason
from sidecar.tokens.cache import TokenCache
from sidecar.tokens.revocation import Revocations, read_revocations
from tests.authz.checks import check_request
from tests.authz.conftest import CONFIG
from tests.minting import NOW, TENANT, Issuer

ISSUER, OTHER = Issuer.generate(), Issuer.generate(kid="key-2")
SNAPSHOT = build_snapshot(parse_config(CONFIG, "test"), KeyRing([ISSUER.key, OTHER.key]))


def request(token: bytes, path: str = "/api/x", host: str = "app.example") -> bytes:
    headers = {"authorization": f"Bearer {token.decode()}"}
    return check_request(path=path, host=host, headers=headers)


def outcome(cache: TokenCache, token: bytes, now: float = NOW, snapshot: Any = SNAPSHOT) -> object:
    return decide(decode_request(request(token)), snapshot, now, cache).outcome


def test_the_second_time_is_from_memory() -> None:
    cache, token = TokenCache(), ISSUER.mint()
    assert [outcome(cache, token) for _ in range(3)] == [Grant.TOKEN_VERIFIED] * 3
    assert (cache.hits, cache.misses, len(cache)) == (2, 1, 1)


def test_a_remembered_token_still_expires() -> None:
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


def test_another_key_under_the_same_kid_verifies_nothing_remembered() -> None:
    cache, token = TokenCache(), ISSUER.mint()
    outcome(cache, token)
    stranger = Issuer.generate(kid=ISSUER.kid)
    swapped = msgspec.structs.replace(SNAPSHOT, ring=stranger.ring)
    assert outcome(cache, token, snapshot=swapped) is Reason.SIGNATURE_INVALID


def test_a_refresh_that_changes_nothing_forgets_nothing() -> None:
    keys = IssuerKeys(100.0)
    keys.refresh([ISSUER.key], 0.0)
    first = keys.verifying()[0]
    same = ISSUER.private.public_key()
    keys.refresh([ISSUER.key._replace(public=same)], 10.0)
    assert keys.verifying()[0] is first


def test_a_revocation_reaches_what_is_remembered() -> None:
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
    outcome(cache, ISSUER.mint(jti="one-more", iat=NOW, nbf=NOW, exp=NOW + 600), NOW + 20)
    assert (len(cache), cache.evicted) == (51, 50)
    for number in range(200):
        outcome(cache, ISSUER.mint(jti=f"many{number}"))
    assert len(cache) <= 100


def test_none_are_remembered_where_none_may_be() -> None:
    cache, token = TokenCache(max_entries=0), ISSUER.mint()
    assert outcome(cache, token) is outcome(cache, token) is Grant.TOKEN_VERIFIED
    assert (len(cache), cache.hits) == (0, 0)


def test_the_credential_itself_is_not_kept() -> None:
    cache, token = TokenCache(), ISSUER.mint()
    outcome(cache, token)
    (digest,) = cache._entries
    assert digest == hashlib.sha256(token).digest()
    assert token not in repr(cache._entries).encode()


def test_what_a_remembered_token_costs() -> None:
    """The figure to reach is 1.5 KB a token, its answers and claims included."""
    cache, count = TokenCache(), 2000
    tokens = [ISSUER.mint(jti=f"token-{n:08}", sub=f"user-{n:06}") for n in range(count)]
    views = [decode_request(request(token)) for token in tokens]
    shared: dict[Any, bytes] = {}
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for view in views:
        encode_allowed(decide(view, SNAPSHOT, NOW, cache), SNAPSHOT, shared)
    grown = (tracemalloc.get_traced_memory()[0] - before) / count
    tracemalloc.stop()
    assert grown < 1500


PATHS = st.sampled_from(["/api/x", "/either", "/public/x", "/shell", "/nowhere", "/a/../b"])
HOSTS = st.sampled_from(["app.example", "shop.acme.example", "bad host"])
TOKENS = st.sampled_from(
    [
        ISSUER.mint(),
        OTHER.mint(roles=None),
        ISSUER.mint(tenantId="0f0f0f0f-0000-4000-8000-000000000000"),
        ISSUER.mint(exp=NOW + 5),
        Issuer.generate().mint(),
        b"rubbish",
    ]
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(TOKENS, PATHS, HOSTS, st.sampled_from([0.0, 20.0, 60.0])), max_size=12))
def test_with_and_without_memory_the_answers_are_the_same(
    steps: list[tuple[bytes, str, str, float]],
) -> None:
    cache, shared = TokenCache(max_entries=2), dict[Any, bytes]()
    for token, path, host, later in steps:
        view = decode_request(request(token, path, host))
        cold = decide(view, SNAPSHOT, NOW + later)
        warm = decide(view, SNAPSHOT, NOW + later, cache)
        assert msgspec.structs.replace(warm, remembered=None) == cold
        if cold.allowed:
            assert encode_allowed(warm, SNAPSHOT, shared) == encode_allowed(cold, SNAPSHOT, {})


@pytest.fixture(autouse=True)
def fresh_memory() -> None:
    """No target is remembered from another test."""
    memory = SNAPSHOT.routes._memory
    assert memory is not None
    memory.clear()
