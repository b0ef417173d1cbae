"""Every rule finds what it is for, and is silent where there is nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.config.headers import BUILT_IN
from sidecar.csp.language import parse_policy
from sidecar.csp.lint.bypasses import BYPASSES, find_bypass
from sidecar.csp.lint.finding import LintSeverity, worst
from sidecar.csp.lint.header import read_header
from sidecar.csp.lint.lint import lint_profile

STRICT = (
    "default-src 'none'; script-src 'nonce-AAAAAAAAAAAAAAAAAAAAAA==' 'strict-dynamic'; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; report-uri /r; report-to r"
)


def lint(header: str, watched: str = "", endpoint: str | None = "r") -> set[tuple[str, str, str]]:
    policies, wrong = read_header(header)
    placed = lint_profile(policies, read_header(watched)[0], endpoint=endpoint)
    findings = [*wrong, *(each.finding for each in placed)]
    return {(each.severity.word, each.rule, each.directive) for each in findings}


def with_sources(directive: str, sources: str) -> str:
    kept = [part for part in STRICT.split("; ") if not part.startswith(f"{directive} ")]
    return "; ".join((*kept, f"{directive} {sources}"))


def without(directive: str) -> str:
    return "; ".join(part for part in STRICT.split("; ") if not part.startswith(f"{directive} "))


def test_a_strict_policy_has_no_finding() -> None:
    assert lint(STRICT) == set()


SCRIPT = "script-src"
FOUND = [
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
    ("a scheme's name", with_sources("img-src", "https:*"), "medium", "source-mistaken", "img-src"),
    ("a colon", with_sources("img-src", "a.example:"), "medium", "source-mistaken", "img-src"),
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
    ("a short nonce", with_sources(SCRIPT, "'nonce-abcdefgh'"), "medium", "nonce-short", SCRIPT),
    ("twice", STRICT + "; base-uri *", "medium", "directive-repeated", "base-uri"),
    ("misspelt", STRICT + "; scrpt-src 'self'", "medium", "not-understood", "scrpt-src"),
    (
        "no quotes",
        with_sources("img-src", "self cdn.example"),
        "medium",
        "not-understood",
        "img-src",
    ),
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
    ("silent", without("report-uri").replace("; report-to r", ""), "info", "no-endpoint", ""),
    (
        "unknown endpoint",
        STRICT.replace("report-to r", "report-to x"),
        "medium",
        "endpoint-unknown",
        "report-to",
    ),
    ("new browsers only", without("report-uri"), "info", "report-to-only", "report-to"),
]


@pytest.mark.parametrize(
    ("header", "severity", "rule", "directive"), [f[1:] for f in FOUND], ids=[f[0] for f in FOUND]
)
def test_found(header: str, severity: str, rule: str, directive: str) -> None:
    assert (severity, rule, directive) in lint(header)


NOT_FOUND = [
    ("a nonce beside unsafe-inline", with_sources("img-src", "data:"), "scheme-source"),
    (
        "hosts under strict-dynamic",
        with_sources(SCRIPT, "'nonce-AAAAAAAAAAAAAAAAAAAAAA' 'strict-dynamic' unpkg.com"),
        "bypass-host",
    ),
    ("another's name", with_sources(SCRIPT, "notgithub.io"), "bypass-host"),
    ("a longer name", with_sources(SCRIPT, "unpkg.com.example"), "bypass-host"),
    ("different ports", with_sources("img-src", "a.example a.example:8443"), "source-covered"),
    ("objects by default", without("object-src"), "objects-unrestricted"),
]


@pytest.mark.parametrize(
    ("header", "rule"), [n[1:] for n in NOT_FOUND], ids=[n[0] for n in NOT_FOUND]
)
def test_not_found(header: str, rule: str) -> None:
    assert rule not in {found[1] for found in lint(header)}


def test_a_weakness_that_another_enforced_policy_closes_is_none() -> None:
    weak = with_sources(SCRIPT, "'unsafe-inline' *")
    assert lint(weak) & {("high", "wildcard", SCRIPT)}
    assert {s for s, _, _ in lint(f"{weak}, {STRICT}")} <= {"info", "low"}


def test_a_weakness_stays_beside_a_policy_that_does_not_speak_of_it() -> None:
    weak = with_sources(SCRIPT, "https:")
    framing = "frame-ancestors 'none'; report-uri /r"
    for header in (f"{weak}, {framing}", f"{framing}, {weak}"):
        found = {(severity, rule) for severity, rule, _ in lint(header)}
        assert ("high", "scheme-source") in found
    assert {s for s, _, _ in lint(f"{STRICT}, {framing}")} <= {"info", "low"}


def test_what_each_of_two_policies_closes_is_closed() -> None:
    """Scripts by the one, everything else by the other."""
    scripts = "script-src 'nonce-AAAAAAAAAAAAAAAAAAAAAA' 'strict-dynamic'; report-uri /r"
    rest = with_sources(SCRIPT, "*")
    assert {s for s, _, _ in lint(f"{scripts}, {rest}")} <= {"info", "low"}
    assert ("high", "wildcard", SCRIPT) in lint(rest)


def test_a_policy_that_adds_nothing_is_said() -> None:
    loose = with_sources("img-src", "a.example")
    assert ("low", "policy-in-vain", "") in lint(f"{STRICT}, {loose}")
    assert ("low", "policy-in-vain", "") in lint(STRICT, watched=loose)
    assert ("low", "policy-in-vain", "") not in lint(loose, watched=STRICT)


def test_a_watched_policy_must_report_and_need_not_be_strict() -> None:
    watched = "img-src 'none'"
    assert lint(with_sources("img-src", "a.example"), watched=watched) == {
        ("medium", "no-endpoint", "")
    }


def test_what_a_browser_passes_over_hides_nothing_else() -> None:
    found = lint("script-src 'self' 'slef' https:; nonsense; object-src *")
    assert ("medium", "not-understood", "script-src") in found
    assert ("high", "scheme-source", "script-src") in found
    assert ("high", "wildcard", "object-src") in found


NONE = ("'none'",)
Directives = dict[str, tuple[str, ...]]
SELF: Directives = {"script-src": ("'self'",)}
NONCE: Directives = {"script-src": ("'nonce-{nonce}'",)}
SHORT_HASH, BAD_HASH = "'sha256-abc'", "'sha256-a'"
READ: list[tuple[str, str, list[Directives]]] = [
    ("a relative report URL", "script-src *; report-uri csp-report.php",
     [{"script-src": ("*",), "report-uri": ("csp-report.php",)}]),
    ("no report URL", "img-src *; report-uri", [{"img-src": ("*",)}]),
    ("an unknown token of a sandbox", "sandbox allow-foo ALLOW-Forms",
     [{"sandbox": ("allow-forms",)}]),
    ("a sandbox", "sandbox", [{"sandbox": ()}]),
    ("a value too many", "upgrade-insecure-requests 1", [{"upgrade-insecure-requests": ()}]),
    ("a sink's name in capitals", "require-trusted-types-for 'style' 'SCRIPT'",
     [{"require-trusted-types-for": ("'script'",)}]),
    ("no sink", "require-trusted-types-for", []),
    ("a type's name", "trusted-types a !b 'none' a", [{"trusted-types": ("a",)}]),
    ("no types", "trusted-types 'none'", [{"trusted-types": NONE}]),
    ("two endpoints", "report-to a b", [{"report-to": ("a",)}]),
    ("no endpoint", "report-to; script-src 'self'", [SELF]),
    ("webrtc", "webrtc block 'BLOCK'", [{"webrtc": ("'block'",)}]),
    ("an empty list", "script-src;", [{"script-src": NONE}]),
    ("an empty list at the end", "script-src", [{"script-src": NONE}]),
    ("nothing left", "script-src 'slef'", [{"script-src": NONE}]),
    ("'none' beside others", "script-src 'none' 'self'", [SELF]),
    ("a bad source alone", "script-src 'slef' 'self' ://", [SELF]),
    ("twice", "script-src 'self' 'SELF'", [SELF]),
    ("a directive twice", "script-src 'self'; SCRIPT-SRC *", [SELF]),
    ("a directive twice, the first unknown", "x y; x z; script-src 'self'", [SELF]),
    ("the first of two is empty", "script-src; script-src *", [{"script-src": NONE}]),
    ("no directive", "scrpt-src 'self'", []),
    ("nothing", " ; ,\t,", []),
    ("two policies", "script-src 'self', script-src *", [SELF, {"script-src": ("*",)}]),
    ("ASCII's white space", "\tscript-src\n\f\r'self' \n; ", [SELF]),
    ("a vertical tab is none", "script-src *; script-src\v'self'", [{"script-src": ("*",)}]),
    ("a vertical tab in a value", "img-src *\v'self'; script-src 'self'", [SELF]),
    ("a space of Unicode's", "script-src\u00a0*; script-src 'self'", [SELF]),
    ("beyond ASCII drops the directive", "script-src * bücher.example; img-src 'self'",
     [{"img-src": ("'self'",)}]),
    ("and leaves the name free", "script-src ü; script-src 'self'", [SELF]),
    ("case", "Script-Src 'SELF' HTTPS: CDN.Example/Path",
     [{"script-src": ("'self'", "https:", "cdn.example/Path")}]),
    ("a keyword out of place", "img-src 'unsafe-inline'", [{"img-src": NONE}]),
    ("a variable is no source", "img-src {tenant_domain}", [{"img-src": NONE}]),
    ("any nonce is a nonce", "script-src 'NONCE-abcdefghijklmnopqrstuv-_=='", [NONCE]),
    ("no nonce", "script-src 'nonce-' 'nonce-a.b' 'nonce-a===' 'self'", [SELF]),
    ("a hash that matches nothing", f"script-src {SHORT_HASH}", [{"script-src": (SHORT_HASH,)}]),
    ("no hash", f"script-src {BAD_HASH}", [{"script-src": NONE}]),
    ("an underscore", "script-src a_b.example", [{"script-src": ("a_b.example",)}]),
    ("a query", "script-src https://a.example/x?y", [{"script-src": ("https://a.example/x",)}]),
    ("a label without quotes", "script-src self", [{"script-src": NONE}]),
]  # fmt: skip


@pytest.mark.parametrize(("header", "policies"), [r[1:] for r in READ], ids=[r[0] for r in READ])
def test_a_header_is_read_as_a_browser_reads_it(
    header: str, policies: list[dict[str, tuple[str, ...]]]
) -> None:
    read = [
        {name: directive.values for name, directive in policy.directives.items()}
        for policy in read_header(header)[0]
    ]
    assert read == policies


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


@given(st.text(st.sampled_from("script-src default-src object-src*'none;,:/ \t\v\u00fc=?_.{}1")))
def test_any_text_is_read(header: str) -> None:
    policies, _ = read_header(header)
    for policy in policies:
        assert policy.render("t.example", "N").isascii()
        assert read_header(policy.render(None, "A" * 22))[0]
    lint(header)


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_built_in_profiles_have_nothing_above_info(name: str) -> None:
    policies = [policy for given in BUILT_IN[name].enforced if (policy := parse_policy(given)[0])]
    assert worst(each.finding for each in lint_profile(policies)) == LintSeverity.INFO


def test_the_list_of_bypasses_is_tidy() -> None:
    hosts = [entry.host for entry in BYPASSES]
    assert len(set(hosts)) == len(hosts) <= 60
    assert find_bypass("cdn.septemcore.com") is None
