"""The rules of response headers: browsers must read every policy as it is meant."""

from collections.abc import Iterable, Iterator

from sidecar.config.header_values import hsts_problems, origin_problem, permissions_problems
from sidecar.config.headers import CorsPolicy, CspDirectives, CspProfile, Headers
from sidecar.config.model import Config, RouteSettings, Tenant
from sidecar.config.overrides import OVERRIDE_NAMES, PROOF_HEADERS
from sidecar.config.problem import Path, Problem
from sidecar.csp.language import SOURCE_LISTS, TENANT_DOMAIN, Policy, PolicyProblem, parse_policy
from sidecar.csp.language.overlay import apply_overlay

MAX_RESPONSE_HEADER_BYTES = 16_384
"""For a profile's headers on one response. An Envoy in front of this one accepts 80 KiB of
response headers in all, the application's included; other proxies accept less."""
_LONGEST_DOMAIN = "x" * 253
_LONGEST_NONCE = "x" * 24
_OTHER_HEADER_BYTES = 1024
"""Names and values of the headers that are always short, with room."""
_IGNORED_WHEN_WATCHED = ("sandbox", "upgrade-insecure-requests")
"""Directives that browsers ignore in a report-only policy (CSP3 §6.3.1, UIR §3.1)."""
_FORBIDDEN_METHODS = ("CONNECT", "TRACE", "TRACK")
_NEEDED = frozenset({"host", "content-length", "transfer-encoding", "connection", "upgrade", "te"})
"""Headers that frame or address a request; Envoy can't forward it without them."""
_TENANT_ORIGIN = f"https://{TENANT_DOMAIN}"

Compiled = tuple[tuple[Policy, ...], tuple[Policy, ...]]


def check_headers(config: Config) -> Iterator[Problem]:
    """Yield the problems of ``headers``, of ``tenants[].csp``, and of routes that name them."""
    headers = config.headers
    for message in hsts_problems(headers.hsts):
        yield Problem(("headers", "hsts"), message)
    for message in permissions_problems(headers.permissions_policy):
        yield Problem(("headers", "permissions_policy"), message)
    profiles: dict[str, Compiled] = {}
    for name, profile in headers.csp.items():
        where: Path = ("headers", "csp", name)
        problems = list(_profile(where, profile))
        yield from problems
        if not problems:
            profiles[name] = _compiled(profile.enforced), _compiled(profile.report_only)
            yield from _size(where, profiles[name], headers)
    for name, policy in headers.cors.items():
        yield from _cors(("headers", "cors", name), policy)
    for index, route in enumerate(config.routes):
        yield from _route(("routes", index), route, headers, profiles)
    yield from _request_headers(config)
    for index, tenant in enumerate(config.tenants):
        yield from _tenant(("tenants", index, "csp"), tenant, headers, profiles)


def _request_headers(config: Config) -> Iterator[Problem]:
    """Check the names of headers that are removed or kept."""
    where: Path = ("headers", "remove_from_request")
    for index, name in enumerate(config.headers.remove_from_request):
        if name in _NEEDED:
            yield Problem(
                (*where, index), f"can't be {name}: a request can't be forwarded without it"
            )
    yield from _kept(("headers",), config.headers.keep_overrides)
    for index, route in enumerate(config.routes):
        yield from _kept(("routes", index), route.keep_overrides)


def _kept(where: Path, names: Iterable[str]) -> Iterator[Problem]:
    for index, name in enumerate(names):
        if name not in OVERRIDE_NAMES | PROOF_HEADERS:
            listed = "docs/what-reaches-your-application.md lists them"
            message = f"{name} is not an override header, and only those may be kept; {listed}"
            yield Problem((*where, "keep_overrides", index), message)


def _profile(where: Path, profile: CspProfile) -> Iterator[Problem]:
    for kind in ("enforced", "report_only"):
        for number, policy in enumerate(getattr(profile, kind)):
            _, wrong = parse_policy(policy)
            yield from _located((*where, kind, number), wrong)
    for number, policy in enumerate(profile.report_only):
        for ignored in _IGNORED_WHEN_WATCHED:
            if ignored in policy:
                path = (*where, "report_only", number, ignored)
                yield Problem(path, "is ignored by browsers in a report-only policy")
    for index, directive in enumerate(profile.allow_additions):
        if directive not in SOURCE_LISTS:
            path = (*where, "allow_additions", index)
            yield Problem(path, f"{directive} is not a directive with a source list")
    if profile.permissions_policy is not None:
        for message in permissions_problems(profile.permissions_policy):
            yield Problem((*where, "permissions_policy"), message)


def _located(where: Path, wrong: Iterable[PolicyProblem]) -> Iterator[Problem]:
    for message, directive, position in wrong:
        steps = tuple(step for step in (directive, position) if step is not None)
        yield Problem((*where, *steps), message)


def _compiled(given: Iterable[CspDirectives]) -> tuple[Policy, ...]:
    policies = (parse_policy(directives)[0] for directives in given)
    return tuple(policy for policy in policies if policy is not None)


def _size(where: Path, policies: Compiled, headers: Headers) -> Iterator[Problem]:
    """Check the size of a profile's headers, with the longest domain and a nonce."""
    rendered = [
        policy.render(_LONGEST_DOMAIN, _LONGEST_NONCE) for kind in policies for policy in kind
    ]
    others = len(headers.hsts) + len(headers.permissions_policy) + _OTHER_HEADER_BYTES
    reports = headers.reports
    # The reporting directives of each policy, and the Reporting-Endpoints header.
    reporting = 0 if reports is None else len(reports.path) + len(reports.group) + 40
    size = sum(len(value) + 2 + reporting for value in rendered) + reporting + others
    if size > MAX_RESPONSE_HEADER_BYTES:
        yield Problem(
            where,
            f"comes to {size} bytes of response headers with the longest domain a tenant can "
            f"have; {MAX_RESPONSE_HEADER_BYTES} fit",
        )


def _cors(where: Path, policy: CorsPolicy) -> Iterator[Problem]:
    origins = policy.origins
    if "*" in origins and policy.credentials:
        yield Problem((*where, "credentials"), "can't go with the origin *: name the origins")
    if "*" in origins and len(origins) > 1:
        yield Problem(
            (*where, "origins"), "* must be alone: with it the other origins have no effect"
        )
    for index, origin in enumerate(origins):
        if origin not in {"*", _TENANT_ORIGIN} and (wrong := origin_problem(origin)):
            yield Problem((*where, "origins", index), f"{origin} {wrong}")
    for index, method in enumerate(policy.methods):
        if method in _FORBIDDEN_METHODS:
            yield Problem(
                (*where, "methods", index), f"browsers do not send {method} for a page; remove it"
            )


def _route(
    where: Path, route: RouteSettings, headers: Headers, profiles: dict[str, Compiled]
) -> Iterator[Problem]:
    if route.csp not in headers.csp:
        known = ", ".join(sorted(headers.csp))
        yield Problem(
            (*where, "csp"), f"is not the name of a profile in headers.csp; there are: {known}"
        )
    elif route.nonce != "off" and route.csp in profiles:
        enforced, watched = profiles[route.csp]
        if not any(policy.has_nonce for policy in (*enforced, *watched)):
            message = f"no policy of headers.csp.{route.csp} has 'nonce-{{nonce}}' in it"
            yield Problem((*where, "nonce"), message)
    if route.cors is not None and route.cors not in headers.cors:
        known = ", ".join(sorted(headers.cors)) or "none"
        yield Problem(
            (*where, "cors"), f"is not the name of a policy in headers.cors; there are: {known}"
        )


def _tenant(
    where: Path, tenant: Tenant, headers: Headers, profiles: dict[str, Compiled]
) -> Iterator[Problem]:
    for name, overlay in tenant.csp.items():
        if name not in headers.csp:
            known = ", ".join(sorted(headers.csp))
            yield Problem((*where, name), f"is not a profile of headers.csp; there are: {known}")
        elif name in profiles:
            additions = headers.csp[name].allow_additions
            made, wrong = apply_overlay(profiles[name], overlay, additions, tenant.domain)
            yield from _located((*where, name), wrong)
            yield from _size((*where, name), made, headers)
