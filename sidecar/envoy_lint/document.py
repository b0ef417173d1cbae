"""What the rules look at, of an Envoy configuration in any of its forms.

A bootstrap file (YAML or JSON), the resources of a file for xDS, or the ``/config_dump`` of a
running Envoy: listeners, clusters, routes and the admin port, each with its place in the document.
"""

from collections.abc import Iterator
from functools import cached_property

from sidecar.envoy_lint.manager import Manager, check_settings, managers_of
from sidecar.envoy_lint.node import Node

PURPOSE = "x-septem-purpose"


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
            manager for listener in listeners for manager in managers_of(listener, named)
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
