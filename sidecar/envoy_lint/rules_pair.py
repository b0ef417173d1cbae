"""Rules about both files together: that both mean the same ports, names and sizes."""

from collections.abc import Iterator

from sidecar.config.endpoints import check_endpoints, other_listeners
from sidecar.config.envoy_needs import METHOD_NEED, needed_headers
from sidecar.config.network import reachable, share_a_port
from sidecar.envoy_lint.document import address_of, endpoints, is_on_demand
from sidecar.envoy_lint.finding import Found, Inspected, Rule, RuleSeverity
from sidecar.envoy_lint.manager import Manager, check_settings, routes_of
from sidecar.envoy_lint.node import Node
from sidecar.headers.envoy_check import kept_back

_BODY = "with_request_body"
_CORS = "access-control-allow-origin"


def _check_addresses(inspected: Inspected) -> Iterator[Found]:
    if inspected.sidecar is None:
        return
    expected = {reachable(each) for each in check_endpoints(inspected.sidecar.listen.authz)}
    for name, cluster in inspected.envoy.check_clusters.items():
        given = {reachable(address) for address, _ in endpoints(cluster) if address}
        if not given or any(address.endswith(":0") for address in expected):
            continue
        if missing := sorted(expected - given):
            said = (
                f"cluster {name} does not lead to {', '.join(missing)}, where the sidecar listens "
                f"(listen.authz, {len(expected)} worker{'s' if len(expected) > 1 else ''})"
            )
            yield cluster, said
        for address, node in endpoints(cluster):
            if address and reachable(address) not in expected and given & expected:
                said = f"cluster {name} leads to {address}, where no worker of this sidecar listens"
                yield node, said


def _secret_addresses(inspected: Inspected) -> Iterator[Found]:
    config = inspected.sidecar
    if config is None:
        return
    clusters = inspected.envoy.secret_clusters
    if clusters and config.listen.sds is None:
        for name, cluster in clusters.items():
            yield cluster, f"secrets come from cluster {name}, and the sidecar has no listen.sds"
        return
    for name, cluster in clusters.items():
        given = [address for address, _ in endpoints(cluster) if address]
        expected = config.listen.sds.address if config.listen.sds else ""
        if (
            given
            and not expected.endswith(":0")
            and reachable(expected) not in map(reachable, given)
        ):
            said = f"cluster {name} leads to {given[0]}, and listen.sds.address is {expected}"
            yield cluster, said


def _one_address(inspected: Inspected) -> Iterator[Found]:
    """Yield endpoints that two sidecar listeners, or two workers, would share."""
    for name, cluster in inspected.envoy.check_clusters.items():
        seen: set[str] = set()
        for address, node in endpoints(cluster):
            if address and address in seen:
                yield node, f"cluster {name} lists {address} twice"
            seen.add(address)


def _secret_names(inspected: Inspected) -> Iterator[Found]:
    config = inspected.sidecar
    if config is None:
        return
    known = {
        *(each.name for each in config.certificates),
        *(each.name for each in config.trust_bundles),
        *(each.name for each in config.session_ticket_keys),
        *(each.name for each in config.generic_secrets),
    }
    clusters = inspected.envoy.secret_clusters
    for part in (*inspected.envoy.listeners, *inspected.envoy.clusters.values()):
        for node in part.walk():
            name = node["name"]
            if node["sds_config"] and name.text and name.text not in known and clusters:
                yield name, f"the sidecar has no secret called {name.text}"


def _withheld(inspected: Inspected) -> Iterator[Found]:
    """Yield the headers that this configuration of the sidecar reads and Envoy keeps back."""
    if inspected.sidecar is None:
        return
    # Without :method nothing is decided, whatever the configuration: a rule of its own.
    needs = [each for each in needed_headers(inspected.sidecar) if each is not METHOD_NEED]
    for manager in inspected.envoy.checked:
        if not manager.is_secure and not any(route.clusters for route in manager.routes()):
            continue  # it redirects, and answers challenges
        settings = check_settings(manager)
        where = settings["allowed_headers"] or settings["disallowed_headers"]
        for need in kept_back(settings.plain(), needs):
            whose = f" ({need.listed})" if need.routes else ""
            yield where, f"{manager.name}: {need.header} is kept back: {need.reason}{whose}"


def _bodies(inspected: Inspected) -> Iterator[Found]:
    config = inspected.sidecar
    if config is None:
        return
    modules = any(route.module is not None for route in config.routes)
    logins = any(route.limits is not None and route.limits.login for route in config.routes)
    if not (modules or logins):
        return
    what = "modules are signed" if modules else "a login's account stands there"
    for manager in inspected.envoy.checked:
        if not any(route.clusters and manager.is_checked(route) for route in manager.routes()):
            continue
        settings = check_settings(manager)[_BODY]
        if not settings:
            yield (
                check_settings(manager),
                f"{manager.name}: bodies do not reach the sidecar ({what})",
            )
            continue
        for name, wanted in (("allow_partial_message", False), ("pack_as_bytes", True)):
            if settings[name].is_true is not wanted:
                yield settings, f"{manager.name}: {name} is not {str(wanted).lower()} ({what})"
        for own in _own_bodies(manager):
            if own["allow_partial_message"].is_true:
                yield own, f"{manager.name}: a route sends the beginning of bodies ({what})"


def _own_bodies(manager: Manager) -> Iterator[Node]:
    """Yield what routes and virtual hosts say of bodies themselves."""
    name = "" if manager.check is None else manager.check["name"].text
    for route in manager.routes():
        for level in route.levels:
            if own := level[name].at("check_settings", _BODY):
                yield own


def _peer_of_nobody(inspected: Inspected) -> Iterator[Found]:
    """Yield listeners for names on demand of a sidecar that has none, and the reverse."""
    if inspected.sidecar is None:
        return
    nodes = [node for part in inspected.envoy.listeners for node in part.walk()]
    asks = [node for node in nodes if is_on_demand(node)]
    if asks and inspected.sidecar.on_demand is None:
        yield asks[0], "it asks for certificates by name, and the sidecar has no on_demand"


def _same_ports(inspected: Inspected) -> Iterator[Found]:
    """Yield listeners of Envoy's on an address that the sidecar listens on."""
    config = inspected.sidecar
    if config is None:
        return
    listen = config.listen
    taken = dict.fromkeys(check_endpoints(listen.authz), "authz")
    taken |= {address: name for name, address in other_listeners(listen).items()}
    own = [*inspected.envoy.listeners, inspected.envoy.admin]
    own += [
        each for node in inspected.envoy.listeners for each in node["additional_addresses"].each()
    ]
    for node in own:
        address = address_of(node["address"])
        for each, owner in taken.items():
            if address and (each == address or share_a_port(each, address)):
                yield node["address"], f"Envoy listens on {address}, which is listen.{owner}'s"
                break


def _reports(inspected: Inspected) -> Iterator[Found]:
    config = inspected.sidecar
    if config is None or config.listen.reports is None:
        return
    wanted = reachable(config.listen.reports.address)
    given = {
        reachable(address)
        for cluster in inspected.envoy.clusters.values()
        for address, _ in endpoints(cluster)
    }
    if wanted not in given and inspected.envoy.clusters:
        yield inspected.envoy.root, f"no cluster leads to {wanted} (listen.reports)"


def _cors_of_the_application(inspected: Inspected) -> Iterator[Found]:
    """Yield managers that let an application say who may read across origins."""
    if inspected.sidecar is None or not inspected.sidecar.headers.cors:
        return
    for manager in inspected.envoy.checked:
        for config in manager.route_configs:
            spoken = [
                node
                for host in config["virtual_hosts"].each()
                for node in routes_of(host)
                if node["route"] and not any(map(_takes_cors, (config, host, node)))
            ]
            if spoken:
                said = (
                    f"{manager.name}: what the application says in {_CORS} reaches browsers,"
                    " beside headers.cors"
                )
                yield spoken[0], said


def _takes_cors(level: Node) -> bool:
    removed = level["response_headers_to_remove"]
    return any(each.text.lower() == _CORS for each in removed.each())


RULES = (
    Rule(
        "check-address", RuleSeverity.ERROR,
        "Checks do not arrive, or all at one worker.",
        "One endpoint in the cluster for each worker: `sidecar config show` lists listen.authz.",
        _check_addresses,
    ),
    Rule(
        "endpoint-twice", RuleSeverity.ERROR,
        "Several workers have an address each: one that is listed twice gets twice the Checks.",
        "List each address once.",
        _one_address,
    ),
    Rule(
        "secrets-address", RuleSeverity.ERROR,
        "Envoy gets no certificate, and its listeners do not begin to listen.",
        "The cluster's endpoint is listen.sds.address.",
        _secret_addresses,
    ),
    Rule(
        "secret-unknown", RuleSeverity.ERROR,
        "Envoy waits for a secret that nobody serves: the listener does not begin to listen.",
        "Use a name of certificates, trust_bundles, session_ticket_keys or generic_secrets.",
        _secret_names,
    ),
    Rule(
        "header-withheld", RuleSeverity.ERROR,
        "The sidecar decides without a header that its configuration reads.",
        "Add {exact: NAME} to ext_authz's allowed_headers.",
        _withheld,
    ),
    Rule(
        "body-withheld", RuleSeverity.ERROR,
        "The sidecar denies what it can't read: installs and logins get 4xx.",
        "with_request_body: {max_request_bytes: …, allow_partial_message: false, "
        "pack_as_bytes: true}",
        _bodies,
    ),
    Rule(
        "on-demand-absent", RuleSeverity.ERROR,
        "Every handshake by name waits for an answer that is always no.",
        "Add on_demand to the sidecar's file, or use envoy/edge.yaml.",
        _peer_of_nobody,
    ),
    Rule(
        "port-taken", RuleSeverity.ERROR,
        "The second of the two to start does not start.",
        "Give one of them another port.",
        _same_ports,
    ),
    Rule(
        "reports-unreached", RuleSeverity.WARNING,
        "Browsers report to Envoy, and nobody takes it in.",
        "A cluster to listen.reports.address, and the route of envoy/edge.yaml that leads there.",
        _reports,
    ),
    Rule(
        "cors-of-application", RuleSeverity.WARNING,
        "An application that allows every origin is read by every origin, whatever headers.cors "
        "says.",
        "response_headers_to_remove in the route_config: access-control-allow-origin and the other "
        "six of envoy/edge.yaml. Or leave headers.cors out.",
        _cors_of_the_application,
    ),
)  # fmt: skip
