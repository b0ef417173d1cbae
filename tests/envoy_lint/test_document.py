"""Where a configuration has its listeners, routes and clusters, in each of its forms."""

from typing import Any

import pytest

from sidecar.envoy_lint.document import EnvoyDocument, Manager, address_of
from sidecar.envoy_lint.node import Node
from tests.envoy_lint.broken import AUTHZ, EXTENSIONS, document

OFF = {"@type": f"{EXTENSIONS}.ext_authz.v3.ExtAuthzPerRoute", "disabled": True}
ON = {"@type": f"{EXTENSIONS}.ext_authz.v3.ExtAuthzPerRoute", "check_settings": {}}
FILTER_OFF = {"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "disabled": True}
FILTER_ON = {"@type": FILTER_OFF["@type"], "config": ON}


def manager(*levels: Any, disabled: bool = False) -> Manager:
    """Return a manager with one route; ``levels`` are what each of the three overrides."""
    made: list[dict[str, Any]] = [{}, {}, {}]
    for part, override in zip(made, levels, strict=True):
        if override:
            part["typed_per_filter_config"] = {AUTHZ: override}
    config, host, route = made
    host["routes"] = [{**route, "route": {"cluster": "application"}}]
    check = {"@type": f"{EXTENSIONS}.ext_authz.v3.ExtAuthz"}
    typed = {
        "@type": f"{EXTENSIONS.removesuffix('.http')}.network.http_connection_manager.v3."
        "HttpConnectionManager",
        "route_config": {**config, "virtual_hosts": [host]},
        "http_filters": [{"name": AUTHZ, "typed_config": check, "disabled": disabled}],
    }
    chain = {"filters": [{"typed_config": typed}]}
    listeners = [{"name": "l", "filter_chains": [chain]}]
    (found,) = EnvoyDocument(Node({"static_resources": {"listeners": listeners}})).managers
    return found


@pytest.mark.parametrize(
    ("levels", "disabled", "checked"),
    [
        ((None, None, None), False, True),
        ((None, None, OFF), False, False),
        ((None, OFF, None), False, False),
        ((OFF, None, None), False, False),
        ((OFF, None, ON), False, True),
        ((None, OFF, ON), False, True),
        ((None, None, FILTER_OFF), False, False),
        ((None, None, None), True, False),
        ((None, None, FILTER_ON), True, True),
        ((None, None, ON), True, True),
    ],
)
def test_the_most_specific_level_says_whether_a_route_is_checked(
    levels: tuple[Any, ...], disabled: bool, checked: bool
) -> None:
    found = manager(*levels, disabled=disabled)
    (route,) = found.routes()
    assert found.is_checked(route) is checked


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ({"socket_address": {"address": "127.0.0.1", "port_value": 9100}}, "127.0.0.1:9100"),
        ({"socketAddress": {"address": "::1", "portValue": "9100"}}, "[::1]:9100"),
        ({"pipe": {"path": "/run/a.sock"}}, "unix:/run/a.sock"),
        ({"socket_address": {"address": "127.0.0.1"}}, ""),
        ({"envoy_internal_address": {}}, ""),
        (None, ""),
    ],
)
def test_an_address_is_written_as_the_sidecar_writes_it(address: Any, text: str) -> None:
    assert address_of(Node(address)) == text


def test_what_the_edge_has() -> None:
    edge = EnvoyDocument(Node(document()))
    assert [each.name for each in edge.checked] == ["http", "edge"]
    assert [each.is_secure for each in edge.checked] == [False, True]
    assert set(edge.check_clusters) == {"sidecar_authz"}
    assert set(edge.secret_clusters) == {"sidecar_sds"}


def test_secrets_of_ads_come_from_its_cluster() -> None:
    edge = EnvoyDocument(Node(document("edge-on-demand")))
    assert set(edge.secret_clusters) == {"sidecar_sds"}


def test_weighted_clusters_and_a_cluster_by_header_lead_somewhere() -> None:
    found = manager(None, None, None)
    (route,) = found.routes()
    action = route.node.value["route"]
    action.pop("cluster")
    action["weighted_clusters"] = {"clusters": [{"name": "a"}, {"name": "b"}]}
    assert route.clusters == ["a", "b"]
    action.clear()
    action["cluster_header"] = "x-where"
    assert route.clusters == ["(header x-where)"]
