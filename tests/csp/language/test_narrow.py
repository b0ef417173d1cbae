"""Which source covers which, and which policy allows no more: tables, and a browser's eyes."""

from functools import cache
from itertools import product

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from sidecar.csp.language import parse_policy, parse_source
from sidecar.csp.language.narrow import covers, widenings
from sidecar.csp.language.policy import Policy
from tests.csp.language.browser import CHROMIUM, STANDARD, Url, allowed, matches

COVERED = [
    ("*", "https://a.example"),
    ("*", "http:"),
    ("*", "'self'"),
    ("https:", "a.example"),
    ("https:", "'self'"),
    ("https:", "wss:"),
    ("https:", "wss://a.example:8443/x"),
    ("http:", "https:"),
    ("http://a.example", "https://a.example"),
    ("ws:", "wss://a.example"),
    ("a.example", "https://a.example"),
    ("a.example", "https://a.example:443"),
    ("a.example", "wss://a.example"),
    ("a.example:*", "a.example:8443"),
    ("*.example", "a.example"),
    ("*.example", "*.b.example"),
    ("*:443", "a.example"),
    ("a.example/", "a.example/x"),
    ("a.example/x/", "a.example/x/y"),
    ("a.example/x%79", "a.example/xy"),
    ("'unsafe-eval'", "'wasm-unsafe-eval'"),
    ("'unsafe-inline'", "'none'"),
    ("{tenant_domain}", "https://{tenant_domain}"),
]
NOT_COVERED = [
    ("a.example", "*"),
    ("a.example", "b.example"),
    ("a.example", "*.example"),
    ("*.example", "example"),
    ("*.example", "*"),
    ("*.ample", "a.example"),
    ("https:", "http:"),
    ("https:", "*"),
    ("https:", "data:"),
    ("*", "data:"),
    ("*", "blob:"),
    ("*", "custom://a.example"),
    ("wss:", "https:"),
    ("ws:", "https:"),
    ("a.example", "http://a.example"),
    ("a.example", "a.example:8443"),
    ("http://a.example", "http://a.example:80"),
    ("http://a.example:80", "http://a.example"),
    ("a.example/x", "a.example"),
    ("a.example/x", "a.example/x/"),
    ("a.example/x/", "a.example/x"),
    ("a.example/X", "a.example/x"),
    ("'self'", "https:"),
    ("'self'", "a.example"),
    ("a.example", "'self'"),
    ("'unsafe-inline'", "'nonce-{nonce}'"),
    ("'wasm-unsafe-eval'", "'unsafe-eval'"),
    ("*", "'unsafe-inline'"),
    ("{tenant_domain}", "a.example"),
]


@pytest.mark.parametrize(("wide", "narrow"), COVERED, ids=[f"{w} {n}" for w, n in COVERED])
def test_covered(wide: str, narrow: str) -> None:
    assert covers(parse_source(wide), parse_source(narrow))


@pytest.mark.parametrize(("wide", "narrow"), NOT_COVERED, ids=[f"{w} {n}" for w, n in NOT_COVERED])
def test_not_covered(wide: str, narrow: str) -> None:
    assert not covers(parse_source(wide), parse_source(narrow))


SCHEMES = ["", "http://", "https://", "ws://", "wss://"]
HOSTS = ["*", "*.example", "a.example", "*.a.example", "x.a.example"]
PORTS = ["", ":*", ":80", ":443", ":8443"]
PATHS = ["", "/", "/x", "/x/", "/%78"]
SOURCES = [
    *map("".join, product(SCHEMES, HOSTS, PORTS, PATHS)),
    *("'self'", "http:", "https:", "ws:", "wss:", "data:", "'none'"),
]
URLS = [
    Url(*parts)
    for parts in product(
        ["http", "https", "ws", "wss", "data"],
        ["a.example", "x.a.example", "example", "app.example"],
        [80, 443, 8443],
        ["/", "/x", "/x/y", "/y"],
    )
]
PAGES = [Url("https", "app.example", 443, "/"), Url("https", "a.example", 8443, "/")]
VIEWS = list(product(URLS, PAGES, [STANDARD, CHROMIUM]))


@cache
def seen(source: str) -> int:
    """Everything a browser would load by this source, as a set of bits."""
    return sum(1 << bit for bit, view in enumerate(VIEWS) if matches(source, *view))


def test_what_a_covered_source_lets_in_the_covering_one_does_too() -> None:
    parsed = {text: parse_source(text) for text in SOURCES}
    covered = 0
    for wide, narrow in product(SOURCES, SOURCES):
        if covers(parsed[wide], parsed[narrow]):
            covered += 1
            assert seen(narrow) & ~seen(wide) == 0, (wide, narrow)
    assert covered > 5 * len(SOURCES)


LISTS = st.one_of(
    st.just(("'none'",)),
    st.lists(
        st.sampled_from(
            ["*", "'self'", "https:", "http:", "*.example", "a.example", "a.example/x"]
        ),
        min_size=1,
        max_size=3,
        unique=True,
    ).map(tuple),
)
NAMES = ["default-src", "script-src", "child-src", "worker-src", "frame-src", "connect-src"]
POLICIES = st.dictionaries(st.sampled_from(NAMES), LISTS, min_size=1, max_size=4)


def policy(given: dict[str, tuple[str, ...]]) -> Policy:
    parsed, wrong = parse_policy(given)
    assert parsed is not None, wrong
    return parsed


@settings(max_examples=1000)
@given(before=POLICIES, change=POLICIES)
def test_a_policy_that_is_not_wider_lets_nothing_more_in(
    before: dict[str, tuple[str, ...]], change: dict[str, tuple[str, ...]]
) -> None:
    after = {**before, **change}
    wider = list(widenings(policy(before), policy(after)))
    more = [
        asked
        for asked in (*NAMES, "script-src-elem", "img-src")
        if allowed(after, asked, seen) & ~allowed(before, asked, seen)
    ]
    event(f"{bool(wider)} {bool(more)}")
    assert wider or not more


WIDER: list[tuple[str, dict[str, tuple[str, ...]], dict[str, tuple[str, ...]], str | None]] = [
    (
        "a host more",
        {"connect-src": ("'self'",)},
        {"connect-src": ("'self'", "a.example")},
        "a.example is not covered by the profile's connect-src",
    ),
    (
        "a directive of its own, wider than what stood for it",
        {"default-src": ("'self'",)},
        {"img-src": ("*",)},
        "* is not covered by the profile's default-src",
    ),
    (
        "a child-src that takes workers from a strict script-src",
        {"default-src": ("*",), "script-src": ("'self'",)},
        {"child-src": ("*",)},
        "* is not covered by the profile's script-src",
    ),
    (
        "the same, with workers kept strict",
        {"default-src": ("*",), "script-src": ("'self'",)},
        {"child-src": ("*",), "worker-src": ("'self'",)},
        None,
    ),
    (
        "hosts that 'strict-dynamic' put out of action come back",
        {"script-src": ("'strict-dynamic'", "'nonce-{nonce}'", "a.example")},
        {"script-src": ("'nonce-{nonce}'", "a.example")},
        "a.example is not covered by the profile's script-src",
    ),
    ("no rule before", {"img-src": ("*",)}, {"font-src": ("*",)}, None),
    (
        "one restriction of the sandbox lifted",
        {"sandbox": ("allow-scripts",)},
        {"sandbox": ("allow-scripts", "allow-forms")},
        "allow-forms is not in the profile's sandbox",
    ),
    ("a tighter sandbox", {"sandbox": ("allow-scripts",)}, {"sandbox": ()}, None),
    (
        "a Trusted Types policy more",
        {"trusted-types": ("septem",)},
        {"trusted-types": ("septem", "other")},
        "other is not in the profile's trusted-types",
    ),
    (
        "no Trusted Types policy",
        {"trusted-types": ("septem",)},
        {"trusted-types": ("'none'",)},
        None,
    ),
    ("a name where all were", {"trusted-types": ("*",)}, {"trusted-types": ("septem",)}, None),
    (
        "WebRTC",
        {"webrtc": ("'block'",)},
        {"webrtc": ("'allow'",)},
        "'allow' is not in the profile's webrtc",
    ),
    ("no WebRTC", {"webrtc": ("'allow'",)}, {"webrtc": ("'block'",)}, None),
    ("upgrades", {"img-src": ("*",)}, {"upgrade-insecure-requests": ()}, None),
]


@pytest.mark.parametrize(
    ("before", "change", "said"), [row[1:] for row in WIDER], ids=[row[0] for row in WIDER]
)
def test_wider_or_not(
    before: dict[str, tuple[str, ...]], change: dict[str, tuple[str, ...]], said: str | None
) -> None:
    found = [each.message for each in widenings(policy(before), policy({**before, **change}))]
    assert found[:1] == ([] if said is None else [said])


def test_what_is_taken_away_is_wider() -> None:
    before = policy({"img-src": ("'self'",), "base-uri": ("'none'",)})
    found = list(widenings(before, policy({"img-src": ("'self'",)})))
    assert [(each.directive, each.message) for each in found] == [("base-uri", "is taken away")]
