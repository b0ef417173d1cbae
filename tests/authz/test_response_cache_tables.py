"""The tables of the response cache: what is shared, what is bounded, and when they are emptied."""

import pytest

from sidecar.authz import response_cache
from sidecar.authz.response_cache import (
    CHALLENGE_PREFIX,
    ID_ENTRY,
    MAX_PATH_BYTES,
    NO_TOKEN,
    ORIGIN_WEIGHT,
    NonceTemplate,
    ResolvedTarget,
    ResponseCache,
    RouteScope,
    TargetKey,
    Template,
)
from sidecar.authz.routes import Route
from sidecar.tokens.cache import TokenCache
from sidecar.tokens.claims import Claims
from tests.support.ids import ONE_ID
from tests.support.minting import NOW, TENANT

ROUTE = Route("api", "required")
OWN = (b"xx", b"yyy")


def tables() -> ResponseCache:
    return ResponseCache(TokenCache(0))


def target_key(path: bytes = b"/api") -> TargetKey:
    return b"GET", b"app.example", path


def cache_target(
    tables: ResponseCache, path: bytes = b"/api", host: str = "app.example"
) -> ResolvedTarget:
    return tables.cache_target(target_key(path), "GET", host, path.decode(), ROUTE)


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
    ("whatever source is named", Route("r", "none", token_from=("cookie:a",)), True, False),
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
    route_scope = RouteScope(route)
    assert (route_scope.plain, route_scope.reads_token, route_scope.reads_origin) == (
        plain,
        reads_token,
        False,
    )
    assert route_scope.route is route
    assert RouteScope(Route("r", "none", reads_origin=True)).reads_origin


def test_a_cached_target_keeps_what_was_parsed() -> None:
    kept = tables()
    target = cache_target(kept)
    assert (target.method, target.host, target.path) == ("GET", "app.example", "/api")
    assert target.note is None
    assert kept.targets == {target_key(): target}


def test_targets_of_one_route_and_host_share_their_answers() -> None:
    kept = tables()
    route_scope = cache_target(kept).route_scope
    assert cache_target(kept, b"/api/other").route_scope is route_scope
    assert cache_target(kept, b"/api/3", host="other.example").route_scope is not route_scope
    other = kept.cache_target(target_key(b"/x"), "GET", "app.example", "/x", Route("x", "none"))
    assert other.route_scope is not route_scope


def test_long_paths_and_challenges_are_matched_each_time() -> None:
    kept = tables()
    longest = b"/" * MAX_PATH_BYTES
    for path in (longest + b"/", CHALLENGE_PREFIX, CHALLENGE_PREFIX + b"token"):
        assert cache_target(kept, path).path == path.decode()
    assert kept.targets == {}
    cache_target(kept, longest)
    assert kept.targets.keys() == {target_key(longest)}


def test_a_full_table_of_targets_is_emptied_with_its_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(response_cache, "MAX_TARGETS", 2)
    monkeypatch.setattr(response_cache, "MAX_TEMPLATES", 2)
    kept = tables()
    first = cache_target(kept, b"/1")
    kept.cache_template(first.route_scope, NO_TOKEN, template())
    cache_target(kept, b"/2")
    assert len(kept.targets) == 2
    third = cache_target(kept, b"/3")
    assert kept.targets == {target_key(b"/3"): third}
    assert third.route_scope is not first.route_scope
    assert third.route_scope.answers == {}
    for number in range(2):
        kept.cache_template(third.route_scope, number, template())
    assert len(third.route_scope.answers) == 2, "the answers start empty again"


@pytest.mark.parametrize("weight", [1, ORIGIN_WEIGHT])
def test_answers_are_bounded_by_their_weight(monkeypatch: pytest.MonkeyPatch, weight: int) -> None:
    monkeypatch.setattr(response_cache, "MAX_TEMPLATES", 3 * weight)
    kept = tables()
    route_scope, other = (
        cache_target(kept).route_scope,
        cache_target(kept, host="other.example").route_scope,
    )

    def key(number: int) -> int | tuple[int, bytes]:
        return number if weight == 1 else (NO_TOKEN, b"origin %d" % number)

    for round_ in range(3):
        for number in range(3):
            kept.cache_template(route_scope if number else other, key(number), template())
        assert len(route_scope.answers) + len(other.answers) == 3, f"all are kept, round {round_}"
    for change in (
        kept.invalidate,
        lambda: kept.targets.update({target_key(b"/x"): cache_target(kept)}),
    ):
        change()
    route_scope = cache_target(kept).route_scope
    for number in range(3):
        kept.cache_template(route_scope, key(number), template())
    assert len(route_scope.answers) == 3, "a new snapshot starts empty"


def test_a_new_snapshot_leaves_nothing() -> None:
    kept = tables()
    route_scope, epoch = cache_target(kept).route_scope, kept.epoch
    kept.cache_template(route_scope, NO_TOKEN, template())
    kept.invalidate()
    assert kept.targets == {}
    assert kept.epoch == epoch + 1 > 1
    assert cache_target(kept).route_scope is not route_scope


def test_a_token_that_was_never_evaluated_is_of_no_epoch() -> None:
    """``CachedToken.epoch`` begins at 0: no cache may be in that epoch."""
    assert tables().epoch > 0


PRINCIPALS = [
    claims(), claims("0f0f0f0f-0000-4000-8000-000000000000"), claims(roles=("a",)),
    claims(roles=("a", "b")), claims(scopes=("a",)), claims(roles=("b", "a")),
]  # fmt: skip


def test_a_principal_key_has_one_number_and_a_number_one_key() -> None:
    kept = tables()
    numbers = [kept.principal_key_of(each, OWN) for each in PRINCIPALS]
    numbers += [
        kept.principal_key_of(claims(), (b"x", b"yyy")),
        kept.principal_key_of(claims(), (b"xx", b"")),
    ]
    assert len({NO_TOKEN, *numbers}) == len(PRINCIPALS) + 3
    assert [kept.principal_key_of(each, OWN) for each in PRINCIPALS] == numbers[: len(PRINCIPALS)]
    kept.invalidate()
    assert kept.principal_key_of(claims(), OWN) == numbers[0], "a snapshot changes no principal key"


def test_numbers_are_not_used_again_when_the_table_was_full(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(response_cache, "MAX_PRINCIPAL_KEYS", 2)
    kept = tables()
    first, second = (kept.principal_key_of(each, OWN) for each in PRINCIPALS[:2])
    assert [kept.principal_key_of(each, OWN) for each in PRINCIPALS[:2]] == [first, second]
    third = kept.principal_key_of(PRINCIPALS[2], OWN)
    again = kept.principal_key_of(PRINCIPALS[0], OWN)
    assert len({first, second, third, again}) == 4


def test_a_template_is_filled_with_a_tokens_own() -> None:
    assert template().fill(OWN, ONE_ID) == b"12xx3yyy4" + ID_ENTRY + ONE_ID
    assert template().note is None
    nonces = iter([b"<1>", b"<2>"])
    plain = Template(b"1", b"a\0b\0c", b"3", b"4", outcome="o", route="r", key_state="k")
    slots = NonceTemplate(plain, b"\0", lambda: next(nonces))
    assert (slots.outcome, slots.route, slots.key_state, slots.note) == ("o", "r", "k", None)
    assert slots.fill(OWN, ONE_ID) == b"1a<1>b<1>cxx3yyy4" + ID_ENTRY + ONE_ID
    assert slots.fill(OWN, ONE_ID) == b"1a<2>b<2>cxx3yyy4" + ID_ENTRY + ONE_ID
