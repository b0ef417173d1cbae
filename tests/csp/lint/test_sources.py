"""A source list as a browser reads it: what it passes over, and what it takes all the same."""

import pytest

from sidecar.csp.lint.sources import MIN_NONCE_CHARACTERS, read_sources
from tests.csp.lint.headers import SCRIPT, lint, with_sources

FOUND: list[tuple[str, str, str, str, str]] = [
    (
        "'strict-dynamic' alone",
        with_sources(SCRIPT, "'strict-dynamic' a.example"),
        "medium",
        "strict-dynamic-alone",
        SCRIPT,
    ),
    ("empty", with_sources("img-src", ""), "info", "list-empty", "img-src"),
    (
        "'none' beside others",
        with_sources("img-src", "'none' a.example"),
        "medium",
        "not-understood",
        "img-src",
    ),
    ("a short nonce", with_sources(SCRIPT, "'nonce-abcdefgh'"), "medium", "nonce-short", SCRIPT),
    (
        "no quotes",
        with_sources("img-src", "self cdn.example"),
        "medium",
        "not-understood",
        "img-src",
    ),
    ("a source twice", with_sources("img-src", "a.b A.b"), "low", "source-repeated", "img-src"),
    (
        "'unsafe-hashes' alone",
        with_sources(SCRIPT, "'unsafe-hashes'"),
        "low",
        "unsafe-hashes-alone",
        SCRIPT,
    ),
]


@pytest.mark.parametrize(
    ("header", "severity", "rule", "directive"), [f[1:] for f in FOUND], ids=[f[0] for f in FOUND]
)
def test_found(header: str, severity: str, rule: str, directive: str) -> None:
    assert (severity, rule, directive) in lint(header)


@pytest.mark.parametrize(
    ("characters", "short"),
    [(MIN_NONCE_CHARACTERS - 1, True), (MIN_NONCE_CHARACTERS, False)],
)
@pytest.mark.parametrize("padding", ["", "=", "=="])
def test_a_nonce_is_long_enough_without_its_padding(
    characters: int, short: bool, padding: str
) -> None:
    sources, findings = read_sources(SCRIPT, [f"'nonce-{'A' * characters}{padding}'"])
    assert len(sources) == 1
    assert ("nonce-short" in {finding.rule for finding in findings}) is short


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("a.example/x?y#z", "a.example/x"),
        ("https://A_B.example:443/P?q", "https://a_b.example:443/p"),
        ("'SHA256-abc'", "'sha256-abc'"),
        ("self", None),
        ("local_host", None),
        ("'sha256-abcde'", None),
        ("{tenant_domain}", None),
        ("a.example:123456", None),
    ],
)
def test_what_some_browsers_read_beyond_the_grammar(text: str, read: str | None) -> None:
    sources, findings = read_sources(SCRIPT, [text])
    assert [source.text for source in sources] == ([] if read is None else [read])
    assert findings[0].rule == "not-understood"
