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
    ("no policy", {}, PolicyProblem("is empty; a profile without a policy has no entry here")),
    (
        "misspelt",
        {"scirpt-src": ("'self'",)},
        PolicyProblem("is no directive; did you mean script-src?", "scirpt-src"),
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
