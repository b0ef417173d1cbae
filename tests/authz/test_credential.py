"""Where tokens are, where they must not be, and what is taken away beside them."""

import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.authz.credential import (
    MAX_PARTS,
    UNDECIDED,
    Credential,
    TokenPlaces,
    find_scanned_token,
    find_token,
    where_none_is,
)
from sidecar.authz.spelling import forms_of, may_hold
from sidecar.common.errors import Denied
from sidecar.common.reasons import Reason

HEADER = TokenPlaces(("header",), ("session",), watches_websocket=True)
COOKIE = TokenPlaces(("cookie:session",), ("session", "other"), watches_websocket=True)
SOCKET = TokenPlaces(("websocket",), ("session",), watches_websocket=True)
EITHER = TokenPlaces(("header", "cookie:session"), ("session",))
ODD = TokenPlaces(("cookie:My.Ses_sion",))
ALONE = TokenPlaces(("header",))
"""No route of this configuration reads tokens from anywhere else."""

Headers = dict[str, bytes]
GOOD: Headers = {"authorization": b"Bearer GOOD"}


def cookie(value: bytes, **more: bytes) -> Headers:
    return {"cookie": value, **more}


def protocols(value: bytes, **more: bytes) -> Headers:
    return {"sec-websocket-protocol": value, **more}


def find(headers: Headers, places: TokenPlaces, query: bytes = b"") -> Credential:
    return find_token(headers, query, places, 8192)


TOKENS: list[tuple[str, Headers, TokenPlaces, bytes | None]] = [
    ("a header", GOOD, HEADER, b"GOOD"),
    ("a header in small letters", {"authorization": b"bearer  GOOD"}, HEADER, b"GOOD"),
    ("nothing", {}, HEADER, None),
    ("a cookie", cookie(b"session=GOOD"), COOKIE, b"GOOD"),
    ("among others", cookie(b"a=b; session=GOOD; c"), COOKIE, b"GOOD"),
    ("in quotes", cookie(b'session="GOOD"'), COOKIE, b"GOOD"),
    ("white space around it", cookie(b"a=b;  session=GOOD ;c=d"), COOKIE, b"GOOD"),
    ("two lines, joined by Envoy", cookie(b"a=b,session=GOOD"), COOKIE, b"GOOD"),
    ("a name with signs in it", cookie(b"My.Ses_sion=GOOD"), ODD, b"GOOD"),
    ("a name that ends like it", cookie(b"xsession=F; session=GOOD"), COOKIE, b"GOOD"),
    ("a name that begins like it", cookie(b"session2=F; session-x=F"), COOKIE, None),
    ("the name as a value", cookie(b"a=session; session"), COOKIE, None),
    ("half a quote", cookie(b'session="GOOD'), COOKIE, b'"GOOD'),
    ("padding", cookie(b"session=GOOD="), COOKIE, b"GOOD="),
    ("empty lines beside it", cookie(b"session=GOOD", authorization=b" ,"), COOKIE, b"GOOD"),
    ("an empty one", cookie(b"session="), COOKIE, b""),
    ("an empty Authorization", cookie(b"session=GOOD", authorization=b" "), COOKIE, b"GOOD"),
    ("a subprotocol", protocols(b"chat, bearer.GOOD"), SOCKET, b"GOOD"),
    ("subprotocols without one", protocols(b"chat, graphql-ws, bearerish"), SOCKET, None),
    ("either: the header", GOOD, EITHER, b"GOOD"),
    ("either: the cookie", cookie(b"session=GOOD"), EITHER, b"GOOD"),
    ("cookies that no route reads", cookie(b"session=F", **GOOD), ALONE, b"GOOD"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("headers", "places", "token"), [t[1:] for t in TOKENS], ids=[t[0] for t in TOKENS]
)
def test_the_token(headers: Headers, places: TokenPlaces, token: bytes | None) -> None:
    assert find(headers, places).token == token


BESIDE = b"; session=GOOD"
AMBIGUOUS: list[tuple[str, Headers, TokenPlaces]] = [
    ("two in one header", {"authorization": b"Bearer GOOD, Bearer F"}, HEADER),
    ("two cookies of the name", cookie(b"session=F" + BESIDE), COOKIE),
    ("the same twice", cookie(b"session=GOOD" + BESIDE), COOKIE),
    ("a header and a cookie", cookie(b"session=GOOD", **GOOD), EITHER),
    ("a header where a cookie is read", cookie(b"session=GOOD", **GOOD), COOKIE),
    ("another scheme where a cookie is read", cookie(b"", authorization=b"Basic YTpi"), COOKIE),
    ("a header where a subprotocol is read", protocols(b"bearer.GOOD", **GOOD), SOCKET),
    ("a subprotocol beside a header", protocols(b"bearer.F", **GOOD), HEADER),
    ("a subprotocol beside a header, nobody reads them", protocols(b"bearer.F", **GOOD), ALONE),
    ("a subprotocol alone, where a header is read", protocols(b"bearer.F"), HEADER),
    ("a subprotocol beside a cookie", cookie(b"session=GOOD", **protocols(b"bearer.F")), COOKIE),
    ("two subprotocols", protocols(b"bearer.F, bearer.GOOD"), SOCKET),
    ("a subprotocol in other letters", protocols(b"Bearer.F, bearer.GOOD"), SOCKET),
    ("Kubernetes' subprotocol", protocols(b"base64url.bearer.authorization.k8s.io.F"), HEADER),
    ("a JWT as subprotocol", protocols(b"access_token, eyJhbGciOiJub25lIn0.e30."), HEADER),
    ("a header's words as subprotocols", protocols(b"Authorization, Bearer F", **GOOD), HEADER),
]  # fmt: skip
SPELLINGS = [
    b"session =F", b"session\t=F", b" session \t=F", b"SESSION=F", b"Session=F",
    b"sess%69on=F", b"%73ession=F", b"session%20=F", b"%20session=F", b"session%00x=F",
    b"session[]=F", b"session[a]=F", b"Session[a]=F",
    b"session [a]=F", b"session%5Ba%5D=F", b'"session"=F', b"session\xa0=F",
    b"session\xe2\x80\x83=F", b"\xc2\xa0session=F", b"session\x0b=F", b"session\x85=F",
    b"a=b session=F", b"a=b\tsession =F", b"a=b\xa0session=F", b'a="b session=F"',
    b"a session=F", b"session!=F", b"a=b!session=F",
]  # fmt: skip
"""Each is the cookie ``session`` to Node, PHP, Rack, Go, Django, aiohttp or ASP.NET."""
AMBIGUOUS += [
    (f"{spelling!r} {where}", cookie(value), COOKIE)
    for spelling in SPELLINGS
    for where, value in (
        ("before", spelling + BESIDE),
        ("after", b"session=GOOD; " + spelling),
        ("in another line", b"session=GOOD," + spelling),
        ("alone", spelling),
    )
]
AMBIGUOUS += [("inside quotes", cookie(b'a="b; session=F"' + BESIDE), COOKIE)]
AMBIGUOUS += [
    (f"{spelling!r}, which PHP folds", cookie(spelling), ODD)
    for spelling in (b"My_Ses_sion=F", b"my ses sion=F", b"My.Ses.sion=F", b"My%2eSes+sion=F")
]


@pytest.mark.parametrize(
    ("headers", "places"), [a[1:] for a in AMBIGUOUS], ids=[a[0] for a in AMBIGUOUS]
)
def test_what_a_server_may_find_beside_the_token(headers: Headers, places: TokenPlaces) -> None:
    with pytest.raises(Denied) as denied:
        find(headers, places)
    assert denied.value.reason is Reason.TOKEN_AMBIGUOUS
    assert "GOOD" not in denied.value.detail
    if headers.keys() != {"authorization"}:
        query_free = places.scan(headers, b"")
        assert query_free == UNDECIDED or not places.header, "the fast path looks at these too"


QUERIES = [
    b"access_token=F", b"a=b&access_token=F", b"ACCESS_TOKEN=F", b"access%5Ftoken=F",
    b"%61ccess_token=F", b"access.token=F", b"access+token=F", b"access[token=F",
    b"access_token[]=F", b"+access_token=F", b"access_token%00=F", b"a=b;access_token=F",
    b"access_token",
]  # fmt: skip
NO_TOKEN = [
    b"",
    b"a=b",
    b"a=access_token",
    b"next=/x%3Faccess_token%3DF",
    b"my_access_token=x",
    b"%",
]


@pytest.mark.parametrize("query", QUERIES)
def test_a_token_in_the_query_is_seen(query: bytes) -> None:
    assert find(GOOD, HEADER, query).in_query
    assert HEADER.scan({}, query) == ALONE.scan({}, query) == UNDECIDED


@pytest.mark.parametrize("query", NO_TOKEN)
def test_a_query_without_a_token(query: bytes) -> None:
    assert not find(GOOD, HEADER, query).in_query


TAKEN: list[tuple[str, bytes, TokenPlaces, bytes | None, tuple[str, ...]]] = [
    ("another route's", b"a=b; session=F; c=d", HEADER, b"a=b; c=d", ()),
    ("the first", b"session=F; c=d", HEADER, b"c=d", ()),
    ("the last", b"a=b; session=F", HEADER, b"a=b", ()),
    ("all of them", b"session=F; SESSION=F", HEADER, None, ("cookie",)),
    ("two of them", b"session=F; x=y; sess%69on=F", HEADER, b"x=y", ()),
    ("beside the own", b"other=F; session=GOOD", COOKIE, b"session=GOOD", ("authorization",)),
    ("in one piece with another", b"x=y session=F; c=d", HEADER, b"c=d", ()),
    ("none", b"a=b; c=d", HEADER, None, ()),
    ("a name that only looks so", b"xsession=1; session_id=2", HEADER, None, ()),
]  # fmt: skip


@pytest.mark.parametrize(
    ("came", "places", "kept", "removed"), [t[1:] for t in TAKEN], ids=[t[0] for t in TAKEN]
)
def test_cookies_of_other_routes_are_taken_out(
    came: bytes, places: TokenPlaces, kept: bytes | None, removed: tuple[str, ...]
) -> None:
    found = find(cookie(came, **protocols(b"chat")), places)
    assert found.cookie == kept
    assert found.removed == removed


def test_what_did_not_come_is_removed_for_envoy_may_keep_it_back() -> None:
    assert find({}, HEADER).removed == ("cookie", "sec-websocket-protocol")
    assert find({}, COOKIE).removed == ("authorization", "cookie", "sec-websocket-protocol")
    assert find({}, ALONE).removed == (), "cookies are the application's where no route reads any"
    everything = {**protocols(b"chat"), **cookie(b"a=b")}
    assert find(everything, HEADER).removed == ()
    assert find(everything, SOCKET).removed == ("authorization",)


def test_cookies_that_can_not_be_rewritten_are_refused() -> None:
    with pytest.raises(Denied, match="not ASCII"):
        find(cookie("session=F; name=ü".encode()), HEADER)
    assert find(cookie("name=ü".encode()), HEADER).cookie is None


@pytest.mark.parametrize(
    ("token_from", "watches", "removed"),
    [
        ("header", False, ()),
        ("header", True, ("sec-websocket-protocol",)),
        ("websocket", False, ("authorization", "sec-websocket-protocol")),
        ("websocket", True, ("authorization", "sec-websocket-protocol")),
    ],
)
def test_subprotocols_that_did_not_come(
    token_from: str, watches: bool, removed: tuple[str, ...]
) -> None:
    assert find({}, TokenPlaces((token_from,), watches_websocket=watches)).removed == removed


def test_a_refusal_names_the_places_that_are_read() -> None:
    places = TokenPlaces(("cookie:session", "websocket"))
    with pytest.raises(Denied, match="reads cookie:session, websocket"):
        find(cookie(b"session=GOOD", **GOOD), places)
    with pytest.raises(Denied, match="reads cookie:session, websocket"):
        find(cookie(b"session=GOOD", **protocols(b"bearer.F")), places)


@pytest.mark.parametrize(
    ("places", "headers", "said"),
    [
        (COOKIE, {}, "the Check has no cookie header; if the client sent it"),
        (COOKIE, {"cookie": b"a=b"}, "no credential in cookie:session"),
        (SOCKET, {}, "no sec-websocket-protocol header"),
        (EITHER, {}, "no authorization and no cookie header"),
    ],
)
def test_a_refusal_says_which_header_envoy_may_keep_back(
    places: TokenPlaces, headers: Headers, said: str
) -> None:
    assert said in where_none_is(headers, places)
    assert ("allowed_headers" in where_none_is(headers, places)) == (not headers)


SCANS = [
    ({}, b"", HEADER, 0),
    ({}, b"a=b%20c", HEADER, 0),
    (cookie(b"a=b; c=%20"), b"", HEADER, 1),
    (cookie(b"a=b; sess%69on=F"), b"", HEADER, UNDECIDED),
    (cookie(b"session=F"), b"", ALONE, 0),
    (protocols(b"chat"), b"", ALONE, UNDECIDED),
]


@pytest.mark.parametrize(("headers", "query", "places", "seen"), SCANS)
def test_a_scan(headers: Headers, query: bytes, places: TokenPlaces, seen: int) -> None:
    assert places.scan(headers, query) == seen


PIECES = st.lists(
    st.sampled_from(
        [b"session", b"SESS", b"ion", b"sess%69on", b"=", b" ", b"\t", b";", b",", b'"', b"[", b"]",
         b"%", b"%00", b"%20", b"\xa0", b"a", b"=GOOD", b"other", b".", b"+"]
    ),
    max_size=12,
).map(b"".join)  # fmt: skip


@given(PIECES)
def test_what_a_scan_passes_holds_no_name(raw: bytes) -> None:
    names = [b"session", b"other"]
    forms = [form for name in names for form in forms_of(name)]
    if not may_hold(raw, forms):
        for part in raw.replace(b",", b";").split(b";"):
            assert not set(forms_of(part.partition(b"=")[0])) & set(forms)


def outcome(find: Callable[[], Credential]) -> Credential | tuple[Reason, str]:
    try:
        return find()
    except Denied as denied:
        return denied.reason, denied.detail


AUTHORIZATIONS = st.sampled_from(
    [
        None,
        b"Bearer GOOD",
        b"bearer  GOOD ",
        b"Bearer GOOD,x",
        b"Basic GOOD",
        b"",
        b"Bearer " + b"x" * 99,
    ]
)


@given(AUTHORIZATIONS, st.none() | PIECES, PIECES, st.sampled_from([HEADER, COOKIE, EITHER, ALONE]))
def test_where_a_scan_sees_no_credential_the_search_sees_none(
    authorization: bytes | None, cookies: bytes | None, query: bytes, places: TokenPlaces
) -> None:
    given_ = {"authorization": authorization, "cookie": cookies}
    headers = {name: value for name, value in given_.items() if value is not None}
    if places.scan(headers, query) != UNDECIDED:
        assert outcome(lambda: find_scanned_token(headers, places, 90)) == outcome(
            lambda: find_token(headers, query, places, 90)
        )


def node_cookies(raw: bytes) -> dict[bytes, bytes]:
    """Read as npm's ``cookie`` does: the first of a name, trimmed."""
    found: dict[bytes, bytes] = {}
    for part in raw.split(b";"):
        name, equals, value = part.partition(b"=")
        if equals:
            found.setdefault(name.strip(b" \t\xa0"), value.strip(b" \t").strip(b'"'))
    return found


@given(PIECES)
def test_node_finds_the_token_that_was_verified_or_none(raw: bytes) -> None:
    try:
        found = find(cookie(raw), COOKIE)
    except Denied:
        return
    arrives = raw if found.cookie is None else found.cookie
    seen = {} if "cookie" in found.removed else node_cookies(arrives)
    assert b"other" not in seen
    if b"session" in seen and found.token is not None:
        assert seen[b"session"].partition(b",")[0].strip() == found.token.strip(b'"').strip()
    elif found.token is None:
        assert b"session" not in seen


@pytest.mark.quiet
@pytest.mark.parametrize(
    "worst",
    [
        b"session=" + b"a" * 60_000,
        b"session=" + b"=" * 60_000,
        b"session=" + b"a " * 30_000,
        b"session=x" + b"; a=b" * (MAX_PARTS - 2),
        b"other=x; " * (MAX_PARTS - 2),
        b"session=x" + b";" * 60_000,
        b"session%" * 7_000,
        b"session\xa0" * 6_000 + b"=",
    ],
    ids=lambda worst: repr(worst[:24]),
)
def test_no_header_takes_long(worst: bytes) -> None:
    started = time.perf_counter()
    for headers, query in ((cookie(worst), b""), ({}, worst), (protocols(worst), b"")):
        try:
            find(headers, COOKIE, query)
        except Denied as denied:
            assert denied.reason in {Reason.TOKEN_AMBIGUOUS, Reason.TOKEN_TOO_LARGE}  # noqa: PT017
    assert time.perf_counter() - started < 0.25


def test_more_cookies_than_are_looked_at_are_refused() -> None:
    with pytest.raises(Denied, match=f"more than {MAX_PARTS} cookies"):
        find(cookie(b"a=b;" * MAX_PARTS + b"session=F"), COOKIE)
    assert find(cookie(b"a=b;" * 4000), COOKIE).token is None, "none of them may be one"
    with pytest.raises(Denied, match=f"more than {MAX_PARTS} parameters"):
        find(GOOD, HEADER, b"a=b&" * MAX_PARTS + b"access_token=F")
