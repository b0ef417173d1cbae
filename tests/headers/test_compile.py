"""The settings of headers, as the headers that are sent."""

import pytest

from sidecar.config import parse_config
from sidecar.headers.compile import compile_headers, csp_policies
from sidecar.headers.field import How, ResponseHeader
from sidecar.headers.security import Page, SecurityHeaders
from tests.authz.conftest import CONFIG

HEAD = CONFIG.partition("headers:")[0]
TENANT = "7f1c9a52-3f0e-4c8e-9f3b-0d7a8f5d2c11"


def compiled(settings: str) -> SecurityHeaders:
    return compile_headers(parse_config(HEAD + settings, "test"))


def fixed(settings: str, profile: str = "shell") -> dict[str, tuple[bytes, How]]:
    headers = compiled(settings).profiles[profile].fixed
    return {name: (value, how) for name, value, how in headers}


FIXED: list[tuple[str, str, str, tuple[bytes, How] | None]] = [
    (
        "a header of all profiles",
        "headers: {referrer_policy: no-referrer}",
        "referrer-policy",
        (b"no-referrer", How.REPLACE),
    ),
    (
        "a profile's own before it",
        "headers: {referrer_policy: no-referrer, csp: {shell: {referrer_policy: same-origin}}}",
        "referrer-policy",
        (b"same-origin", How.REPLACE),
    ),
    (
        "the application's before both",
        "headers: {csp: {shell: {application_headers: keep}}}",
        "referrer-policy",
        (b"strict-origin-when-cross-origin", How.IF_ABSENT),
    ),
    (
        "but not before these",
        "headers: {csp: {shell: {application_headers: keep}}}",
        "x-content-type-options",
        (b"nosniff", How.REPLACE),
    ),
    (
        "a boolean in both words",
        "headers: {origin_agent_cluster: true}",
        "origin-agent-cluster",
        (b"?1", How.REPLACE),
    ),
    (
        "a profile's own no before a yes for all",
        "headers: {origin_agent_cluster: true, csp: {shell: {origin_agent_cluster: false}}}",
        "origin-agent-cluster",
        (b"?0", How.REPLACE),
    ),
    (
        "the transport's",
        "headers: {hsts: max-age=63072000}",
        "strict-transport-security",
        (b"max-age=63072000", How.REPLACE),
    ),
    ("none without reports", "headers: {}", "reporting-endpoints", None),
]


@pytest.mark.parametrize(
    ("settings", "name", "sent"), [row[1:] for row in FIXED], ids=[row[0] for row in FIXED]
)
def test_fixed_headers(settings: str, name: str, sent: tuple[bytes, How] | None) -> None:
    assert fixed(settings).get(name) == sent


PROFILE = "headers: {csp: {shell: {enforced: [{img-src: ['self']}], %s}}}".replace(
    "['self']", "[\"'self'\"]"
)
HOW: list[tuple[str, str, How, How]] = [
    ("the sidecar's alone", "application_csp: replace", How.REPLACE, How.REPLACE),
    ("both count", "application_csp: intersect", How.BESIDE, How.REPLACE),
    ("the application's headers", "application_headers: keep", How.REPLACE, How.IF_ABSENT),
]


@pytest.mark.parametrize(
    ("setting", "csp", "frames"), [row[1:] for row in HOW], ids=[row[0] for row in HOW]
)
def test_how_a_profile_meets_the_applications_headers(setting: str, csp: How, frames: How) -> None:
    profile = compiled(PROFILE % setting).profiles["shell"]
    assert (profile.csp_how, profile.frames_how) == (csp, frames)


REPORTS = "headers: {reports: {path: /r, group: g, silent: [api]}}\nlisten: {reports: {}}"


def test_pages_that_report_name_where_and_the_silent_ones_do_not() -> None:
    assert fixed(REPORTS)["reporting-endpoints"] == (b'g="/r"', How.REPLACE)
    assert "reporting-endpoints" not in fixed(REPORTS, "api")
    assert "reporting-endpoints" not in fixed(REPORTS, "none"), "it has no policy to report on"
    headers = parse_config(HEAD + REPORTS, "test").headers
    for name, reports in (("shell", True), ("api", False)):
        (enforced,), report_only = csp_policies(headers, name)
        assert ("report-uri" in enforced.directives) is reports
        assert report_only == []


def test_each_tenant_has_its_domain_and_its_overlay() -> None:
    overlay = f"""\
tenants:
  - {{tenant_id: {TENANT}, domain: a.example, csp: {{shell: {{connect-src: ["'none'"]}}}}}}
  - {{tenant_id: {TENANT.replace("7", "8")}, domain: b.example}}
"""
    headers = compiled(overlay)
    assert headers.owner_of("a.example") == TENANT
    assert headers.tenant_domains[TENANT] == "a.example"
    assert headers.overlays.keys() == {TENANT}, "whoever has none costs nothing"
    assert headers.page_of("a.example", None) == Page("a.example", TENANT)
    assert headers.page_of("b.example", None) == Page("b.example")


def test_a_denial_has_the_headers_of_no_profile() -> None:
    settings = "headers: {referrer_policy: no-referrer, csp: {shell: {referrer_policy: origin}}}"
    denied = {header.name: header for header in compiled(settings).on_refusal}
    assert denied["referrer-policy"] == ResponseHeader("referrer-policy", b"no-referrer")


def test_cors() -> None:
    settings = "headers: {cors: {c: {origins: ['https://a.example'], max_age_seconds: 7}}}"
    sent = {h.name: h.value for h in compiled(settings).on_preflight("c", "https://a.example")}
    assert sent["access-control-allow-origin"] == b"https://a.example"
    assert sent["access-control-max-age"] == b"7"
