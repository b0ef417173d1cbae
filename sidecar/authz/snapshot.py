"""Compiles the configuration into the snapshot that decisions are made with."""

from sidecar.authz.credential import COOKIE_PREFIX, WEBSOCKET, TokenPlaces
from sidecar.authz.decision import Snapshot
from sidecar.authz.routes import DPOP, Route, RouteTable
from sidecar.authz.token_policy import rules_digest, token_policy
from sidecar.common.canonical import canonical_path
from sidecar.config import model
from sidecar.headers.compile import compile_headers
from sidecar.headers.tenant import names_to_remove
from sidecar.limits.policy import LimitsPolicy, compile_limits
from sidecar.module_signing.install import ModulePolicy
from sidecar.tokens.dpop import DpopRules
from sidecar.tokens.keyring import KeyRing
from sidecar.tokens.pii import PiiAction


def build_snapshot(config: model.Config, ring: KeyRing) -> Snapshot:
    """Compile a validated configuration; ``ring`` is replaced whenever the keys change."""
    return Snapshot(
        ring=ring,
        routes=RouteTable(compile_routes(config)),
        tokens=token_policy(config.tokens, record_inputs=config.audit.record_inputs),
        dpop=dpop_rules(config.tokens.dpop),
        headers=compile_headers(config),
        names_to_remove=names_to_remove(
            config.headers.remove_from_request, config.headers.keep_overrides
        ),
        kept_by_route={
            route.name: frozenset(route.keep_overrides)
            for route in config.routes
            if route.keep_overrides
        },
        refuse_degraded=config.keys.when_degraded == "refuse",
        pii_names=PiiAction(config.tokens.pii.by_name),
        pii_values=PiiAction(config.tokens.pii.by_value),
        modules=_module_policy(config.modules),
        recorded_rules=rules_digest(config) if config.audit.record_inputs else "",
    )


def compile_routes(config: model.Config) -> tuple[Route, ...]:
    """Compile the routes; each one knows every place in which any route reads tokens."""
    every = {place for route in config.routes if route.auth != "none" for place in route.token_from}
    cookies = {place.removeprefix(COOKIE_PREFIX) for place in every if COOKIE_PREFIX in place}
    places = {
        (token_from, dpop): TokenPlaces(
            token_from, cookies, watches_websocket=WEBSOCKET in every, dpop=dpop
        )
        for token_from, dpop in {
            (route.token_from, DPOP in route.bound_by) for route in config.routes
        }
    }
    limits = compile_limits(config)
    return tuple(
        _route(route, config.headers, places[route.token_from, DPOP in route.bound_by], limits)
        for route in config.routes
    )


def dpop_rules(dpop: model.DpopSettings) -> DpopRules:
    """Compile the rules of DPoP proofs."""
    return DpopRules(
        algorithms=dpop.algorithms,
        max_age_seconds=dpop.max_age_seconds,
        leeway_seconds=dpop.leeway_seconds,
        require_nonce=dpop.nonce == "required",
        nonce_seconds=dpop.nonce_seconds,
        ports=dpop.ports,
    )


def _module_policy(modules: model.Modules | None) -> ModulePolicy | None:
    if modules is None:
        return None
    return ModulePolicy(
        modules.max_bundle_bytes, frozenset(modules.owner_roles), frozenset(modules.content_types)
    )


def _methods(route: model.RouteSettings) -> frozenset[str]:
    """Return the methods; HEAD is allowed with GET, as GET without a body (RFC 9110 §9.3.2)."""
    methods = frozenset(route.methods)
    return methods | {"HEAD"} if "GET" in methods and route.head_with_get else methods


def _canonical(path: str | None) -> str | None:
    """Return a configured path in the canonical form in which requests are matched."""
    return None if path is None else canonical_path(path.encode())


def _route(
    route: model.RouteSettings,
    headers: model.Headers,
    places: TokenPlaces,
    limits: LimitsPolicy | None,
) -> Route:
    return Route(
        name=route.name,
        auth=route.auth,
        hosts=route.hosts,
        methods=_methods(route),
        path=_canonical(route.path),
        path_prefix=_canonical(route.path_prefix),
        keep_overrides=frozenset(route.keep_overrides),
        exact_paths=route.path_reading == "exact",
        csp=route.csp,
        nonce=route.nonce == "no-store",
        cors=route.cors or "",
        reads_origin=route.cors is not None and "*" not in headers.cors[route.cors].origins,
        tenant=route.tenant,
        roles=frozenset(route.roles),
        scopes=frozenset(route.scopes),
        token_from=route.token_from,
        places=places,
        clients=route.clients,
        bound_by=frozenset(route.bound_by),
        binding_required=route.binding is not None and route.binding.unbound == "refuse",
        shadow=route.shadow,
        module=route.module,
        end_streams_with_token=route.end_streams_with_token,
        limits=None if limits is None else limits.routes[route.name],
    )
