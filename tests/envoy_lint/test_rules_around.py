"""Ways around the Check: each is found, and nothing else."""

import copy
from typing import Any

import pytest

from tests.envoy_lint.broken import (
    AUTHZ,
    EXTENSIONS,
    Broken,
    cluster,
    filters,
    listener,
    manager,
    off,
    put,
    routes,
    rules_of,
    unchecked_listener,
)

OFF = {AUTHZ: {"@type": f"{EXTENSIONS}.ext_authz.v3.ExtAuthzPerRoute", "disabled": True}}
ENVOY = "type.googleapis.com/envoy"
ROUTER = {"name": "r", "typed_config": {"@type": f"{EXTENSIONS}.router.v3.Router"}}


def action(root: Any) -> Any:
    return routes(root)[-1]["route"]


def weighted(root: Any) -> None:
    del action(root)["cluster"]
    action(root)["weighted_clusters"] = {
        "clusters": [{"name": "application", "weight": 99},
                     {"name": "application", "weight": 1, "typed_per_filter_config": OFF}],
    }  # fmt: skip


def by_matchers(root: Any, kind: str = "Route") -> None:
    """The last route stands in a tree of matchers, and is not checked."""
    host = manager(root)["route_config"]["virtual_hosts"][0]
    route = {**copy.deepcopy(host["routes"][-1]), "typed_per_filter_config": OFF}
    found = host.pop("routes")
    inner = {"@type": f"{ENVOY}.config.route.v3.RouteList", "routes": [*found, route]}
    if kind == "Route":
        inner = {"@type": f"{ENVOY}.config.route.v3.Route", **route}
        manager(root)["route_config"]["virtual_hosts"].append(
            {**host, "name": "rest", "domains": ["rest.example"], "routes": found}
        )
    host["matcher"] = {"on_no_match": {"action": {"name": "r", "typed_config": inner}}}


def in_a_scope(root: Any) -> None:
    routes(root)[-1]["typed_per_filter_config"] = OFF
    config = manager(root).pop("route_config")
    manager(root)["scoped_routes"] = {
        "name": "s",
        "scoped_route_configurations_list": {
            "scoped_route_configurations": [{"name": "x", "route_configuration": config}]
        },
    }


def tcp(root: Any) -> None:
    settings = {"@type": f"{ENVOY}.extensions.filters.network.tcp_proxy.v3.TcpProxy",
                "stat_prefix": "raw", "cluster": "application"}  # fmt: skip
    listener(root)["filter_chains"].append(
        {"filter_chain_match": {"server_names": ["raw"]},
         "filters": [{"name": "raw", "typed_config": settings}]}
    )  # fmt: skip


def tcp_weighted(root: Any) -> None:
    tcp(root)
    settings = listener(root)["filter_chains"][-1]["filters"][0]["typed_config"]
    name = settings.pop("cluster")
    settings["weighted_clusters"] = {"clusters": [{"name": name, "weight": 1}]}


def in_a_struct(root: Any) -> None:
    """A listener beside, whose manager is written as a ``TypedStruct``."""
    unchecked_listener(root)
    (filter_,) = root["static_resources"]["listeners"][-1]["filter_chains"][0]["filters"]
    inner = copy.deepcopy(filter_["typed_config"])
    kind = inner.pop("@type")
    filter_["typed_config"] = {"@type": "type.googleapis.com/xds.type.v3.TypedStruct",
                               "type_url": kind, "value": inner}  # fmt: skip


def default_chain(root: Any) -> None:
    chain = copy.deepcopy(listener(root)["filter_chains"][0])
    inner = chain["filters"][0]["typed_config"]
    inner["http_filters"] = [e for e in inner["http_filters"] if e["name"] != AUTHZ]
    listener(root)["default_filter_chain"] = chain


def tcp_elsewhere(root: Any) -> None:
    """To a cluster that no checked route leads to: that is nobody's affair."""
    tcp(root)
    root["static_resources"]["clusters"].append({**cluster(root, "application"), "name": "other"})
    settings = listener(root)["filter_chains"][-1]["filters"][0]["typed_config"]
    settings["cluster"] = "other"


ROWS = [
    Broken("unchecked-route", "off in a route", off()),
    Broken("unchecked-route", "off by FilterConfig", off(kind="config.route.v3.FilterConfig")),
    Broken("unchecked-route", "a listener beside", unchecked_listener,
           frozenset({"override-unnamed"})),
    Broken("unchecked-route", "the default filter chain", default_chain,
           frozenset({"override-unnamed"})),
    Broken("unchecked-route", "a listener beside, as a struct", in_a_struct,
           frozenset({"override-unnamed"})),
    Broken("unchecked-route", "off for a share of a route", weighted),
    Broken("unchecked-route", "a route in a tree of matchers", by_matchers,
           frozenset({"upgrade-connection", "host-of-two-readings"})),
    Broken("unchecked-route", "a list of routes in a tree of matchers",
           lambda root: by_matchers(root, "RouteList")),
    Broken("unchecked-route", "off in a scope", in_a_scope),
    Broken("unchecked-route", "bytes beside HTTP", tcp),
    Broken("unchecked-route", "bytes beside HTTP, by weight", tcp_weighted),
    Broken("unchecked-route", "an upgrade with filters of its own", put(
        [{"upgrade_type": "websocket", "filters": [ROUTER]}], manager, "upgrade_configs")),
    Broken("tunnel", "CONNECT", put([{"upgrade_type": "CONNECT"}], manager, "upgrade_configs")),
    Broken("tunnel", "UDP, in a route", put(
        [{"upgrade_type": "connect-udp"}], action, "upgrade_configs")),
    Broken("redirect-inside", "a policy", put(
        {"max_internal_redirects": 1}, action, "internal_redirect_policy")),
    Broken("redirect-inside", "as it was", put(
        "HANDLE_INTERNAL_REDIRECT", action, "internal_redirect_action")),
    Broken("route-by-client", "a host", put("x-host", action, "host_rewrite_header")),
    Broken("route-by-client", "a cluster", lambda root: (
        action(root).pop("cluster"), action(root).update(cluster_header="x-where"))[1]),
]  # fmt: skip
GOOD = [
    ("a tunnel that is off", put(
        [{"upgrade_type": "CONNECT", "enabled": False}], manager, "upgrade_configs")),
    ("a host that the sidecar sets", put("x-tenant-id", action, "host_rewrite_header")),
    ("an upgrade with a Check", lambda root: put(
        [{"upgrade_type": "websocket",
          "filters": [*copy.deepcopy(filters(root))]}], manager, "upgrade_configs")(root)),
    ("bytes to another cluster", tcp_elsewhere),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.rule}-{row.mistake}")
def test_a_mistake_is_found_and_nothing_else(row: Broken) -> None:
    found = rules_of(row)
    assert row.rule in found
    assert found - {row.rule} <= row.also


@pytest.mark.parametrize(("name", "change"), GOOD, ids=[name for name, _ in GOOD])
def test_what_is_no_mistake_is_none(name: str, change: Any) -> None:
    assert rules_of(Broken("", name, change)) == set()
