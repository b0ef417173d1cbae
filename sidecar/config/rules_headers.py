"""The rules of response headers: every policy is one that a browser reads as it is meant."""

from collections.abc import Iterable, Iterator

from sidecar.config.header_values import hsts_problems, origin_problem, permissions_problems
from sidecar.config.headers import CorsPolicy, CspDirectives, CspProfile, Headers
from sidecar.config.model import Config, RouteSettings, Tenant
from sidecar.config.overrides import OVERRIDE_NAMES
from sidecar.config.problem import Path, Problem
from sidecar.csp.language import SOURCE_LISTS, TENANT_DOMAIN, Policy, PolicyProblem, parse_policy
from sidecar.csp.language.overlay import apply_overlay

MAX_RESPONSE_HEADER_BYTES = 16_384
"""For a profile's headers on one response. An Envoy in front of this one takes 80 KiB of a
response's headers in all, the application's among them; other proxies take less."""
_LONGEST_DOMAIN = "x" * 253
_LONGEST_NONCE = "x" * 24
_OTHER_HEADER_BYTES = 1024
"""Names and values of the headers that are always short, with room."""
_IGNORED_WHEN_WATCHED = ("sandbox", "upgrade-insecure-requests")
"""What a browser passes over in a policy that is only watched (CSP3 §6.3.1, UIR §3.1)."""
_FORBIDDEN_METHODS = ("CONNECT", "TRACE", "TRACK")
_NEEDED = frozenset({"host", "content-length", "transfer-encoding", "connection", "upgrade", "te"})
"""What frames a request or says whose it is: Envoy removes none of these, or breaks."""
_TENANT_ORIGIN = f"https://{TENANT_DOMAIN}"

Compiled = tuple[tuple[Policy, ...], tuple[Policy, ...]]


def check_headers(config: Config) -> Iterator[Problem]:
    """Yield what is wrong with ``headers``, ``tenants[].csp`` and what routes say of them."""
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
    """Hold the names that are removed and kept against what they can mean."""
    where: Path = ("headers", "remove_from_request")
    for index, name in enumerate(config.headers.remove_from_request):
        if name in _NEEDED:
            yield Problem((*where, index), f"can't be {name}: a request is nothing without it")
    yield from _kept(("headers",), config.headers.keep_overrides)
    for index, route in enumerate(config.routes):
        yield from _kept(("routes", index), route.keep_overrides)


def _kept(where: Path, names: Iterable[str]) -> Iterator[Problem]:
    for index, name in enumerate(names):
        if name not in OVERRIDE_NAMES:
            listed = "docs/what-reaches-your-application.md lists them"
            message = f"{name} is none of the override headers, which alone may be kept; {listed}"
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
                yield Problem(path, "is passed over in a policy that is only watched")
    for index, directive in enumerate(profile.allow_additions):
        if directive not in SOURCE_LISTS:
            path = (*where, "allow_additions", index)
            yield Problem(path, f"{directive} is no directive that holds sources")
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
    """Hold what a profile sets, with the longest domain and a nonce, against the limit."""
    rendered = [
        policy.render(_LONGEST_DOMAIN, _LONGEST_NONCE) for kind in policies for policy in kind
    ]
    others = len(headers.hsts) + len(headers.permissions_policy) + _OTHER_HEADER_BYTES
    reports = headers.reports
    # What each policy says of where to report, and the header beside them.
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
        yield Problem((*where, "origins"), "* stands alone: the others would mean nothing")
    for index, origin in enumerate(origins):
        if origin not in {"*", _TENANT_ORIGIN} and (wrong := origin_problem(origin)):
            yield Problem((*where, "origins", index), f"{origin} {wrong}")
    for index, method in enumerate(policy.methods):
        if method in _FORBIDDEN_METHODS:
            yield Problem((*where, "methods", index), f"no browser sends {method} for a page")


def _route(
    where: Path, route: RouteSettings, headers: Headers, profiles: dict[str, Compiled]
) -> Iterator[Problem]:
    if route.csp not in headers.csp:
        known = ", ".join(sorted(headers.csp))
        yield Problem((*where, "csp"), f"names no profile of headers.csp; there are: {known}")
    elif route.nonce != "off" and route.csp in profiles:
        enforced, watched = profiles[route.csp]
        if not any(policy.has_nonce for policy in (*enforced, *watched)):
            message = f"no policy of headers.csp.{route.csp} has 'nonce-{{nonce}}' in it"
            yield Problem((*where, "nonce"), message)
    if route.cors is not None and route.cors not in headers.cors:
        known = ", ".join(sorted(headers.cors)) or "none"
        yield Problem((*where, "cors"), f"names no policy of headers.cors; there are: {known}")


def _tenant(
    where: Path, tenant: Tenant, headers: Headers, profiles: dict[str, Compiled]
) -> Iterator[Problem]:
    for name, overlay in tenant.csp.items():
        if name not in headers.csp:
            known = ", ".join(sorted(headers.csp))
            yield Problem((*where, name), f"is no profile of headers.csp; there are: {known}")
        elif name in profiles:
            additions = headers.csp[name].allow_additions
            made, wrong = apply_overlay(profiles[name], overlay, additions, tenant.domain)
            yield from _located((*where, name), wrong)
            yield from _size((*where, name), made, headers)
