"""From the configuration to the snapshot a decision stands on."""

from collections.abc import Iterable

from sidecar.authz.decision import Snapshot
from sidecar.authz.modules import ModulePolicy
from sidecar.authz.routes import Route, RouteTable
from sidecar.config import model
from sidecar.config.reports import Reports
from sidecar.csp import Policy, parse_policy
from sidecar.headers.csp import CompiledProfile
from sidecar.headers.reporting import endpoints, with_reporting
from sidecar.headers.security import SecurityHeaders
from sidecar.headers.tenant import names_to_remove
from sidecar.keys.keyring import KeyRing
from sidecar.tokens.claims import ClaimsPolicy
from sidecar.tokens.pii import PiiAction
from sidecar.tokens.verifier import TokenPolicy


def build_snapshot(config: model.Config, ring: KeyRing) -> Snapshot:
    """Compile a checked configuration; ``ring`` is replaced as keys come and go."""
    return Snapshot(
        ring=ring,
        routes=RouteTable(_route(route) for route in config.routes),
        tokens=token_policy(config.tokens),
        headers=_security_headers(config),
        names_to_remove=names_to_remove(config.headers.remove_from_request),
        refuse_degraded=config.keys.when_degraded == "refuse",
        pii_names=PiiAction(config.tokens.pii.by_name),
        pii_values=PiiAction(config.tokens.pii.by_value),
        modules=_module_policy(config.modules),
    )


def token_policy(tokens: model.Tokens) -> TokenPolicy:
    """Compile the rules of tokens."""
    return TokenPolicy(
        claims=ClaimsPolicy(
            audiences={entry.issuer: frozenset(entry.audiences) for entry in tokens.issuers},
            leeway_seconds=tokens.leeway_seconds,
            max_lifetime_seconds=tokens.max_lifetime_seconds,
            require_nbf=tokens.require_nbf,
        ),
        max_token_bytes=tokens.max_token_bytes,
    )


def _module_policy(modules: model.Modules | None) -> ModulePolicy | None:
    if modules is None:
        return None
    return ModulePolicy(modules.max_bundle_bytes, frozenset(modules.owner_roles))


def _route(route: model.Route) -> Route:
    return Route(
        name=route.name,
        auth=route.auth,
        hosts=route.hosts,
        methods=frozenset(route.methods),
        path=route.path,
        path_prefix=route.path_prefix,
        csp=route.csp,
        tenant=route.tenant,
        roles=frozenset(route.roles),
        scopes=frozenset(route.scopes),
        token_from=route.token_from,
        clients=route.clients,
        shadow=route.shadow,
        module=route.module,
    )


def _security_headers(config: model.Config) -> SecurityHeaders:
    headers = config.headers
    fixed = (
        ("strict-transport-security", headers.hsts.encode()),
        ("x-content-type-options", b"nosniff"),
        ("referrer-policy", headers.referrer_policy.encode()),
        ("permissions-policy", headers.permissions_policy.encode()),
        ("cross-origin-opener-policy", headers.cross_origin_opener_policy.encode()),
        ("cross-origin-resource-policy", headers.cross_origin_resource_policy.encode()),
    )
    return SecurityHeaders(
        fixed=fixed,
        profiles={name: _profile(headers, name) for name in headers.csp},
        tenant_domains={tenant.tenant_id: tenant.domain for tenant in config.tenants},
        domain_owners={tenant.domain: tenant.tenant_id for tenant in config.tenants},
    )


def _profile(headers: model.Headers, name: str) -> CompiledProfile:
    enforced, report_only = csp_policies(headers, name)
    reports = _reports_of(headers, name)
    beside = (
        [endpoints(reports.path, reports.group)] if reports and (enforced or report_only) else None
    )
    return CompiledProfile(enforced, report_only, beside)


def csp_policies(headers: model.Headers, name: str) -> tuple[list[Policy], list[Policy]]:
    """Return a profile's policies as they are sent: those enforced, those only watched."""
    given, reports = headers.csp[name], _reports_of(headers, name)
    return _policies(given.enforced, reports), _policies(given.report_only, reports)


def _reports_of(headers: model.Headers, name: str) -> Reports | None:
    """Return the settings of reports for a profile that has any."""
    reports = headers.reports
    return None if reports is None or name in reports.silent else reports


def _policies(given: Iterable[model.CspDirectives], reports: Reports | None) -> list[Policy]:
    """Compile policies that the rules of the configuration have checked."""
    sent = (
        each if reports is None else with_reporting(each, reports.path, reports.group)
        for each in given
    )
    policies = [parse_policy(directives)[0] for directives in sent]
    return [policy for policy in policies if policy is not None]
