"""Directives, and the policies they make."""

import pytest
from hypothesis import given as generated
from hypothesis import strategies as st

from sidecar.csp.language import (
    DIRECTIVES,
    FALLBACKS,
    NONCE_SOURCE,
    Policy,
    PolicyProblem,
    parse_policy,
)

HASH = "'sha256-" + "A" * 43 + "='"
WRONG: list[tuple[str, dict[str, tuple[str, ...]], PolicyProblem]] = [
    (
        "misspelt",
        {"scirpt-src": ("'self'",)},
        PolicyProblem("is no directive; did you mean script-src?", "scirpt-src"),
    ),
    ("nothing like it", {"zzz": ()}, PolicyProblem("is no directive", "zzz")),
    (
        "dropped by browsers",
        {"plugin-types": ("a/b",)},
        PolicyProblem("is no longer a directive; instead: object-src 'none'", "plugin-types"),
    ),
    ("no policy", {}, PolicyProblem("is empty; a profile without a policy has no entry here")),
    (
        "an empty list",
        {"img-src": ()},
        PolicyProblem("is empty, which blocks everything: write \"'none'\"", "img-src"),
    ),
    (
        "'none' beside others",
        {"img-src": ("'none'", "a.example")},
        PolicyProblem("'none' stands alone: beside others it is passed over", "img-src"),
    ),
    (
        "twice",
        {"img-src": ("a.example", "A.example")},
        PolicyProblem("a.example stands here twice", "img-src", 1),
    ),
    (
        "'unsafe-inline' beside a nonce",
        {"script-src": ("'unsafe-inline'", NONCE_SOURCE)},
        PolicyProblem(
            "'unsafe-inline' beside a nonce, a hash or 'strict-dynamic': today's browsers pass "
            "over it, and for old ones it takes the protection away",
            "script-src",
        ),
    ),
    (
        "'unsafe-inline' beside a hash",
        {"style-src": (HASH, "'unsafe-inline'")},
        PolicyProblem(
            "'unsafe-inline' beside a nonce, a hash or 'strict-dynamic': today's browsers pass "
            "over it, and for old ones it takes the protection away",
            "style-src",
        ),
    ),
    (
        "'strict-dynamic' alone",
        {"script-src": ("'strict-dynamic'", "a.example")},
        PolicyProblem(
            "'strict-dynamic' without a nonce or a hash blocks every script", "script-src"
        ),
    ),
    (
        "'unsafe-hashes' alone",
        {"script-src": ("'unsafe-hashes'",)},
        PolicyProblem("'unsafe-hashes' without a hash means nothing", "script-src"),
    ),
    (
        "a nonce for images",
        {"img-src": (NONCE_SOURCE,)},
        PolicyProblem("a nonce means nothing in img-src", "img-src", 0),
    ),
    (
        "a keyword of scripts for connections",
        {"connect-src": ("'self'", "'unsafe-eval'")},
        PolicyProblem("'unsafe-eval' means nothing in connect-src", "connect-src", 1),
    ),
    (
        "a keyword that workers don't know",
        {"worker-src": ("'self'", "'wasm-unsafe-eval'")},
        PolicyProblem("'wasm-unsafe-eval' means nothing in worker-src", "worker-src", 1),
    ),
    (
        "a bad source, with its place",
        {"img-src": ("a.example", "self")},
        PolicyProblem("self without quotes is the name of a host; write \"'self'\"", "img-src", 1),
    ),
    (
        "upgrade with a value",
        {"upgrade-insecure-requests": ("1",)},
        PolicyProblem("holds nothing: write []", "upgrade-insecure-requests"),
    ),
    (
        "Trusted Types for styles",
        {"require-trusted-types-for": ("'style'",)},
        PolicyProblem("holds exactly \"'script'\"", "require-trusted-types-for"),
    ),
    (
        "a policy's name with a space",
        {"trusted-types": ("a b",)},
        PolicyProblem(
            "holds a space, a control character or a character beyond ASCII", "trusted-types", 0
        ),
    ),
    (
        "a policy's name in quotes",
        {"trusted-types": ("'a'",)},
        PolicyProblem(
            "'a' is no name of a policy, nor 'none', 'allow-duplicates' or *", "trusted-types", 0
        ),
    ),
    (
        "no Trusted Types and one",
        {"trusted-types": ("'none'", "a")},
        PolicyProblem("'none' stands alone: beside others it is passed over", "trusted-types"),
    ),
    (
        "a sandbox's token misspelt",
        {"sandbox": ("allow-script",)},
        PolicyProblem(
            "allow-script lifts no restriction of a sandbox; did you mean allow-scripts?",
            "sandbox",
            0,
        ),
    ),
    (
        "webrtc without quotes",
        {"webrtc": ("block",)},
        PolicyProblem("holds exactly \"'allow'\" or \"'block'\"", "webrtc"),
    ),
    (
        "two endpoints",
        {"report-to": ("a", "b")},
        PolicyProblem("holds the name of one endpoint", "report-to"),
    ),
    (
        "a report URL without host",
        {"report-uri": ("//a.example/x",)},
        PolicyProblem("is neither http(s)://host/path nor /path", "report-uri", 0),
    ),
    ("no report URL", {"report-uri": ()}, PolicyProblem("holds one URL or more", "report-uri")),
    (
        "a break-out",
        {"report-uri": ("/r;script-src", "*")},
        PolicyProblem("';' ends a directive; in a path write it percent-encoded", "report-uri", 0),
    ),
]


@pytest.mark.parametrize(("given", "said"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
def test_wrong(given: dict[str, tuple[str, ...]], said: PolicyProblem) -> None:
    policy, wrong = parse_policy(given)
    assert policy is None
    assert wrong == [said]


def test_everything_wrong_is_said_at_once() -> None:
    _, wrong = parse_policy({"img-src": ("self", "'slef'"), "font": (), "base-uri": ("'none'",)})
    assert [each[1:] for each in wrong] == [("img-src", 0), ("img-src", 1), ("font", None)]


def policy(given: dict[str, tuple[str, ...]]) -> Policy:
    parsed, wrong = parse_policy(given)
    assert parsed is not None, wrong
    return parsed


RENDERED = [
    ("as written", {"script-src": ("'self'", "CDN.example")}, "script-src 'self' cdn.example"),
    ("without values", {"upgrade-insecure-requests": ()}, "upgrade-insecure-requests"),
    ("a sandbox", {"sandbox": ("allow-scripts",)}, "sandbox allow-scripts"),
    (
        "in the order of the file",
        {"img-src": ("'self'",), "base-uri": ("'none'",)},
        "img-src 'self'; base-uri 'none'",
    ),
    (
        "both variables",
        {"script-src": (NONCE_SOURCE, "'self'"), "connect-src": ("wss://{tenant_domain}",)},
        "script-src 'nonce-N' 'self'; connect-src wss://t.example",
    ),
]


@pytest.mark.parametrize(("given", "text"), [r[1:] for r in RENDERED], ids=[r[0] for r in RENDERED])
def test_rendered(given: dict[str, tuple[str, ...]], text: str) -> None:
    assert policy(given).render("t.example", "N") == text


def test_what_is_not_known_falls_away_and_never_leaves_an_empty_list() -> None:
    mixed = policy({"script-src": (NONCE_SOURCE,), "connect-src": ("'self'", "{tenant_domain}")})
    assert mixed.render(None, None) == "script-src 'none'; connect-src 'self'"
    assert mixed.has_nonce
    assert not policy({"script-src": ("'self'",)}).has_nonce


EFFECTIVE = [
    ("script-src-elem", "script-src"),
    ("worker-src", "child-src"),
    ("frame-src", "child-src"),
    ("img-src", "default-src"),
    ("style-src-attr", "default-src"),
    ("base-uri", None),
    ("script-src", "script-src"),
]


@pytest.mark.parametrize(("name", "governed_by"), EFFECTIVE, ids=[row[0] for row in EFFECTIVE])
def test_what_governs_a_directive(name: str, governed_by: str | None) -> None:
    some = policy(dict.fromkeys(("default-src", "script-src", "child-src"), ("'self'",)))
    found = some.effective(name)
    assert (found.name if found else None) == governed_by


TEXT = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["'self'", "'none'", "*", "a.example", "{tenant_domain}", NONCE_SOURCE, HASH]),
)


@generated(
    st.dictionaries(
        st.one_of(st.sampled_from(DIRECTIVES), st.text(max_size=12)),
        st.lists(TEXT, max_size=4),
        max_size=4,
    )
)
def test_what_is_no_policy_is_said_and_what_is_one_is_one_line(given: dict[str, list[str]]) -> None:
    parsed, wrong = parse_policy(given)
    assert (parsed is None) is bool(wrong)
    if parsed is not None:
        text = parsed.render("t.example", "N")
        assert text.isascii()
        assert text.isprintable()
        assert "," not in text
        assert text.count(";") == len(given) - 1


def test_every_fetch_directive_ends_at_default_src() -> None:
    for name, chain in FALLBACKS.items():
        assert chain[-1:] == (() if name == "default-src" else ("default-src",))
    assert set(FALLBACKS) < set(DIRECTIVES)
