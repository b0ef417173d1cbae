"""Rules about the other HTTP filters: which stand before the Check, and which names they handle."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sidecar.config.envoy_needs import certificate_routes
from sidecar.envoy_lint.finding import Found, Inspected, Rule, RuleSeverity
from sidecar.envoy_lint.manager import Manager, is_decision_cache, routes_of
from sidecar.envoy_lint.node import Node
from sidecar.headers.envoy_check import (
    client_problems,
    host_problems,
    name_problems,
    upgrade_problems,
)
from sidecar.headers.tenant import TRUSTED

ANSWERING: Mapping[str, str] = {
    "cors.v3.Cors": "answers preflights itself, by rules that the sidecar does not know",
    "health_check.v3.HealthCheck": "answers its paths itself",
    "fault.v3.HTTPFault": "answers, or delays, by headers that clients may send",
    "lua.v3.Lua": "runs a script, which may answer or change what is decided on",
    "wasm.v3.Wasm": "runs a program, which may answer or change what is decided on",
    "golang.v3alpha.Config": "runs a program, which may answer or change what is decided on",
    "ext_proc.v3.ExternalProcessor": "asks a server that may answer or change the request",
    "oauth2.v3.OAuth2": "answers, and sets Authorization from a cookie",
    "jwt_authn.v3.JwtAuthentication": "forwards claims in headers, and passes what it does not "
    "require",
    "cache.v3.CacheConfig": "answers from a cache, whoever asks",
    "cache_v2.v3.CacheV2Config": "answers from a cache, whoever asks",
    "router.v3.Router": "ends the chain: nothing behind it runs",
    "composite.v3.Composite": "chooses a filter by the request",
    "decompressor.v3.Decompressor": "changes the body that is checked",
    "grpc_json_transcoder.v3.GrpcJsonTranscoder": "changes method and path before they are "
    "decided on",
    "stateful_session.v3.StatefulSession": "chooses the host by a cookie before the Check",
    "credential_injector.v3.CredentialInjector": "sets the credential that the sidecar verifies",
}  # fmt: skip
"""Filters that answer for the sidecar, or let a client change what is decided on."""
HARMLESS = (
    "header_mutation.v3.HeaderMutation",
    "rbac.v3.RBAC",
    "buffer.v3.Buffer",
    "local_ratelimit.v3.LocalRateLimit",
    "ratelimit.v3.RateLimit",
    "compressor.v3.Compressor",
    "admission_control.v3.AdmissionControl",
    "adaptive_concurrency.v3.AdaptiveConcurrency",
    "bandwidth_limit.v3.BandwidthLimit",
    "csrf.v3.CsrfPolicy",
    "header_to_metadata.v3.Config",
    "set_metadata.v3.Config",
    "set_filter_state.v3.Config",
    "ip_tagging.v3.IPTagging",
    "geoip.v3.Geoip",
    "grpc_stats.v3.FilterConfig",
    "tap.v3.Tap",
    "on_demand.v3.OnDemand",
    "stats.v3.Config",
)
"""Filters that refuse, count or note, and change nothing that is decided on."""
_MUTATION = "header_mutation.v3.HeaderMutation"
_RATE_LIMITS = ("local_ratelimit.v3.LocalRateLimit", "ratelimit.v3.RateLimit")

_JWT, _LUA = "jwt_authn.v3.JwtAuthentication", "lua.v3.Lua"
_WRITES = re.compile(r":\s*(?:add|replace|remove)\s*\(")


def _before(inspected: Inspected) -> Iterator[Found]:
    for manager in inspected.envoy.checked:
        for each in manager.before_check:
            if each["disabled"].is_true:
                continue
            kind = each["typed_config"].kind
            why = next((why for end, why in ANSWERING.items() if kind.endswith(end)), "")
            if why:
                yield each, f"{_name(each)} stands before the Check: it {why}"


def _unknown_before(inspected: Inspected) -> Iterator[Found]:
    for manager in inspected.envoy.checked:
        for each in manager.before_check:
            settings = each["typed_config"]
            known = (*HARMLESS, *ANSWERING)
            if not is_decision_cache(each) and not any(
                settings.kind.endswith(end) for end in known
            ):
                yield each, f"{_name(each)} stands before the Check, and can't be judged"


def _name(filter_: Node) -> str:
    return filter_["name"].text or filter_["typed_config"].kind or "a filter"


def _chosen_buckets(inspected: Inspected) -> Iterator[Found]:
    for manager in inspected.envoy.checked:
        limits = [
            each
            for each in manager.before_check
            if any(each["typed_config"].kind.endswith(kind) for kind in _RATE_LIMITS)
        ]
        if not limits:
            continue
        for part in (*limits, *manager.route_configs):
            for node in part.walk():
                name = node.at("request_headers", "header_name").text.lower()
                if name and not name.startswith(":"):
                    said = f"a rate limit before the Check counts by the client's own {name}"
                    yield node["request_headers"], said


def _first(inspected: Inspected) -> Iterator[Found]:
    for manager in inspected.envoy.checked:
        filters = manager.filters
        if _leads_anywhere(manager) and not filters[0]["typed_config"].kind.endswith(_MUTATION):
            yield filters[0], f"{manager.name}: the first HTTP filter is {_name(filters[0])}"


def _leads_anywhere(manager: Manager) -> bool:
    return manager.routes_elsewhere or any(route.clusters for route in manager.routes())


def _names(inspected: Inspected) -> Iterator[Found]:
    removed: tuple[str, ...] = ()
    kept: frozenset[str] = frozenset()
    by_routes: frozenset[str] = frozenset()
    if inspected.sidecar is not None:
        headers = inspected.sidecar.headers
        removed, kept = headers.remove_from_request, frozenset(headers.keep_overrides)
        routes = inspected.sidecar.routes
        by_routes = frozenset(name for route in routes for name in route.keep_overrides)
    yield from _of_each(inspected, lambda raw: name_problems(raw, removed, kept, by_routes))


def _upgrades(inspected: Inspected) -> Iterator[Found]:
    yield from _of_each(inspected, upgrade_problems)


def _hosts(inspected: Inspected) -> Iterator[Found]:
    yield from _of_each(inspected, host_problems)


def _clients(inspected: Inspected) -> Iterator[Found]:
    names = () if inspected.sidecar is None else certificate_routes(inspected.sidecar)
    if names:
        yield from _of_each(inspected, lambda raw: client_problems(raw, names))


def _of_each(inspected: Inspected, judge: Callable[[Any], Iterator[str]]) -> Iterator[Found]:
    """Yield what a judge of raw managers says of each that leads to an application."""
    for manager in inspected.envoy.checked:
        if not _leads_anywhere(manager):
            continue
        where = manager.node["http_filters"]
        for raw in _raws(manager):
            try:
                problems = list(judge(raw))
            except (AttributeError, IndexError, KeyError, TypeError):
                problems = ["it is nothing that Envoy would take, and can't be judged"]
            for problem in problems:
                yield where, f"{manager.name}: {problem}"


def _raws(manager: Manager) -> Iterator[Any]:
    """Yield a manager as its YAML with protobuf names, once with each of its configurations.

    Routes are in it wherever they are: by RDS, in a scope, in a tree of matchers.
    """
    raw = manager.node.plain()
    for config in manager.route_configs:
        shown = config.plain()
        hosts = zip(config["virtual_hosts"].each(), shown.get("virtual_hosts") or (), strict=False)
        for host, plain in hosts:
            if host["matcher"]:
                plain["routes"] = [each.plain() for each in routes_of(host)]
        yield {**raw, "route_config": shown}
    if not manager.route_configs:
        yield raw


def _set_behind(inspected: Inspected) -> Iterator[Found]:
    """Yield what sets a trusted name behind the Check, or in a route."""
    for manager in inspected.envoy.checked:
        parts = [node for part in manager.route_configs for node in part.walk()]
        for node in parts:
            for each in node["request_headers_to_add"].each():
                yield from _trusted(each["header"]["key"], "a route sets")
            for each in node["request_headers_to_remove"].each():
                yield from _trusted(each, "a route removes")
        for filter_ in (*manager.after_check, *parts):
            mutations = filter_["typed_config"]["mutations"] or filter_["mutations"]
            for each in mutations["request_mutations"].each():
                yield from _trusted(each.at("append", "header", "key"), "a filter sets")
        for filter_ in manager.after_check:
            yield from _set_by_code(filter_["typed_config"])


def _set_by_code(settings: Node) -> Iterator[Found]:
    """Yield where a filter of many words names a trusted header that it writes."""
    for node in settings.walk():
        for name in ("header_name", "forward_payload_header"):
            if settings.kind.endswith(_JWT):
                yield from _trusted(node[name], "jwt_authn sets")
        code = node["inline_string"]
        if settings.kind.endswith(_LUA):
            named = sorted(name for name in TRUSTED if name in code.text.lower())
            if named and _WRITES.search(code.text):
                yield code, f"a script of Lua names {named[0]}, which only the sidecar may set"


def _trusted(name: Node, who: str) -> Iterator[Found]:
    if name.text.lower() in TRUSTED:
        yield name, f"{who} {name.text.lower()}, which only the sidecar may set"


RULES = (
    Rule(
        "filter-before-check", RuleSeverity.ERROR,
        "What answers or changes a request before the Check does so for anybody.",
        "Move the filter behind envoy.filters.http.ext_authz, or leave it out; CORS is the "
        "sidecar's.",
        _before,
    ),
    Rule(
        "filter-unknown", RuleSeverity.WARNING,
        "Nobody has said whether this filter may answer, or change what is decided on.",
        "Move it behind envoy.filters.http.ext_authz unless it must come first.",
        _unknown_before,
    ),
    Rule(
        "bucket-by-header", RuleSeverity.ERROR,
        "A client that invents values has a new bucket for each request, or empties somebody "
        "else's.",
        "Count by remote_address there; by tenant or token in the sidecar's own limits.",
        _chosen_buckets,
    ),
    Rule(
        "names-first", RuleSeverity.ERROR,
        "Only the first filter is the last on the way out, and sees Envoy's own replies.",
        "Put header_mutation first, as `sidecar config envoy FILE` prints it.",
        _first,
    ),
    Rule(
        "names-reach-application", RuleSeverity.ERROR,
        "The application believes a header that the client wrote: another tenant, user, path "
        "or host.",
        "Paste the filters that `sidecar config envoy FILE` prints.",
        _names,
    ),
    Rule(
        "names-set-elsewhere", RuleSeverity.ERROR,
        "The tenant context is overwritten or taken away after the decision.",
        "Leave the trusted names to the sidecar.",
        _set_behind,
    ),
    Rule(
        "upgrade-connection", RuleSeverity.ERROR,
        "The next proxy removes what a client's Connection header names: the sidecar's headers.",
        "Copy the first route of envoy/edge.yaml into each virtual host.",
        _upgrades,
    ),
    Rule(
        "host-of-two-readings", RuleSeverity.ERROR,
        "Envoy takes one virtual host, and the sidecar decides on another.",
        "strip_any_host_port, strip_trailing_host_dot, and the filter septem.one_host of "
        "envoy/edge.yaml",
        _hosts,
    ),
    Rule(
        "client-certificate-withheld", RuleSeverity.ERROR,
        "Nobody passes a route with clients: Envoy sends one name, by which nobody is admitted.",
        "include_peer_certificate: true",
        _clients,
    ),
)  # fmt: skip
