"""What a manager checks, and where its routes lead."""

from typing import Any

import pytest

from sidecar.envoy_lint.document import EnvoyDocument
from sidecar.envoy_lint.manager import Manager
from sidecar.envoy_lint.node import Node
from tests.envoy_lint.broken import AUTHZ, EXTENSIONS

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


def test_a_weighted_cluster_with_overrides_is_a_route_of_its_own() -> None:
    found = manager(None, None, None)
    (route,) = found.routes()
    action = route.node.value["route"]
    action.pop("cluster")
    action["weighted_clusters"] = {
        "clusters": [{"name": "a", "typed_per_filter_config": {AUTHZ: OFF}}, {"name": "b"}]
    }
    both, first = found.routes()
    assert (both.clusters, first.clusters) == (["a", "b"], ["a"])
    assert [found.is_checked(each) for each in (both, first)] == [True, False]
