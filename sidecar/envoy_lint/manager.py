"""HTTP connection managers, their filters, and the routes that can be seen of them."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sidecar.envoy_lint.node import Node

MANAGER = "HttpConnectionManager"
AUTHZ = "ext_authz.v3.ExtAuthz"
AUTHZ_ROUTE = "ext_authz.v3.ExtAuthzPerRoute"
DYNAMIC_MODULE = "dynamic_modules.v3.DynamicModuleFilter"
DECISION_CACHE = "septem.decision_cache"
DISABLING = "config.route.v3.FilterConfig"


class EnvoyRoute(NamedTuple):
    """One route of a manager, with what is above it."""

    host: Node
    node: Node
    levels: tuple[Node, ...]
    """``typed_per_filter_config`` of the route configuration, the virtual host and the route; and
    of one of its weighted clusters, where that has some of its own."""
    weighted: Node = Node(None)
    """That cluster."""

    @property
    def own(self) -> Node:
        """What the route itself overrides."""
        return self.levels[2]

    @property
    def clusters(self) -> Sequence[str]:
        """The clusters it leads to; empty for a redirect or a reply of Envoy's own."""
        if self.weighted:
            return [self.weighted["name"].text]
        action = self.node["route"]
        weighted = action.at("weighted_clusters", "clusters")
        names = [action["cluster"].text, *(each["name"].text for each in weighted.each())]
        header = action["cluster_header"].text
        return [name for name in (*names, header and f"(header {header})") if name]


class Manager(NamedTuple):
    """One HTTP connection manager, its listener, and the routes that can be seen."""

    node: Node
    listener: Node
    chain: Node
    route_configs: tuple[Node, ...]
    routes_elsewhere: bool
    """Whether routes come from where this document does not show them (RDS)."""

    @property
    def name(self) -> str:
        """How messages call it."""
        return self.node["stat_prefix"].text or self.listener["name"].text or "a manager"

    @property
    def filters(self) -> list[Node]:
        """Its HTTP filters, in their order."""
        return list(self.node["http_filters"].each())

    @property
    def check(self) -> Node | None:
        """The filter that asks the sidecar."""
        return next((each for each in self.filters if is_check(each)), None)

    @property
    def checks(self) -> list[Node]:
        """Every ``ext_authz``: the sidecar's, and others."""
        return [each for each in self.filters if is_check(each)]

    @property
    def before_check(self) -> list[Node]:
        """The filters before it; all of them where there is none."""
        filters = self.filters
        place = next((at for at, each in enumerate(filters) if is_check(each)), len(filters))
        return filters[:place]

    @property
    def after_check(self) -> list[Node]:
        """The filters behind it."""
        return self.filters[len(self.before_check) + 1 :]

    @property
    def is_between_services(self) -> bool:
        """Whether clients are services of the platform: they show a certificate."""
        socket = self.chain.at("transport_socket", "typed_config")
        return socket["require_client_certificate"].is_true

    @property
    def leads_somewhere(self) -> bool:
        """Whether checked requests go on to a cluster, and are not all answered by Envoy."""
        return self.routes_elsewhere or any(
            route.clusters and self.is_checked(route) for route in self.routes()
        )

    @property
    def is_secure(self) -> bool:
        """Whether its filter chain speaks TLS."""
        return bool(self.chain["transport_socket"])

    def routes(self) -> Iterator[EnvoyRoute]:
        """Yield every route that this document shows."""
        for config in self.route_configs:
            for host in config["virtual_hosts"].each():
                for node in routes_of(host):
                    above = (config, host, node)
                    levels = tuple(each["typed_per_filter_config"] for each in above)
                    yield EnvoyRoute(host, node, levels)
                    for each in node.at("route", "weighted_clusters", "clusters").each():
                        if own := each["typed_per_filter_config"]:
                            yield EnvoyRoute(host, node, (*levels, own), each)

    def is_checked(self, route: EnvoyRoute) -> bool:
        """Tell whether requests of a route are checked. The most specific level decides."""
        check = self.check
        if check is None:
            return False
        disabled = check["disabled"].is_true
        for level in route.levels:
            override = level[check["name"].text]
            if not override:
                continue
            if override.kind.endswith(DISABLING):
                disabled = override["disabled"].is_true
                override = override["config"]
            if override.kind.endswith(AUTHZ_ROUTE):
                disabled = override["disabled"].is_true
        return not disabled


def is_check(filter_: Node) -> bool:
    """Tell whether an HTTP filter is ``ext_authz``."""
    return filter_["typed_config"].kind.endswith(AUTHZ)


def check_settings(manager: Manager) -> Node:
    """Return the settings of a manager's ``ext_authz``."""
    check = manager.check
    return Node(None) if check is None else check["typed_config"]


def is_decision_cache(filter_: Node) -> bool:
    """Tell whether an HTTP filter is our module that repeats answers."""
    settings = filter_["typed_config"]
    return settings.kind.endswith(DYNAMIC_MODULE) and settings["filter_name"].text == DECISION_CACHE


def managers_of(listener: Node, named: dict[str, Node]) -> Iterator[Manager]:
    """Yield a listener's managers; ``named`` are the route configurations that have a name."""
    for chain in (*listener["filter_chains"].each(), listener["default_filter_chain"]):
        for each in chain["filters"].each():
            node = each["typed_config"]
            if not node.kind.endswith(MANAGER):
                continue
            configs = tuple(filter(None, _route_configs(node, named)))
            yield Manager(node, listener, chain, configs, not configs)


def _route_configs(node: Node, named: dict[str, Node]) -> Iterator[Node]:
    """Yield the route configurations of a manager: its own, one by name, or one a scope."""
    # Those written where they are used have no name, and so all the same in a dump.
    name = node.at("rds", "route_config_name").text
    yield named.get(name, Node(None)) if name else node["route_config"]
    scopes = node.at("scoped_routes", "scoped_route_configurations_list")
    for each in scopes["scoped_route_configurations"].each():
        yield each["route_configuration"]
        yield named.get(each["route_configuration_name"].text, Node(None))


def routes_of(host: Node) -> Iterator[Node]:
    """Yield the routes of a virtual host: in its list, or in its tree of matchers."""
    yield from host["routes"].each()
    for node in host["matcher"].walk():
        match node.kind:
            case "envoy.config.route.v3.Route":
                yield node
            case "envoy.config.route.v3.RouteList":
                yield from node["routes"].each()
