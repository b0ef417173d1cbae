"""Every known way past a policy is found, and nothing where there is none."""

import pytest

from tests.csp.lint.headers import SCRIPT, STRICT, lint, with_sources, without

FOUND: list[tuple[str, str, str, str, str]] = [
    ("unsafe-inline", with_sources(SCRIPT, "'unsafe-inline'"), "high", "unsafe-inline", SCRIPT),
    ("unsafe-eval", with_sources(SCRIPT, "'self' 'unsafe-eval'"), "medium", "unsafe-eval", SCRIPT),
    ("wasm", with_sources(SCRIPT, "'self' 'wasm-unsafe-eval'"), "low", "wasm-eval", SCRIPT),
    ("https:", with_sources(SCRIPT, "https:"), "high", "scheme-source", SCRIPT),
    ("data:", with_sources(SCRIPT, "data:"), "high", "scheme-source", SCRIPT),
    ("blob:", with_sources(SCRIPT, "blob:"), "high", "scheme-source", SCRIPT),
    ("*", with_sources(SCRIPT, "*"), "high", "wildcard", SCRIPT),
    ("https://*", with_sources(SCRIPT, "https://*"), "high", "wildcard", SCRIPT),
    ("by default", "default-src *", "high", "wildcard", "default-src"),
    ("data: by default", "default-src 'self' data:", "high", "scheme-source", "default-src"),
    (
        "objects by a loose default",
        "default-src https:; script-src 'none'; worker-src 'none'",
        "high",
        "scheme-source",
        "default-src",
    ),
    ("elem", STRICT + "; script-src-elem *", "high", "wildcard", "script-src-elem"),
    (
        "attr",
        STRICT + "; script-src-attr 'unsafe-inline'",
        "high",
        "unsafe-inline",
        "script-src-attr",
    ),
    ("a worker", STRICT + "; worker-src data:", "high", "scheme-source", "worker-src"),
    ("subdomains", with_sources(SCRIPT, "*.example.com"), "medium", "wildcard-host", SCRIPT),
    ("a library host", with_sources(SCRIPT, "cdnjs.cloudflare.com"), "high", "bypass-host", SCRIPT),
    ("with a scheme", with_sources(SCRIPT, "https://unpkg.com"), "high", "bypass-host", SCRIPT),
    ("a folder", with_sources(SCRIPT, "unpkg.com/angular/"), "high", "bypass-host", SCRIPT),
    ("a file", with_sources(SCRIPT, "unpkg.com/x@1/x.js"), "medium", "bypass-host", SCRIPT),
    ("callbacks", with_sources(SCRIPT, "accounts.google.com"), "high", "bypass-host", SCRIPT),
    ("all of a host's", with_sources(SCRIPT, "*.google.com"), "high", "bypass-host", SCRIPT),
    ("shared", with_sources(SCRIPT, "me.github.io"), "high", "bypass-host", SCRIPT),
    ("a bucket", with_sources(SCRIPT, "b.s3.amazonaws.com"), "high", "bypass-host", SCRIPT),
    ("an allow-list", with_sources(SCRIPT, "'self'"), "info", "allow-list", SCRIPT),
    ("in the clear", with_sources(SCRIPT, "http://cdn.example"), "medium", "plain-http", SCRIPT),
    ("on this machine", with_sources(SCRIPT, "http://localhost:1"), "low", "plain-http", SCRIPT),
    ("an address", with_sources(SCRIPT, "192.0.2.1"), "low", "ip-address", SCRIPT),
    (
        "strict and hosts",
        with_sources(SCRIPT, "'nonce-AAAAAAAAAAAAAAAAAAAAAA' 'strict-dynamic' unpkg.com"),
        "info",
        "strict-dynamic-hosts",
        SCRIPT,
    ),
    ("no scripts", "img-src 'none'", "high", "scripts-unrestricted", "script-src"),
    ("no objects", "script-src 'self'", "high", "objects-unrestricted", "object-src"),
    ("no objects, no scripts", "script-src 'none'", "medium", "objects-unrestricted", "object-src"),
    ("a last dot", with_sources(SCRIPT, "unpkg.com."), "high", "bypass-host", SCRIPT),
    ("objects", with_sources("object-src", "'self'"), "low", "objects-allowed", "object-src"),
    ("no base-uri, nonces", without("base-uri"), "high", "base-uri-missing", "base-uri"),
    ("no base-uri", "default-src 'self'", "medium", "base-uri-missing", "base-uri"),
    ("base-uri *", with_sources("base-uri", "*"), "high", "wildcard", "base-uri"),
    ("framed", without("frame-ancestors"), "medium", "frame-ancestors-missing", "frame-ancestors"),
    (
        "framed by all",
        with_sources("frame-ancestors", "*"),
        "medium",
        "wildcard",
        "frame-ancestors",
    ),
    ("forms", without("form-action"), "medium", "form-action-missing", "form-action"),
    ("no default", without("default-src"), "medium", "default-src-missing", "default-src"),
    ("a way out", with_sources("connect-src", "https:"), "medium", "scheme-source", "connect-src"),
    ("any image", with_sources("img-src", "*"), "low", "wildcard", "img-src"),
    (
        "styles",
        with_sources("style-src", "'unsafe-inline'"),
        "low",
        "unsafe-inline-style",
        "style-src",
    ),
    (
        "no trusted types",
        without("require-trusted-types-for"),
        "info",
        "trusted-types-missing",
        "require-trusted-types-for",
    ),
    ("any trusted type", STRICT + "; trusted-types *", "low", "trusted-types-any", "trusted-types"),
    (
        "no sandbox",
        STRICT + "; sandbox allow-scripts allow-same-origin",
        "low",
        "sandbox-open",
        "sandbox",
    ),
]


@pytest.mark.parametrize(
    ("header", "severity", "rule", "directive"), [f[1:] for f in FOUND], ids=[f[0] for f in FOUND]
)
def test_found(header: str, severity: str, rule: str, directive: str) -> None:
    assert (severity, rule, directive) in lint(header)


NOT_FOUND: list[tuple[str, str, str]] = [
    ("a nonce beside unsafe-inline", with_sources("img-src", "data:"), "scheme-source"),
    (
        "hosts under strict-dynamic",
        with_sources(SCRIPT, "'nonce-AAAAAAAAAAAAAAAAAAAAAA' 'strict-dynamic' unpkg.com"),
        "bypass-host",
    ),
    ("another's name", with_sources(SCRIPT, "notgithub.io"), "bypass-host"),
    ("a longer name", with_sources(SCRIPT, "unpkg.com.example"), "bypass-host"),
    ("objects by default", without("object-src"), "objects-unrestricted"),
]


@pytest.mark.parametrize(
    ("header", "rule"), [n[1:] for n in NOT_FOUND], ids=[n[0] for n in NOT_FOUND]
)
def test_not_found(header: str, rule: str) -> None:
    assert rule not in {found[1] for found in lint(header)}


SHORT_HASH, BAD_HASH = "'sha256-abc'", "'sha256-a'"
GOOGLES = (
    "object-src 'none'; script-src 'nonce-AAAAAAAAAAAAAAAAAAAAAA' 'unsafe-inline' 'unsafe-eval' "
    "'strict-dynamic' https: http:; base-uri 'none'; report-uri https://csp.example.com/"
)
STRICT_DEFAULT = "default-src 'nonce-AAAAAAAAAAAAAAAAAAAAAA' 'strict-dynamic' https:"
NOTHING_ELSE = "default-src 'none'; base-uri 'none'"
HIGHS: list[tuple[str, str, set[str]]] = [
    ("a relative report URL", "script-src *; report-uri csp-report.php",
     {"script-src", "object-src"}),
    ("an unknown token of a sandbox", "script-src *; sandbox allow-foo",
     {"script-src", "object-src"}),
    ("'unsafe-hashes' alone", "default-src 'none'; script-src * 'unsafe-hashes'", {"script-src"}),
    ("Google's", GOOGLES, set()),
    ("Google's, without its fallbacks", GOOGLES.replace(" 'unsafe-inline'", ""), set()),
    ("an empty list", "script-src;", set()),
    ("'unsafe-inline' beside a nonce", with_sources(
        SCRIPT, "'unsafe-inline' 'nonce-AAAAAAAAAAAAAAAAAAAAAA'"), set()),
    ("'unsafe-inline' beside a hash", with_sources(SCRIPT, f"'unsafe-inline' {SHORT_HASH}"),
     set()),
    ("'unsafe-inline' beside no nonce", with_sources(SCRIPT, "'unsafe-inline' 'nonce-'"),
     {"script-src"}),
    ("'unsafe-inline' beside no hash", with_sources(SCRIPT, f"'unsafe-inline' {BAD_HASH}"),
     {"script-src"}),
    ("'unsafe-inline' beside 'strict-dynamic'", with_sources(
        SCRIPT, "'unsafe-inline' 'strict-dynamic'"), set()),
    ("'unsafe-inline' beside 'none'", with_sources(SCRIPT, "'unsafe-inline' 'none'"),
     {"script-src"}),
    ("a nonce, and hosts beside it", with_sources(
        SCRIPT, "'nonce-AAAAAAAAAAAAAAAAAAAAAA' https:"), {"script-src"}),
    ("'strict-dynamic' alone takes the hosts away", with_sources(
        SCRIPT, "'strict-dynamic' https: *"), set()),
    ("'strict-dynamic' is none for objects", f"base-uri 'none'; {STRICT_DEFAULT}",
     {"default-src"}),
    ("nor beside a rule for them",
     f"base-uri 'none'; object-src 'none'; {STRICT_DEFAULT}", set()),
    ("'strict-dynamic' for images is nothing", f"{NOTHING_ELSE}; img-src 'strict-dynamic'",
     set()),
    ("data: for scripts", f"{NOTHING_ELSE}; script-src DATA:", {"script-src"}),
    ("data: for objects", f"{NOTHING_ELSE}; object-src data:", {"object-src"}),
    ("data: for images", f"{NOTHING_ELSE}; img-src data:", set()),
    ("elements alone", f"{NOTHING_ELSE}; script-src-elem *", {"script-src-elem"}),
    ("handlers alone", f"{NOTHING_ELSE}; script-src-attr 'unsafe-inline'", {"script-src-attr"}),
    ("elements and nothing else", "script-src-elem 'none'; object-src 'none'", {"script-src"}),
    ("an underscore hides nothing", f"{NOTHING_ELSE}; script-src a_b.s3.amazonaws.com",
     {"script-src"}),
    ("a query hides nothing", f"{NOTHING_ELSE}; script-src https://unpkg.com/?x",
     {"script-src"}),
    ("a bad value hides nothing", f"{NOTHING_ELSE}; script-src ://x 'slef' https:",
     {"script-src"}),
    ("a dropped directive protects nothing", "default-src 'none' ü; base-uri 'none'",
     {"script-src", "object-src"}),
    ("a second policy closes it", f"script-src *; report-uri r, {NOTHING_ELSE}", set()),
]  # fmt: skip


@pytest.mark.parametrize(("header", "highs"), [h[1:] for h in HIGHS], ids=[h[0] for h in HIGHS])
def test_what_is_high(header: str, highs: set[str]) -> None:
    found = [(rule, where) for severity, rule, where in lint(header) if severity == "high"]
    assert {where for _, where in found} == highs
    assert len(found) == len(highs)
