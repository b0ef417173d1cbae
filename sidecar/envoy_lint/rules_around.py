"""Rules about ways around the Check: what leads to the application besides checked requests."""

from collections.abc import Iterator

from sidecar.envoy_lint.document import EnvoyDocument
from sidecar.envoy_lint.finding import Found, Inspected, Rule, RuleSeverity
from sidecar.envoy_lint.manager import MANAGER, Manager, is_check
from sidecar.envoy_lint.node import Node
from sidecar.headers.tenant import TRUSTED

_TUNNELS = ("CONNECT", "CONNECT-UDP")


def _unchecked(inspected: Inspected) -> Iterator[Found]:
    """Yield what leads without a Check to a cluster to which routes lead with one."""
    checked = _checked_clusters(inspected.envoy)
    for manager in inspected.envoy.managers:
        for route in manager.routes():
            reached = sorted(checked.intersection(route.clusters))
            if reached and not manager.is_checked(route):
                why = "ext_authz is off" if manager.check is not None else "there is no ext_authz"
                said = (
                    f"{manager.name} leads to {reached[0]} without a Check ({why}), to which other "
                    "routes lead with one"
                )
                yield route.weighted or route.node, said
        yield from _upgrades(manager)
    for chain in _chains(inspected.envoy):
        for each in chain["filters"].each():
            settings = each["typed_config"]
            if settings.kind.endswith(MANAGER):
                continue
            for node in settings.walk():
                for name in ("cluster", "name"):
                    if (cluster := node[name]).text in checked:
                        said = f"{each['name'].text} leads to {cluster.text} without a Check"
                        yield cluster, said


def _checked_clusters(envoy: EnvoyDocument) -> set[str]:
    return {
        cluster
        for manager in envoy.checked
        for route in manager.routes()
        if manager.is_checked(route)
        for cluster in route.clusters
    }


def _chains(envoy: EnvoyDocument) -> Iterator[Node]:
    for listener in envoy.listeners:
        yield from (*listener["filter_chains"].each(), listener["default_filter_chain"])


def _upgrades(manager: Manager) -> Iterator[Found]:
    """Yield upgrades whose own filters lack the Check that other requests have."""
    if manager.check is None or not manager.leads_somewhere:
        return
    for upgrade in manager.node["upgrade_configs"].each():
        filters = list(upgrade["filters"].each())
        if filters and not any(map(is_check, filters)):
            kind = upgrade["upgrade_type"].text
            yield upgrade, f"{manager.name}: an upgrade to {kind} has filters without ext_authz"


def _tunnels(inspected: Inspected) -> Iterator[Found]:
    for manager in inspected.envoy.checked:
        configs = [manager.node, *(route.node["route"] for route in manager.routes())]
        for config in configs:
            for upgrade in config["upgrade_configs"].each():
                kind = upgrade["upgrade_type"].text.upper()
                if kind in _TUNNELS and not upgrade["enabled"].is_false:
                    yield upgrade, f"{manager.name} lets {kind} through"


def _redirects(inspected: Inspected) -> Iterator[Found]:
    for manager in inspected.envoy.checked:
        for route in manager.routes():
            action = route.node["route"]
            policy = action["internal_redirect_policy"]
            legacy = action["internal_redirect_action"]
            if policy or legacy.text == "HANDLE_INTERNAL_REDIRECT":
                yield policy or legacy, f"{manager.name}: a route follows redirects inside Envoy"


def _by_header(inspected: Inspected) -> Iterator[Found]:
    """Yield routes whose cluster or host is a header's value, which is not the sidecar's."""
    for manager in inspected.envoy.checked:
        for route in manager.routes():
            action = route.node["route"]
            for name in ("cluster_header", "host_rewrite_header"):
                if action[name].text and action[name].text.lower() not in TRUSTED:
                    yield action[name], f"{manager.name}: {name} is {action[name].text}"


RULES = (
    Rule(
        "unchecked-route", RuleSeverity.ERROR,
        "The application takes the tenant headers of such a request for the sidecar's.",
        "Check the route, or let it lead to a cluster that no checked route leads to.",
        _unchecked,
    ),
    Rule(
        "tunnel", RuleSeverity.WARNING,
        "A tunnel is decided once: requests inside it are seen by nobody.",
        "Leave CONNECT out of upgrade_configs; upgrade_type: websocket is a request of its own.",
        _tunnels,
    ),
    Rule(
        "redirect-inside", RuleSeverity.WARNING,
        "A Location of the application's makes the client's token ask for what the client did not.",
        "Leave out internal_redirect_policy: the client follows a redirect itself.",
        _redirects,
    ),
    Rule(
        "route-by-client", RuleSeverity.ERROR,
        "A client names the cluster or the host that its request goes to, past what was decided.",
        "Write cluster and host_rewrite_literal.",
        _by_header,
    ),
)  # fmt: skip
