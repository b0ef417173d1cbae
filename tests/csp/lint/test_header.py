"""A header is read as a browser reads it: what is dropped, and what applies."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.csp.lint.header import read_header
from tests.csp.lint.headers import STRICT, lint

FOUND: list[tuple[str, str, str, str, str]] = [
    ("twice", STRICT + "; base-uri *", "medium", "directive-repeated", "base-uri"),
    ("misspelt", STRICT + "; scrpt-src 'self'", "medium", "not-understood", "scrpt-src"),
]


@pytest.mark.parametrize(
    ("header", "severity", "rule", "directive"), [f[1:] for f in FOUND], ids=[f[0] for f in FOUND]
)
def test_found(header: str, severity: str, rule: str, directive: str) -> None:
    assert (severity, rule, directive) in lint(header)


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


@given(st.text(st.sampled_from("script-src default-src object-src*'none;,:/ \t\v\u00fc=?_.{}1")))
def test_any_text_is_read(header: str) -> None:
    policies, _ = read_header(header)
    for policy in policies:
        assert policy.render("t.example", "N").isascii()
        assert read_header(policy.render(None, "A" * 22))[0]
    lint(header)
