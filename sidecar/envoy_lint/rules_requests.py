"""Rules about requests: their paths, whose they are, and how long they may take."""

from collections.abc import Iterator

from sidecar.envoy_lint.finding import Found, Inspected, Rule, RuleSeverity
from sidecar.envoy_lint.manager import AUTHZ_ROUTE, Manager, check_settings
from sidecar.headers.tenant import TRUSTED

_DEFAULT_ROUTE_SECONDS = 15.0
_MAX_HEADERS_KB = 60


def _paths(inspected: Inspected) -> Iterator[Found]:
    for manager in _to_applications(inspected):
        for name in ("normalize_path", "merge_slashes"):
            if not manager.node[name].is_true:
                yield manager.node[name], f"{manager.name}: {name} is not true"
        action = manager.node["path_with_escaped_slashes_action"]
        if action.text != "REJECT_REQUEST":
            said = action.text or "missing"
            yield action, f"{manager.name}: path_with_escaped_slashes_action is {said}"


def _underscores(inspected: Inspected) -> Iterator[Found]:
    for manager in _to_applications(inspected):
        action = manager.node.at("common_http_protocol_options", "headers_with_underscores_action")
        if action.text not in {"REJECT_REQUEST", "DROP_HEADER"}:
            said = action.text or "missing"
            yield action, f"{manager.name}: headers_with_underscores_action is {said}"


def _addresses(inspected: Inspected) -> Iterator[Found]:
    for manager in _to_applications(inspected):
        node = manager.node
        if not node["use_remote_address"].is_true and not list(
            node["original_ip_detection_extensions"].each()
        ):
            yield node["use_remote_address"], f"{manager.name}: use_remote_address is not true"
        if node["skip_xff_append"].is_true:
            yield node["skip_xff_append"], f"{manager.name}: skip_xff_append is true"
        if node["preserve_external_request_id"].is_true:
            said = f"{manager.name}: preserve_external_request_id takes the ids that clients choose"
            yield node["preserve_external_request_id"], said


def _slow_clients(inspected: Inspected) -> Iterator[Found]:
    for manager in inspected.envoy.checked:
        node = manager.node
        for name in ("request_headers_timeout", "request_timeout"):
            if not node[name].seconds:
                yield node[name], f"{manager.name}: {name} is {node[name].text or 'missing'}"
        idle = node["stream_idle_timeout"]
        if idle and idle.seconds == 0:
            yield idle, f"{manager.name}: stream_idle_timeout is 0s"
        largest = node["max_request_headers_kb"].number
        if (largest is None or largest < _MAX_HEADERS_KB) and manager.leads_somewhere:
            said = (
                f"{manager.name}: max_request_headers_kb is below {_MAX_HEADERS_KB}: Envoy "
                "answers in place of the sidecar, without a reason"
            )
            yield node["max_request_headers_kb"], said


def _streams(inspected: Inspected) -> Iterator[Found]:
    for manager in _to_applications(inspected):
        for route in manager.routes():
            if not route.clusters or not manager.is_checked(route):
                continue
            timeout = route.node["route"]["timeout"]
            seconds = timeout.seconds if timeout else _DEFAULT_ROUTE_SECONDS
            if seconds:
                said = f"{seconds:g} s" if timeout else f"missing, which means {seconds:g} s"
                yield (
                    route.node["route"],
                    (f"{manager.name}: the timeout of a route to {route.clusters[0]} is {said}"),
                )


def _stream_ends(inspected: Inspected) -> Iterator[Found]:
    """Yield what keeps ``end_streams_with_token`` from ending a stream."""
    sidecar = inspected.sidecar
    if sidecar is None or not any(route.end_streams_with_token for route in sidecar.routes):
        return
    for manager in _to_applications(inspected):
        settings = check_settings(manager)
        names = {each.text for each in settings["clear_route_cache_headers"].each()}
        clears = settings["clear_route_cache"].is_true
        if not clears or (names and "grpc-timeout" not in names):
            yield settings, f"{manager.name}: the route is not chosen again for grpc-timeout"
        for route in manager.routes():
            bound = route.node.at("route", "max_stream_duration", "grpc_timeout_header_max")
            if route.clusters and manager.is_checked(route) and not bound.seconds:
                said = "has no grpc_timeout_header_max"
                yield bound, f"{manager.name}: a route to {route.clusters[0]} {said}"


def _routes_on_names(inspected: Inspected) -> Iterator[Found]:
    for manager in inspected.envoy.checked:
        clears = check_settings(manager)["clear_route_cache"].is_true
        for route in manager.routes():
            for each in route.node["match"]["headers"].each():
                name = each["name"].text.lower()
                if name not in TRUSTED:
                    continue
                if clears:
                    what = (
                        "clear_route_cache chooses the route again, by other rules than the Check's"
                    )
                else:
                    what = "the header is not there yet when the route is chosen, or is a client's"
                yield each, f"{manager.name}: a route matches on {name}: {what}"


def _forwarded(inspected: Inspected) -> Iterator[Found]:
    for manager in _to_applications(inspected):
        if manager.is_between_services:
            continue
        mutations = [
            each
            for filter_ in manager.before_check
            for each in filter_.at("typed_config", "mutations", "request_mutations").each()
        ]
        written = {
            each.at("append", "header", "key").text.lower()
            for each in mutations
            if each["append"]["append_action"].text == "OVERWRITE_IF_EXISTS_OR_ADD"
        }
        removed = {each["remove"].text.lower() for each in mutations}
        if "x-forwarded-for" not in written | removed:
            said = f"{manager.name}: x-forwarded-for reaches the application as the client began it"
            yield manager.node["http_filters"], said


def _per_route(inspected: Inspected) -> Iterator[Found]:
    """Yield overrides of ext_authz under a name that no filter of the manager has."""
    for manager in inspected.envoy.managers:
        names = {each["name"].text for each in manager.filters}
        for route in manager.routes():
            for name, override in route.own.members():
                if override.kind.endswith(AUTHZ_ROUTE) and name not in names:
                    yield override, f"{manager.name}: no HTTP filter is called {name}"


def _to_applications(inspected: Inspected) -> Iterator[Manager]:
    """Yield the managers that check requests and lead somewhere with them."""
    return (each for each in inspected.envoy.checked if each.leads_somewhere)


RULES = (
    Rule(
        "path-normalization", RuleSeverity.ERROR,
        "Envoy and the application read a path in two ways, and the sidecar denies more than "
        "it must.",
        "normalize_path: true, merge_slashes: true, path_with_escaped_slashes_action: "
        "REJECT_REQUEST",
        _paths,
    ),
    Rule(
        "underscores", RuleSeverity.ERROR,
        "A server of CGI's kind takes x_tenant_id for x-tenant-id.",
        "common_http_protocol_options: {headers_with_underscores_action: REJECT_REQUEST}",
        _underscores,
    ),
    Rule(
        "client-address", RuleSeverity.ERROR,
        "Limits by address, the audit log and the application believe an address that the "
        "client wrote.",
        "use_remote_address: true, with xff_num_trusted_hops for each trusted proxy before Envoy",
        _addresses,
    ),
    Rule(
        "forwarded-for", RuleSeverity.WARNING,
        "Most frameworks read the first address of the list, which the client wrote.",
        "Overwrite it, as the first filter of envoy/edge.yaml does.",
        _forwarded,
    ),
    Rule(
        "slow-clients", RuleSeverity.WARNING,
        "A client that sends a byte now and then holds its request for ever.",
        "request_headers_timeout: 10s, request_timeout: 300s, stream_idle_timeout: 300s, "
        "max_request_headers_kb: 60",
        _slow_clients,
    ),
    Rule(
        "stream-cut", RuleSeverity.WARNING,
        "The timeout counts to the end of the response: it cuts downloads and server-sent events.",
        "timeout: 0s, with retry_policy: {per_try_timeout: 30s} for responses that do not begin",
        _streams,
    ),
    Rule(
        "stream-end", RuleSeverity.ERROR,
        "A stream outlives its token: end_streams_with_token ends nothing.",
        "clear_route_cache: true, clear_route_cache_headers: [grpc-timeout] in ext_authz, and "
        "max_stream_duration: {max_stream_duration: …, grpc_timeout_header_max: …} in the route",
        _stream_ends,
    ),
    Rule(
        "route-on-trusted-name", RuleSeverity.ERROR,
        "The request is decided as one route's and handled as another's.",
        "Match on path and host; let the application read the tenant headers.",
        _routes_on_names,
    ),
    Rule(
        "override-unnamed", RuleSeverity.ERROR,
        "Envoy looks for a filter's settings under the filter's name: these are nobody's.",
        "Write the override under the filter's own name.",
        _per_route,
    ),
)  # fmt: skip
