"""Checks whether an Envoy configuration removes what must not reach the application.

It checks the listeners that call the sidecar: every HTTP connection manager with an
``ext_authz`` filter and a route to a cluster. Its ``header_mutation`` filters are evaluated
as Envoy evaluates them, route by route, over every spelling that some server equates.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from sidecar.config.envoy_needs import REQUEST_ID_NEED, Need, listed
from sidecar.config.overrides import OVERRIDES
from sidecar.headers.envoy_patterns import HOST_OF_TWO_READINGS, UPGRADE_CONNECTION
from sidecar.headers.tenant import TRUSTED

_MANAGER = "HttpConnectionManager"
_MUTATION = "header_mutation.v3.HeaderMutation"
_AUTHZ = "ext_authz.v3.ExtAuthz"
_RBAC = "rbac.v3.RBAC"
_STRIPS = ("strip_any_host_port", "strip_trailing_host_dot")
_DISABLED = "config.route.v3.FilterConfig"
_BYTES = "_.!#$%&'*+^`|~"
"""What a field name may hold beside letters, digits and ``-`` (RFC 9110 §5.6.2)."""
_SHOWN = 8
PARTS = ("request_mutations", "request_trailers_mutations")
Overrides = Mapping[str, Any]


def problems_of(
    document: Any,
    removed: Iterable[str] = (),
    kept: Collection[str] = (),
    kept_by_routes: Collection[str] = (),
) -> Iterator[str]:
    """Yield what an Envoy configuration (as read from its YAML) lets through.

    ``removed`` are the names of ``headers.remove_from_request``, ``kept`` the override
    headers that every route keeps, ``kept_by_routes`` those that some routes keep: Envoy's
    routes may let these through where they turn a filter off, to do it otherwise themselves.
    """
    managers = [each for each in _typed(document, _MANAGER) if _asks_the_sidecar(each)]
    targets = [each for each in managers if any(_routes(each))]
    if not targets:
        yield "no HTTP connection manager calls the sidecar (ext_authz) before an application"
    for manager in targets:
        where = str(manager.get("stat_prefix", "an HTTP connection manager"))
        if not _kind(manager["http_filters"][0]).endswith(_MUTATION):
            yield f"{where}: header_mutation must be the first HTTP filter"
        yield from (
            f"{where}: {each}"
            for each in (
                *name_problems(manager, removed, kept, kept_by_routes),
                *upgrade_problems(manager),
                *host_problems(manager),
            )
        )


def name_problems(
    manager: Any,
    removed: Iterable[str] = (),
    kept: Collection[str] = (),
    kept_by_routes: Collection[str] = (),
) -> Iterator[str]:
    """Yield the names that one HTTP connection manager lets through; see ``problems_of``."""
    filters = manager["http_filters"]
    names = (*TRUSTED, *removed)
    said = set()
    for levels in _different(_routes(manager), filters):
        own = any(_turns_off(each, filters) for each in levels)
        passing = {*kept, *kept_by_routes} if own else {*kept}
        overrides = [each.name for each in OVERRIDES if each.name not in passing]
        for part in PARTS:
            mutations = list(_mutations(filters, levels, part))
            said |= set(_let_through(part, mutations, names, "only the sidecar may set"))
            what = "applications would believe instead of the request itself"
            said |= set(_let_through(part, mutations, overrides, what))
    yield from sorted(said)


def sending_problems(
    document: Any, needs: Iterable[Need], certificate_routes: tuple[str, ...]
) -> Iterator[str]:
    """Yield what a decision needs and Envoy does not send (``sidecar.config.envoy_needs``)."""
    needed = tuple(needs)
    for manager in _typed(document, _MANAGER):
        if not any(_routes(manager)):
            continue  # it redirects, and answers challenges
        where = str(manager.get("stat_prefix", "an HTTP connection manager"))
        for settings in _check_settings(manager):
            for need in kept_back(settings, needed):
                whose = f" ({need.listed})" if need.routes else ""
                yield (
                    f"{where}: ext_authz's allowed_headers need {{exact: {need.header}}}: "
                    f"{need.reason}{whose}"
                )
        yield from (f"{where}: {each}" for each in client_problems(manager, certificate_routes))


def client_problems(manager: Any, certificate_routes: tuple[str, ...]) -> Iterator[str]:
    """Yield where a manager sends no client certificate, by which these routes decide."""
    for settings in _check_settings(manager):
        if certificate_routes and not settings.get("include_peer_certificate"):
            yield (
                "ext_authz needs include_peer_certificate: true, or nobody passes routes with "
                f"clients or bound to certificates ({listed(certificate_routes)})"
            )


def _check_settings(manager: Any) -> Iterator[Any]:
    for each in manager.get("http_filters", []):
        if _kind(each).endswith(_AUTHZ):
            yield each.get("typed_config", {})


def kept_back(settings: Any, needs: Iterable[Need]) -> Iterator[Need]:
    """Yield the headers that an ``ext_authz`` does not send, of those that are needed."""
    allowed, held_back = settings.get("allowed_headers"), settings.get("disallowed_headers")
    for need in needs:
        if (allowed is not None and not _is_listed(allowed, need.header)) or (
            held_back is not None and _is_listed(held_back, need.header)
        ):
            yield need


def _is_listed(matchers: Any, name: str) -> bool:
    """Tell whether a ``ListStringMatcher`` matches a header's name."""
    patterns = matchers.get("patterns") if isinstance(matchers, dict) else None
    listed_patterns = patterns if isinstance(patterns, list) else ()
    return any(isinstance(each, dict) and matches_name(each, name) for each in listed_patterns)


def withholds_request_ids(document: Any) -> bool:
    """Return whether Envoy keeps the ids back by which a denial is found in its own log."""
    return any(
        any(kept_back(each.get("typed_config", {}), (REQUEST_ID_NEED,)))
        for manager in _typed(document, _MANAGER)
        for each in manager.get("http_filters", [])
        if _kind(each).endswith(_AUTHZ)
    )


def spellings(name: str) -> Iterator[str]:
    """Yield a name, and spellings that some server folds to it: by each byte, and mixed."""
    yield name
    if "-" in name:
        yield from (name.replace("-", byte) for byte in _BYTES)
        yield name.replace("-", ".", 1)
        yield ".".join(name.rsplit("-", 1))


def _let_through(part: str, mutations: list[Any], names: Iterable[str], what: str) -> Iterator[str]:
    passing = [
        name
        for name in names
        if any(not any(_removes(each, one) for each in mutations) for one in spellings(name))
    ]
    if passing:
        more = f" and {len(passing) - _SHOWN} more" if passing[_SHOWN:] else ""
        yield f"{part} let {', '.join(passing[:_SHOWN])}{more} through, which {what}"


def _removes(mutation: Any, name: str) -> bool:
    if "remove" in mutation:
        return str(mutation["remove"]).lower() == name
    return matches_name(mutation.get("remove_on_match", {}).get("key_matcher", {}), name)


def matches_name(matcher: Any, name: str) -> bool:
    """Return whether Envoy's ``StringMatcher`` matches a name in lower case."""
    if isinstance(pattern := matcher.get("safe_regex"), dict):
        try:
            return re.fullmatch(str(pattern.get("regex", "")), name) is not None
        except re.error:
            return False
    given = {kind: text for kind, text in matcher.items() if isinstance(text, str) and text}
    if matcher.get("ignore_case") is True:
        given = {kind: text.lower() for kind, text in given.items()}
    return (
        given.get("exact") == name
        or ("prefix" in given and name.startswith(given["prefix"]))
        or ("suffix" in given and name.endswith(given["suffix"]))
        or ("contains" in given and given["contains"] in name)
    )


def _mutations(filters: list[Any], levels: Iterable[Overrides], part: str) -> Iterator[Any]:
    """Yield the mutations of the filters before the Check, for a route with these overrides.

    Of ``disabled`` the most specific level counts; mutations of every level are done.
    """
    for each in filters:
        if _kind(each).endswith(_AUTHZ):
            return
        if not _kind(each).endswith(_MUTATION):
            continue
        disabled = bool(each.get("disabled", False))
        own = []
        for level in levels:
            override = level.get(each["name"], {})
            if str(override.get("@type", "")).endswith(_DISABLED):
                disabled = bool(override.get("disabled", False))
            own += override.get("mutations", {}).get(part, [])
        if not disabled:
            yield from each["typed_config"].get("mutations", {}).get(part, [])
            yield from own


def upgrade_problems(manager: Any) -> Iterator[str]:
    """Yield the virtual hosts that accept upgrades and forward ``connection`` unchanged."""
    everywhere = bool(manager.get("upgrade_configs"))
    for host in manager.get("route_config", {}).get("virtual_hosts", []):
        routes = host.get("routes", [])
        own = any(each.get("route", {}).get("upgrade_configs") for each in routes)
        if (everywhere or own) and not _refuses_upgrades(routes[0]):
            yield (
                f"virtual host {host.get('name')} forwards an upgrade's Connection as it came, and "
                "the next proxy drops what that names: its first route must deny it, as in "
                "envoy/edge.yaml"
            )


def host_problems(manager: Any) -> Iterator[str]:
    """Yield what is wrong where several virtual hosts are chosen by more than the sidecar reads.

    Virtual hosts that come from elsewhere (RDS) can't be seen: they are taken for several.
    """
    config = manager.get("route_config")
    if config is not None and not config.get("virtual_hosts", [])[1:]:
        return
    missing = [name for name in _STRIPS if not manager.get(name)]
    if missing or not any(_refuses_hosts(each) for each in _before_the_check(manager)):
        what = " and ".join(missing) or "the filter septem.one_host of envoy/edge.yaml"
        yield (
            "there are several virtual hosts, and a port or a dot at the host's end leads to "
            f"another than the one that the sidecar decides on: {what} is missing"
        )


def _before_the_check(manager: Any) -> Iterator[Any]:
    for each in manager["http_filters"]:
        if _kind(each).endswith(_AUTHZ):
            return
        yield each


def _refuses_hosts(filter_: Any) -> bool:
    """Tell whether a filter denies a host of two readings, whoever asks."""
    rules = filter_.get("typed_config", {}).get("rules", {})
    matcher = {
        "name": ":authority",
        "string_match": {"safe_regex": {"regex": HOST_OF_TWO_READINGS}},
    }
    return (
        _kind(filter_).endswith(_RBAC)
        and not filter_.get("disabled", False)
        and rules.get("action") == "DENY"
        and any(
            {"header": matcher} in policy.get("permissions", [])
            and {"any": True} in policy.get("principals", [])
            and "condition" not in policy
            for policy in rules.get("policies", {}).values()
        )
    )


def _refuses_upgrades(route: Any) -> bool:
    match = route.get("match", {})
    return (
        "direct_response" in route
        and match.get("prefix") == "/"
        and match.get("headers")
        == [
            {"name": "upgrade", "present_match": True},
            {
                "name": "connection",
                "string_match": {"safe_regex": {"regex": UPGRADE_CONNECTION}},
                "invert_match": True,
            },
        ]
    )


def _turns_off(level: Overrides, filters: list[Any]) -> bool:
    names = {each["name"] for each in filters if _kind(each).endswith(_MUTATION)}
    return any(level[name].get("disabled", False) for name in names & level.keys())


def _routes(manager: Any) -> Iterator[tuple[Overrides, ...]]:
    """Yield what each route to a cluster overrides, from the least specific level to its own.

    Routes that come from elsewhere (RDS) can't be seen: they are taken to override nothing.
    """
    config = manager.get("route_config")
    if config is None:
        yield ({},)
        return
    for host in config.get("virtual_hosts", []):
        for route in host.get("routes", []):
            if "route" in route:
                yield tuple(e.get("typed_per_filter_config", {}) for e in (config, host, route))


def _different(
    routes: Iterable[tuple[Overrides, ...]], filters: list[Any]
) -> Iterator[tuple[Overrides, ...]]:
    """Yield routes without those that override the same as one before: most override nothing."""
    names = [each["name"] for each in filters if _kind(each).endswith(_MUTATION)]
    seen = set()
    for levels in routes:
        own = repr([level.get(name) for level in levels for name in names])
        if own not in seen:
            seen.add(own)
            yield levels


def _kind(filter_: Any) -> str:
    return str(filter_.get("typed_config", {}).get("@type", ""))


def _asks_the_sidecar(manager: Any) -> bool:
    return any(_kind(each).endswith(_AUTHZ) for each in manager.get("http_filters", []))


def _typed(value: Any, kind: str) -> Iterator[Any]:
    """Yield every typed configuration of a kind, at any depth."""
    if isinstance(value, dict):
        if str(value.get("@type", "")).endswith(kind):
            yield value
        for each in value.values():
            yield from _typed(each, kind)
    elif isinstance(value, list):
        for each in value:
            yield from _typed(each, kind)
