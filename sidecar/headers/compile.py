"""Compiles the validated settings of headers into the headers that are sent."""

from collections.abc import Iterable

from sidecar.config import model
from sidecar.config.reports import Reports
from sidecar.csp.language import Policy, parse_policy
from sidecar.headers.cors import Cors
from sidecar.headers.csp import CompiledProfile
from sidecar.headers.field import How, ResponseHeader
from sidecar.headers.reporting import ENDPOINTS, endpoints, with_reporting
from sidecar.headers.security import Profile, SecurityHeaders


def compile_headers(config: model.Config) -> SecurityHeaders:
    """Compile ``headers`` and the tenants' own settings for them."""
    headers = config.headers
    return SecurityHeaders(
        profiles={name: _profile(headers, name) for name in headers.csp},
        on_refusal=_fixed(model.CspProfile(), headers),
        tenant_domains={tenant.tenant_id: tenant.domain for tenant in config.tenants},
        domain_owners={tenant.domain: tenant.tenant_id for tenant in config.tenants},
        overlays={tenant.tenant_id: tenant.csp for tenant in config.tenants if tenant.csp},
        cors={name: _cors(given) for name, given in headers.cors.items()},
    )


def csp_policies(headers: model.Headers, name: str) -> tuple[list[Policy], list[Policy]]:
    """Return a profile's policies as they are sent: the enforced and the report-only ones."""
    given, reports = headers.csp[name], _reports_of(headers, name)
    return _policies(given.enforced, reports), _policies(given.report_only, reports)


def _profile(headers: model.Headers, name: str) -> Profile:
    given, reports = headers.csp[name], _reports_of(headers, name)
    enforced, report_only = csp_policies(headers, name)
    fixed = _fixed(given, headers)
    if reports is not None and (enforced or report_only):
        fixed += (ResponseHeader(ENDPOINTS, endpoints(reports.path, reports.group)),)
    replace = given.application_headers == "replace"
    return Profile(
        CompiledProfile(enforced, report_only),
        fixed,
        How.REPLACE if given.application_csp == "replace" else How.BESIDE,
        How.REPLACE if replace else How.IF_ABSENT,
        frozenset(given.allow_additions),
    )


def _reports_of(headers: model.Headers, name: str) -> Reports | None:
    """Return the settings of reports for a profile that has any."""
    reports = headers.reports
    return None if reports is None or name in reports.silent else reports


def _policies(given: Iterable[model.CspDirectives], reports: Reports | None) -> list[Policy]:
    sent = (
        each if reports is None else with_reporting(each, reports.path, reports.group)
        for each in given
    )
    policies = [parse_policy(directives)[0] for directives in sent]
    return [policy for policy in policies if policy is not None]


def _fixed(given: model.CspProfile, headers: model.Headers) -> tuple[ResponseHeader, ...]:
    """Return a profile's other headers. Two are never the application's to weaken."""
    how = How.REPLACE if given.application_headers == "replace" else How.IF_ABSENT
    agent_cluster = headers.origin_agent_cluster
    if given.origin_agent_cluster is not None:
        agent_cluster = given.origin_agent_cluster
    values = {
        "referrer-policy": given.referrer_policy or headers.referrer_policy,
        "permissions-policy": given.permissions_policy or headers.permissions_policy,
        "cross-origin-opener-policy": (
            given.cross_origin_opener_policy or headers.cross_origin_opener_policy
        ),
        "cross-origin-embedder-policy": (
            given.cross_origin_embedder_policy or headers.cross_origin_embedder_policy
        ),
        "cross-origin-resource-policy": (
            given.cross_origin_resource_policy or headers.cross_origin_resource_policy
        ),
        "origin-agent-cluster": "?1" if agent_cluster else "?0",
    }
    return (
        ResponseHeader("strict-transport-security", headers.hsts.encode()),
        ResponseHeader("x-content-type-options", b"nosniff"),
        *(ResponseHeader(name, value.encode(), how) for name, value in values.items() if value),
    )


def _cors(given: model.CorsPolicy) -> Cors:
    return Cors(
        given.origins,
        given.methods,
        given.request_headers,
        given.expose_headers,
        credentials=given.credentials,
        max_age_seconds=given.max_age_seconds,
    )
