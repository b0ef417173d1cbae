"""Which headers go with which answer, whose page it is, and who may read it."""

import pytest

from sidecar.common.registered_domains import RegisteredDomains
from sidecar.headers.csp import CompiledProfile
from sidecar.headers.field import How, ResponseHeader
from sidecar.headers.security import Page, Profile, SecurityHeaders
from tests.headers.test_cors import cors
from tests.headers.test_csp import policy

SECURITY = SecurityHeaders(
    profiles={
        "p": Profile(
            CompiledProfile([policy({"connect-src": ("{tenant_domain}",)})]),
            (ResponseHeader("x", b"1"),),
        )
    },
    on_refusal=(),
    tenant_domains={"t1": "one.example"},
    domain_owners={"one.example": "t1"},
)
WHOSE = [
    ("the token's tenant", "edge.example", "t1", "connect-src one.example"),
    ("the token's tenant on another's host", "two.example", "t1", "connect-src one.example"),
    ("no token, on the tenant's host", "one.example", None, "connect-src one.example"),
    ("no token, on a host of nobody", "edge.example", None, "connect-src 'none'"),
    ("a tenant without domain", "edge.example", "t9", "connect-src 'none'"),
]


@pytest.mark.parametrize(
    ("host", "tenant", "csp"), [w[1:] for w in WHOSE], ids=[w[0] for w in WHOSE]
)
def test_whose_page_it_is(host: str, tenant: str | None, csp: str) -> None:
    allowed = SECURITY.on_allowed("p", SECURITY.page_of(host, tenant), None)
    assert allowed == [
        ResponseHeader("x", b"1"),
        ResponseHeader("content-security-policy", csp.encode()),
    ]


DOMAINS = SECURITY._replace(
    overlays={"t1": {"p": {"connect-src": ("'none'",)}}},
    registered=RegisteredDomains.of([("r.example", "t2"), ("also.example", "t1")]),
)
PAGES: list[tuple[str, str, str | None, Page]] = [
    ("nobody's", "edge.example", None, Page(None)),
    ("a configured domain", "one.example", None, Page("one.example", "t1")),
    ("its tenant's token elsewhere", "edge.example", "t1", Page("one.example", "t1")),
    ("a registered domain", "r.example", None, Page("r.example")),
    ("below it", "www.r.example", None, Page("www.r.example")),
    ("its tenant's token there", "r.example", "t2", Page("r.example")),
    ("its tenant's token elsewhere has no domain", "edge.example", "t2", Page(None)),
    (
        "the configured domain before the registered one",
        "also.example",
        None,
        Page("one.example", "t1"),
    ),
]


@pytest.mark.parametrize(
    ("host", "tenant", "page"), [p[1:] for p in PAGES], ids=[p[0] for p in PAGES]
)
def test_pages(host: str, tenant: str | None, page: Page) -> None:
    assert DOMAINS.page_of(host, tenant) == page


def test_an_overlay_narrows_its_tenants_pages_alone() -> None:
    def connect(page: Page) -> bytes:
        return DOMAINS.on_allowed("p", page, None)[-1].value

    assert connect(DOMAINS.page_of("one.example", None)) == b"connect-src 'none'"
    assert connect(DOMAINS.page_of("r.example", None)) == b"connect-src r.example"


def test_what_has_a_nonce_is_stored_by_no_cache() -> None:
    page = SECURITY.page_of("edge.example", None)
    added = SECURITY.on_allowed("p", page, "n")[len(SECURITY.on_allowed("p", page, None)) :]
    assert added == [
        ResponseHeader("cache-control", b"no-store"),
        ResponseHeader("cdn-cache-control", b"no-store", How.REPLACE_IF_PRESENT),
        ResponseHeader("surrogate-control", b"no-store", How.REPLACE_IF_PRESENT),
    ]


def test_how_a_profiles_headers_meet_the_applications() -> None:
    framed = CompiledProfile([policy({"frame-ancestors": ("'self'",)})])
    beside = Profile(framed, (), csp_how=How.BESIDE, frames_how=How.IF_ABSENT)
    made = SECURITY._replace(profiles={"p": beside}).on_allowed("p", Page(None), None)
    assert made == [
        ResponseHeader("content-security-policy", b"frame-ancestors 'self'", How.BESIDE),
        ResponseHeader("x-frame-options", b"SAMEORIGIN", How.IF_ABSENT),
    ]


def test_a_denial_lets_a_browser_do_nothing() -> None:
    fixed = ResponseHeader("strict-transport-security", b"max-age=1")
    headers = SECURITY._replace(on_refusal=(fixed,)).on_denied()
    assert headers[0] == fixed
    values = {name: value for name, value, how in headers[1:] if how is How.REPLACE}
    assert values == {
        "content-security-policy": (
            b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        ),
        "x-frame-options": b"DENY",
        "cache-control": b"no-store",
    }


READABLE = SecurityHeaders(
    profiles={},
    on_refusal=(),
    tenant_domains={"t1": "one.example", "t2": "two.example"},
    domain_owners={"one.example": "t1", "two.example": "t2"},
    cors={"tenants": cors("https://{tenant_domain}"), "app": cors("https://app.example")},
)
READERS = [
    ("the token's own domain", "tenants", "https://one.example", "edge.example", "t1", True),
    ("another tenant's domain", "tenants", "https://two.example", "edge.example", "t1", False),
    ("no token yet", "tenants", "https://two.example", "edge.example", None, True),
    ("no token, on a tenant's host", "tenants", "https://two.example", "one.example", None, False),
    ("its own host", "tenants", "https://one.example", "one.example", None, True),
    ("a token of nobody we know", "tenants", "https://one.example", "edge.example", "t9", False),
    ("in the clear", "tenants", "http://one.example", "edge.example", "t1", False),
    ("another port", "tenants", "https://one.example:444", "edge.example", "t1", False),
    ("below it", "tenants", "https://x.one.example", "edge.example", "t1", False),
    ("nobody's domain", "tenants", "https://evil.example", "edge.example", None, False),
    ("the variable itself", "tenants", "https://{tenant_domain}", "edge.example", None, False),
    ("tenants not admitted", "app", "https://one.example", "edge.example", "t1", False),
    ("by name, whoever asks", "app", "https://app.example", "edge.example", "t1", True),
]


@pytest.mark.parametrize(
    ("policy", "origin", "host", "tenant", "may"),
    [r[1:] for r in READERS],
    ids=[r[0] for r in READERS],
)
def test_readers(policy: str, origin: str, host: str, tenant: str | None, may: bool) -> None:
    wanted = origin if may else ""
    assert READABLE.reader(policy, origin.encode(), host, tenant) == wanted
