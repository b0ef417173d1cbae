"""Where each bound of a Check lies, to the byte, and what stands behind a step that failed."""

from collections.abc import Callable
from hashlib import sha256

import pytest
from msgspec.structs import replace

from sidecar.authz.acme_challenge import CHALLENGE_ROUTE, challenge_decision, find_challenge
from sidecar.authz.credential import TokenPlaces, find_token, read_bearer
from sidecar.authz.decision import Decision, RequestView, Snapshot
from sidecar.authz.module_install import judge_bundle
from sidecar.authz.response_cache import CHALLENGE_PREFIX
from sidecar.certificates.challenges.challenge_list import Challenge
from sidecar.common.canonical import (
    MAX_HOST_LENGTH,
    MAX_PATH_BYTES,
    _canonical_host,
    canonical_host,
    canonical_path,
)
from sidecar.common.errors import Denied
from sidecar.common.reasons import Grant, Reason
from sidecar.module_signing.install import ModulePolicy, Provenance
from sidecar.tokens.verifier import verify_token
from tests.authz.world import SNAPSHOT
from tests.support.minting import NOW, Issuer, policy


def name_of(length: int) -> bytes:
    """Make a host name of so many characters, of labels that are short enough."""
    labels = b"a23456789." * (length // 10 + 1)
    return labels[: length - 1].rstrip(b".").ljust(length, b"a")


HOSTS: list[tuple[str, bytes, bool]] = [
    ("the longest", name_of(MAX_HOST_LENGTH), True),
    ("one more", name_of(MAX_HOST_LENGTH + 1), False),
    ("the longest with all that may follow", name_of(MAX_HOST_LENGTH) + b".:65535", True),
    ("beyond all that may follow", name_of(MAX_HOST_LENGTH) + b".:655350", False),
    ("a long one that is a name but for its length", name_of(5_000), False),
    ("no ASCII", "h\u00e9.example".encode(), False),
]


@pytest.mark.parametrize(("raw", "good"), [row[1:] for row in HOSTS], ids=[row[0] for row in HOSTS])
def test_hosts(raw: bytes, good: bool) -> None:
    if good:
        assert canonical_host(raw) == raw.decode().removesuffix(".:65535")
        return
    with pytest.raises(Denied) as denied:
        canonical_host(raw)
    assert denied.value.reason is Reason.HOST_MALFORMED


def test_what_is_too_long_is_not_cached() -> None:
    _canonical_host.cache_clear()
    with pytest.raises(Denied):
        canonical_host(b"a" * 100_000)
    assert _canonical_host.cache_info().currsize == 0


@pytest.mark.parametrize("last", [b"a", b"%20"])
def test_paths(last: bytes) -> None:
    longest = b"/" + b"a" * (MAX_PATH_BYTES - 1 - len(last)) + last
    assert canonical_path(longest + b"?" + b"q" * 9_000) == longest.decode()
    with pytest.raises(Denied) as denied:
        canonical_path(longest + b"a")
    assert denied.value.reason is Reason.REQUEST_TOO_LARGE


PLACES: list[tuple[str, Callable[[bytes], dict[str, bytes]]]] = [
    ("header", lambda token: {"authorization": b"Bearer " + token}),
    ("cookie:session", lambda token: {"cookie": b"a=b; session=" + token}),
    ("websocket", lambda token: {"sec-websocket-protocol": b"chat, bearer." + token}),
]


def find(headers: dict[str, bytes], place: str) -> bytes | None:
    return find_token(headers, b"", TokenPlaces((place,)), 20).token


@pytest.mark.parametrize(("place", "headers"), PLACES, ids=[row[0] for row in PLACES])
def test_a_credential_is_bounded_where_it_is_found(
    place: str, headers: Callable[[bytes], dict[str, bytes]]
) -> None:
    assert find(headers(b"t" * 20), place) == b"t" * 20
    with pytest.raises(Denied) as denied:
        find(headers(b"t" * 21), place)
    assert denied.value.reason is Reason.TOKEN_TOO_LARGE


def test_the_size_is_looked_at_before_anything_else() -> None:
    with pytest.raises(Denied) as denied:
        read_bearer(b"Basic " + b"a," * 50, 20)
    assert denied.value.reason is Reason.TOKEN_TOO_LARGE


def test_a_cookie_may_stand_in_quotes() -> None:
    """RFC 6265 §4.1.1; white space is no part of a value, quotes are none either."""
    assert find({"cookie": b'session="token"'}, "cookie:session") == b"token"
    assert find({"cookie": b"session=XtokenX"}, "cookie:session") == b"XtokenX"


class Known:
    """A source that knows every challenge it is asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def find(self, token: str) -> Challenge:
        self.asked.append(token)
        return Challenge(token, "app.example", "answer", NOW + 60)


def view(token: bytes, method: bytes = b"GET", host: bytes = b"app.example:80") -> RequestView:
    return RequestView(method, host, CHALLENGE_PREFIX + token, {})


CHALLENGES: list[tuple[str, RequestView, bool]] = [
    ("the longest", view(b"t" * 128), True),
    ("one more", view(b"t" * 129), False),
    ("no ASCII", view("t\u00e9".encode()), False),
    ("HEAD", view(b"t", b"HEAD"), False),
    ("POST", view(b"t", b"POST"), False),
]


@pytest.mark.parametrize(
    ("asked", "looked_up"), [row[1:] for row in CHALLENGES], ids=[row[0] for row in CHALLENGES]
)
def test_challenges(asked: RequestView, looked_up: bool) -> None:
    source = Known()
    assert (find_challenge(asked, source) is not None) is looked_up
    assert bool(source.asked) is looked_up


def test_an_answer_to_a_ca_says_what_it_was() -> None:
    found = Challenge("t", "app.example", "answer", NOW + 60)
    decision = challenge_decision(view(b"t"), found)
    assert decision is not None
    assert (decision.outcome, decision.route) == (Grant.CHALLENGE_ANSWERED, CHALLENGE_ROUTE)
    assert (decision.method, decision.host) == ("GET", "app.example")
    assert decision.path == "/.well-known/acme-challenge/t"
    assert challenge_decision(view(b"t", host=b"other.example"), found) is None
    assert challenge_decision(view(b"t", host=b"no host"), found) is None
    assert challenge_decision(view(b"t"), None) is None


def test_where_a_bundle_comes_from_is_said() -> None:
    assert str(Provenance("00ff", "acme")) == "bundle sha256:00ff acme"
    assert str(Provenance("00ff", None)) == "bundle sha256:00ff unsigned"


POLICY = ModulePolicy(100, frozenset({"admin"}))
LACKING: list[tuple[str, ModulePolicy | None, bool, bool]] = [
    ("no policy", None, True, True),
    ("no bundle asked for", POLICY, False, True),
    ("nobody's token", POLICY, True, False),
]


@pytest.mark.parametrize(
    ("modules", "asked_for", "signed_in"), [row[1:] for row in LACKING], ids=[r[0] for r in LACKING]
)
def test_a_bundle_is_never_judged_on_half_of_what_it_takes(
    issuer: Issuer, modules: ModulePolicy | None, asked_for: bool, signed_in: bool
) -> None:
    """It can't happen; if it does, the answer is no."""
    token = verify_token(issuer.mint(), issuer.ring, policy(), NOW)
    decision = Decision(
        Grant.TOKEN_VERIFIED,
        route="install",
        module="unsigned_by_owner" if asked_for else None,
        token=token if signed_in else None,
    )
    snapshot: Snapshot = replace(SNAPSHOT, modules=modules)
    asked = RequestView(b"POST", b"app.example", b"/", {}, body=b"a bundle")
    judged = judge_bundle(decision, asked, snapshot)
    assert judged.outcome is Reason.INTERNAL_FAULT
    assert judged.route == "install"
    assert not judged.allowed
    assert judged.detail == "no policy for bundles is set"
    whole = replace(decision, module="unsigned_by_owner", token=token)
    allowed = judge_bundle(whole, asked, replace(SNAPSHOT, modules=POLICY))
    assert allowed.allowed
    assert allowed.provenance == Provenance(sha256(b"a bundle").hexdigest(), None)
