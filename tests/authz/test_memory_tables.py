"""The tables of the memory: what is shared, what is bounded, and when they are emptied."""

import pytest

from sidecar.authz import response_cache as memory
from sidecar.authz.response_cache import (
    CHALLENGE_PREFIX,
    MAX_PATH_BYTES,
    NO_TOKEN,
    ORIGIN_WEIGHT,
    NonceTemplate,
    ResolvedTarget,
    ResponseCache,
    RouteScope,
    Target,
    Template,
)
from sidecar.authz.routes import Route
from sidecar.tokens.cache import TokenCache
from sidecar.tokens.claims import Claims
from tests.support.minting import NOW, TENANT

ROUTE = Route("api", "required")
OWN = (b"xx", b"yyy")


def tables() -> ResponseCache:
    return ResponseCache(TokenCache(0))


def target(path: bytes = b"/api") -> Target:
    return b"GET", b"app.example", path


def remember(
    tables: ResponseCache, path: bytes = b"/api", host: str = "app.example"
) -> ResolvedTarget:
    return tables.cache_target(target(path), "GET", host, path.decode(), ROUTE)


def template() -> Template:
    return Template(
        b"1", b"2", b"3", b"4", outcome="token_verified", route="api", key_state="active"
    )


def claims(
    tenant: str = TENANT, roles: tuple[str, ...] = (), scopes: tuple[str, ...] = ()
) -> Claims:
    return Claims("i", "s", ("a",), "j", tenant, NOW, NOW, NOW, roles, scopes)


PLAIN: list[tuple[str, Route, bool, bool]] = [
    ("a token in the header", Route("r", "required"), True, True),
    ("or none", Route("r", "optional"), True, True),
    ("no token is read", Route("r", "none"), True, False),
    ("whatever place is named", Route("r", "none", token_from=("cookie:a",)), True, False),
    ("a cookie", Route("r", "required", token_from=("cookie:a",)), False, True),
    ("header or cookie", Route("r", "required", token_from=("header", "cookie:a")), False, True),
    ("a certificate", Route("r", "required", clients=("c",)), False, True),
    ("a certificate alone", Route("r", "none", clients=("c",)), False, False),
    ("shadow", Route("r", "required", shadow=True), False, True),
    ("a bundle", Route("r", "required", module="signed"), False, True),
]


@pytest.mark.parametrize(
    ("route", "plain", "reads_token"), [row[1:] for row in PLAIN], ids=[row[0] for row in PLAIN]
)
def test_what_is_plain(route: Route, plain: bool, reads_token: bool) -> None:
    place = RouteScope(route)
    assert (place.plain, place.reads_token, place.reads_origin) == (plain, reads_token, False)
    assert place.route is route
    assert RouteScope(Route("r", "none", reads_origin=True)).reads_origin


def test_a_visit_keeps_what_was_read() -> None:
    kept = tables()
    visit = remember(kept)
    assert (visit.method, visit.host, visit.path) == ("GET", "app.example", "/api")
    assert visit.note is None
    assert kept.visits == {target(): visit}


def test_targets_of_one_route_and_host_share_their_answers() -> None:
    kept = tables()
    place = remember(kept).place
    assert remember(kept, b"/api/other").place is place
    assert remember(kept, b"/api/3", host="other.example").place is not place
    other = kept.cache_target(target(b"/x"), "GET", "app.example", "/x", Route("x", "none"))
    assert other.place is not place


def test_long_paths_and_challenges_are_matched_each_time() -> None:
    kept = tables()
    longest = b"/" * MAX_PATH_BYTES
    for path in (longest + b"/", CHALLENGE_PREFIX, CHALLENGE_PREFIX + b"token"):
        assert remember(kept, path).path == path.decode()
    assert kept.visits == {}
    remember(kept, longest)
    assert kept.visits.keys() == {target(longest)}


def test_a_full_table_of_targets_is_emptied_with_its_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "MAX_TARGETS", 2)
    monkeypatch.setattr(memory, "MAX_TEMPLATES", 2)
    kept = tables()
    first = remember(kept, b"/1")
    kept.cache_template(first.place, NO_TOKEN, template())
    remember(kept, b"/2")
    assert len(kept.visits) == 2
    third = remember(kept, b"/3")
    assert kept.visits == {target(b"/3"): third}
    assert third.place is not first.place
    assert third.place.answers == {}
    for number in range(2):
        kept.cache_template(third.place, number, template())
    assert len(third.place.answers) == 2, "answers have the whole room again"


@pytest.mark.parametrize("weight", [1, ORIGIN_WEIGHT])
def test_answers_are_bounded_by_their_weight(monkeypatch: pytest.MonkeyPatch, weight: int) -> None:
    monkeypatch.setattr(memory, "MAX_TEMPLATES", 3 * weight)
    kept = tables()
    place, other = remember(kept).place, remember(kept, host="other.example").place

    def key(number: int) -> int | tuple[int, bytes]:
        return number if weight == 1 else (NO_TOKEN, b"origin %d" % number)

    for round_ in range(3):
        for number in range(3):
            kept.cache_template(place if number else other, key(number), template())
        assert len(place.answers) + len(other.answers) == 3, f"all are kept, round {round_}"
    for change in (kept.invalidate, lambda: kept.visits.update({target(b"/x"): remember(kept)})):
        change()
    place = remember(kept).place
    for number in range(3):
        kept.cache_template(place, key(number), template())
    assert len(place.answers) == 3, "a new snapshot has the whole room"


def test_a_new_snapshot_leaves_nothing() -> None:
    kept = tables()
    place, epoch = remember(kept).place, kept.epoch
    kept.cache_template(place, NO_TOKEN, template())
    kept.invalidate()
    assert kept.visits == {}
    assert kept.epoch == epoch + 1 > 1
    assert remember(kept).place is not place


def test_a_token_that_was_never_decided_upon_is_of_no_epoch() -> None:
    """``CachedToken.epoch`` begins at 0: no memory may be in it."""
    assert tables().epoch > 0


STANDINGS = [
    claims(), claims("0f0f0f0f-0000-4000-8000-000000000000"), claims(roles=("a",)),
    claims(roles=("a", "b")), claims(scopes=("a",)), claims(roles=("b", "a")),
]  # fmt: skip


def test_a_standing_has_one_number_and_a_number_one_standing() -> None:
    kept = tables()
    numbers = [kept.principal_key_of(each, OWN) for each in STANDINGS]
    numbers += [
        kept.principal_key_of(claims(), (b"x", b"yyy")),
        kept.principal_key_of(claims(), (b"xx", b"")),
    ]
    assert len({NO_TOKEN, *numbers}) == len(STANDINGS) + 3
    assert [kept.principal_key_of(each, OWN) for each in STANDINGS] == numbers[: len(STANDINGS)]
    kept.invalidate()
    assert kept.principal_key_of(claims(), OWN) == numbers[0], "a snapshot changes no standing"


def test_numbers_are_not_used_again_when_the_table_was_full(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "MAX_PRINCIPAL_KEYS", 2)
    kept = tables()
    first, second = (kept.principal_key_of(each, OWN) for each in STANDINGS[:2])
    assert [kept.principal_key_of(each, OWN) for each in STANDINGS[:2]] == [first, second]
    third = kept.principal_key_of(STANDINGS[2], OWN)
    again = kept.principal_key_of(STANDINGS[0], OWN)
    assert len({first, second, third, again}) == 4


def test_a_template_is_filled_with_a_tokens_own() -> None:
    assert template().fill(OWN) == b"12xx34yyy"
    assert template().note is None
    nonces = iter([b"<1>", b"<2>"])
    plain = Template(b"1", b"a\0b\0c", b"3", b"4", outcome="o", route="r", key_state="k")
    slots = NonceTemplate(plain, b"\0", lambda: next(nonces))
    assert (slots.outcome, slots.route, slots.key_state, slots.note) == ("o", "r", "k", None)
    assert slots.fill(OWN) == b"1a<1>b<1>cxx34yyy"
    assert slots.fill(OWN) == b"1a<2>b<2>cxx34yyy"
