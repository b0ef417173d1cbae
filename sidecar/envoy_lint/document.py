"""What the rules look at, of an Envoy configuration in any of its forms.

A bootstrap file (YAML or JSON), the resources of a file for xDS, or the ``/config_dump`` of a
running Envoy: listeners, clusters, routes and the admin port, each with its place in the document.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

from sidecar.envoy_lint.node import Node

MANAGER = "HttpConnectionManager"
AUTHZ = "ext_authz.v3.ExtAuthz"
AUTHZ_ROUTE = "ext_authz.v3.ExtAuthzPerRoute"
DYNAMIC_MODULE = "dynamic_modules.v3.DynamicModuleFilter"
DECISION_CACHE = "septem.decision_cache"
DISABLING = "config.route.v3.FilterConfig"
PURPOSE = "x-septem-purpose"


class EnvoyRoute(NamedTuple):
    """One route of a manager, with what is above it."""

    host: Node
    node: Node
    levels: tuple[Node, Node, Node]
    """``typed_per_filter_config`` of the route configuration, the virtual host and the route."""

    @property
    def clusters(self) -> Sequence[str]:
        """The clusters it leads to; empty for a redirect or a reply of Envoy's own."""
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
                for node in host["routes"].each():
                    above = (config, host, node)
                    levels = tuple(each["typed_per_filter_config"] for each in above)
                    yield EnvoyRoute(host, node, (levels[0], levels[1], levels[2]))

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


class EnvoyDocument:
    """The parts of one document that rules look at."""

    def __init__(self, root: Node) -> None:
        self.root = root
        listeners, clusters, route_configs = [], [], []
        for node in _resources(root):
            match node.kind.rpartition(".")[2]:
                case "Listener":
                    listeners.append(node)
                case "Cluster":
                    clusters.append(node)
                case "RouteConfiguration":
                    route_configs.append(node)
        static = _bootstrap(root)["static_resources"]
        if not _is_dump(root):
            listeners += static["listeners"].each()
            clusters += static["clusters"].each()
        self.listeners = listeners
        self.clusters = {node["name"].text: node for node in clusters}
        self.admin = _bootstrap(root)["admin"]
        named = {node["name"].text: node for node in route_configs}
        self.managers = [
            manager for listener in listeners for manager in _managers(listener, named)
        ]

    @property
    def is_empty(self) -> bool:
        """Whether nothing of Envoy's was found."""
        return not (self.listeners or self.clusters or self.admin)

    @cached_property
    def checked(self) -> list[Manager]:
        """The managers that ask the sidecar."""
        return [each for each in self.managers if each.check is not None]

    def cluster_of(self, grpc_service: Node) -> Node | None:
        """Return the cluster that a ``grpc_service`` names; ``None`` if it is not shown."""
        return self.clusters.get(grpc_service.at("envoy_grpc", "cluster_name").text)

    @cached_property
    def check_clusters(self) -> dict[str, Node]:
        """The clusters of the sidecar's Checks, by name."""
        found = {}
        for manager in self.checked:
            service = check_settings(manager)["grpc_service"]
            if (cluster := self.cluster_of(service)) is not None:
                found[cluster["name"].text] = cluster
        return found

    @cached_property
    def secret_clusters(self) -> dict[str, Node]:
        """The clusters from which secrets come (SDS), by name."""
        found = {}
        ads = _bootstrap(self.root).at("dynamic_resources", "ads_config")
        asked = list(self.secret_sources())
        sources = [node["api_config_source"] for node in asked]
        if any(node["ads"].value is not None for node in asked):
            sources.append(ads)
        for source in sources:
            for service in source["grpc_services"].each():
                if (cluster := self.cluster_of(service)) is not None:
                    found[cluster["name"].text] = cluster
        return found

    def secret_sources(self) -> Iterator[Node]:
        """Yield the ``ConfigSource`` of every secret that a listener or a cluster asks for."""
        for part in (*self.listeners, *self.clusters.values()):
            for node in part.walk():
                if node["sds_config"]:
                    yield node["sds_config"]
                elif selects_certificates(node):
                    yield node["config_source"]


def is_check(filter_: Node) -> bool:
    """Tell whether an HTTP filter is ``ext_authz``."""
    return filter_["typed_config"].kind.endswith(AUTHZ)


def check_settings(manager: Manager) -> Node:
    """Return the settings of a manager's ``ext_authz``."""
    check = manager.check
    return Node(None) if check is None else check["typed_config"]


def selects_certificates(node: Node) -> bool:
    """Tell whether a message selects certificates by the name of a handshake."""
    return node.kind.endswith("cert_selectors.on_demand_secret.v3.Config")


def is_on_demand(node: Node) -> bool:
    """Tell whether a message selects any of the certificates that are served on demand.

    One that says what it is for is given those of a CA's challenge (tls-alpn-01), and no other.
    """
    if not selects_certificates(node):
        return False
    services = node.at("config_source", "api_config_source", "grpc_services")
    said = [each for service in services.each() for each in service.walk()]
    return not any(each["key"].text == PURPOSE and each["value"].text for each in said)


def is_decision_cache(filter_: Node) -> bool:
    """Tell whether an HTTP filter is our module that repeats answers."""
    settings = filter_["typed_config"]
    return settings.kind.endswith(DYNAMIC_MODULE) and settings["filter_name"].text == DECISION_CACHE


def endpoints(cluster: Node) -> Iterator[tuple[str, Node]]:
    """Yield the addresses of a cluster as the sidecar writes them: host:port or unix:/path."""
    for group in cluster.at("load_assignment", "endpoints").each():
        for each in group["lb_endpoints"].each():
            yield address_of(each.at("endpoint", "address")), each


def address_of(node: Node) -> str:
    """Return an Envoy address as ``host:port`` or ``unix:/path``; empty for another kind."""
    if path := node.at("pipe", "path").text:
        return f"unix:{path}"
    address = node["socket_address"]
    port = address["port_value"].number
    host = address["address"].text
    if not host or port is None:
        return ""
    return f"[{host}]:{port:.0f}" if ":" in host else f"{host}:{port:.0f}"


def _is_dump(root: Node) -> bool:
    return bool(root["configs"])


def _bootstrap(root: Node) -> Node:
    for each in root["configs"].each():
        if each.kind.endswith("BootstrapConfigDump"):
            return each["bootstrap"]
    return root


def _resources(root: Node) -> Iterator[Node]:
    """Yield typed resources: of a file for xDS, or of a dump, static and active ones."""
    yield from root["resources"].each()
    for section in root["configs"].each():
        for list_name, steps in (
            ("static_listeners", ("listener",)),
            ("dynamic_listeners", ("active_state", "listener")),
            ("static_clusters", ("cluster",)),
            ("dynamic_active_clusters", ("cluster",)),
            ("static_route_configs", ("route_config",)),
            ("dynamic_route_configs", ("route_config",)),
        ):
            for each in section[list_name].each():
                yield each.at(*steps)


def _managers(listener: Node, named: dict[str, Node]) -> Iterator[Manager]:
    for chain in (*listener["filter_chains"].each(), listener["default_filter_chain"]):
        for each in chain["filters"].each():
            node = each["typed_config"]
            if not node.kind.endswith(MANAGER):
                continue
            # Those written where they are used have no name, and so all the same in a dump.
            shown = node["route_config"]
            if name := node.at("rds", "route_config_name").text:
                shown = named.get(name, Node(None))
            configs = (shown,) if shown else ()
            yield Manager(node, listener, chain, configs, not configs)
