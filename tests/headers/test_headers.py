"""Header policies as pure values."""

from collections.abc import Mapping, Sequence

import pytest

from sidecar.csp.language import Policy, parse_policy
from sidecar.headers.csp import CompiledProfile
from sidecar.headers.field import ResponseHeader
from sidecar.headers.security import Profile, SecurityHeaders
from sidecar.headers.tenant import TRUSTED, names_to_remove

SHELL = {
    "script-src": ("'self'", "cdn.septemcore.com"),
    "connect-src": ("'self'", "{tenant_domain}"),
    "img-src": ("{tenant_domain}",),
    "frame-src": ("https://{tenant_domain}",),
    "upgrade-insecure-requests": (),
}


def policy(directives: Mapping[str, Sequence[str]]) -> Policy:
    parsed, wrong = parse_policy(directives)
    assert parsed is not None, wrong
    return parsed


CDN = "script-src 'self' cdn.septemcore.com"
RENDERED = [
    (
        "a tenant's domain stands where it is named",
        "a.example",
        f"{CDN}; connect-src 'self' a.example; img-src a.example; frame-src https://a.example",
    ),
    (
        "without one the source falls away, and an empty list is 'none'",
        None,
        f"{CDN}; connect-src 'self'; img-src 'none'; frame-src 'none'",
    ),
]


@pytest.mark.parametrize(
    ("domain", "value"), [r[1:] for r in RENDERED], ids=[r[0] for r in RENDERED]
)
def test_a_profile_rendered(domain: str | None, value: str) -> None:
    rendered = CompiledProfile([policy(SHELL)]).render(domain)
    assert rendered == [("content-security-policy", f"{value}; upgrade-insecure-requests".encode())]


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


def test_every_spelling_that_a_server_may_fold_is_removed() -> None:
    """CGI and WSGI turn x-a-b, x_a-b, x-a_b and x_a_b into one variable."""
    removed = names_to_remove(["x-a-b", "plain"])
    assert {"x-a-b", "x_a-b", "x-a_b", "x_a_b", "plain"} <= set(removed)
    assert {"x-tenant-id", "x_tenant_id", "x_roles"} <= set(removed)
    assert len(removed) == len(set(removed))
    for name in TRUSTED:
        folded = name.replace("-", "_")
        spellings = [each for each in removed if each.replace("-", "_") == folded]
        assert len(spellings) == 2 ** name.count("-")


def test_what_undoes_the_decision_is_removed_again_but_for_what_is_kept() -> None:
    """The method, the host and the path: the rest of the overrides is Envoy's to remove."""
    removed = names_to_remove([], ["x-forwarded-host"])
    assert {"x-http-method-override", "forwarded", "x-host", "x-original-url"} <= set(removed)
    assert "x-forwarded-host" not in removed
    assert "x-forwarded-host" in names_to_remove()
    assert "x-real-ip" not in removed
    assert {"x-tenant-id", "x_tenant_id"} <= set(names_to_remove([], ["x-tenant-id"]))
