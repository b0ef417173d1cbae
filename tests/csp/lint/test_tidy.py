"""What has no effect in a policy, says a thing twice or misleads."""

import pytest

from sidecar.csp.language import FALLBACKS
from tests.csp.lint.headers import SCRIPT, STRICT, lint, with_sources

FOUND: list[tuple[str, str, str, str, str]] = [
    ("a scheme's name", with_sources("img-src", "https:*"), "medium", "source-mistaken", "img-src"),
    ("a colon", with_sources("img-src", "a.example:"), "medium", "source-mistaken", "img-src"),
    (
        "covered",
        with_sources("img-src", "*.example.com a.example.com"),
        "low",
        "source-covered",
        "img-src",
    ),
    (
        "covered by a scheme",
        with_sources("img-src", "https: a.example.com"),
        "low",
        "source-covered",
        "img-src",
    ),
    (
        "again",
        with_sources("img-src", "a.example a.example:443"),
        "low",
        "source-covered",
        "img-src",
    ),
    (
        "as its fallback",
        STRICT.replace("default-src 'none'", "default-src a.example") + "; img-src a.example",
        "info",
        "directive-redundant",
        "img-src",
    ),
    (
        "shadowed",
        STRICT + "; style-src 'self'; style-src-elem a.example; style-src-attr 'none'",
        "info",
        "directive-shadowed",
        "style-src",
    ),
    (
        "wider for some",
        with_sources(SCRIPT, "a.example") + "; script-src-elem b.example",
        "info",
        "elem-wider",
        "script-src-elem",
    ),
    (
        "the default is never asked",
        "; ".join(f"{name} 'self'" for name in FALLBACKS),
        "info",
        "directive-shadowed",
        "default-src",
    ),
]


@pytest.mark.parametrize(
    ("header", "severity", "rule", "directive"), [f[1:] for f in FOUND], ids=[f[0] for f in FOUND]
)
def test_found(header: str, severity: str, rule: str, directive: str) -> None:
    assert (severity, rule, directive) in lint(header)


NOT_FOUND: list[tuple[str, str, str]] = [
    ("different ports", with_sources("img-src", "a.example a.example:8443"), "source-covered"),
    ("'none' as its fallback, for people", STRICT, "directive-redundant"),
    ("half of what stands before it", STRICT + "; style-src-elem a.example", "directive-shadowed"),
    (
        "an element's list within the scripts'",
        with_sources(SCRIPT, "*.a.example") + "; script-src-elem x.a.example",
        "elem-wider",
    ),
    ("another scheme's host", with_sources("img-src", "https://http"), "source-mistaken"),
]


@pytest.mark.parametrize(
    ("header", "rule"), [n[1:] for n in NOT_FOUND], ids=[n[0] for n in NOT_FOUND]
)
def test_not_found(header: str, rule: str) -> None:
    assert rule not in {found[1] for found in lint(header)}
