"""What a check of an Envoy configuration finds, in the shipped file with one thing changed."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from sidecar.cli.config_envoy import NAMES_FILTER, fragment
from sidecar.config import parse_config
from sidecar.config.overrides import OVERRIDES
from sidecar.headers.envoy_check import matches_name, problems_of
from sidecar.headers.envoy_patterns import request_names
from tests.config.documents import MINIMAL

EDGE = Path(__file__).parents[2] / "envoy" / "edge.yaml"


def edge() -> Any:
    return yaml.safe_load(EDGE.read_text())


def manager_of(document: Any) -> Any:
    (listener,) = (e for e in document["static_resources"]["listeners"] if e["name"] == "https")
    return listener["filter_chains"][0]["filters"][0]["typed_config"]


def without_first_filter(manager: Any) -> None:
    del manager["http_filters"][0]


def without_names(manager: Any) -> None:
    del manager["http_filters"][1]


def names_after_the_check(manager: Any) -> None:
    manager["http_filters"].insert(-1, manager["http_filters"].pop(1))


def names_disabled(manager: Any) -> None:
    manager["http_filters"][1]["disabled"] = True


def exact_names_alone(manager: Any) -> None:
    mutations = manager["http_filters"][1]["typed_config"]["mutations"]
    mutations["request_mutations"] = [{"remove": each.name} for each in OVERRIDES]


def without_trailers(manager: Any) -> None:
    del manager["http_filters"][0]["typed_config"]["mutations"]["request_trailers_mutations"]


def a_pattern_that_is_none(manager: Any) -> None:
    mutations = manager["http_filters"][1]["typed_config"]["mutations"]
    mutations["request_mutations"][0]["remove_on_match"]["key_matcher"]["safe_regex"] = {
        "regex": "("
    }


def one_route_turned_off(manager: Any) -> None:
    route = manager["route_config"]["virtual_hosts"][0]["routes"][-1]
    kind = "type.googleapis.com/envoy.config.route.v3.FilterConfig"
    route["typed_per_filter_config"] = {NAMES_FILTER: {"@type": kind, "disabled": True}}


def one_route_with_more_mutations(manager: Any) -> None:
    """What it adds, to responses say, takes nothing away from what it must remove."""
    without_names(manager)
    route = manager["route_config"]["virtual_hosts"][0]["routes"][-1]
    kind = "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3"
    route["typed_per_filter_config"] = {
        "envoy.filters.http.header_mutation": {"@type": f"{kind}.HeaderMutationPerRoute"}
    }


def upgrades_not_refused(manager: Any) -> None:
    del manager["route_config"]["virtual_hosts"][0]["routes"][0]


def upgrades_refused_late(manager: Any) -> None:
    routes = manager["route_config"]["virtual_hosts"][0]["routes"]
    routes.append(routes.pop(0))


def upgrades_forwarded(manager: Any) -> None:
    refused = manager["route_config"]["virtual_hosts"][0]["routes"][0]
    refused["route"] = {"cluster": "application"}
    del refused["direct_response"]


def upgrades_of_one_route(manager: Any) -> None:
    upgrades_not_refused(manager)
    route = manager["route_config"]["virtual_hosts"][0]["routes"][-1]
    route["route"]["upgrade_configs"] = manager.pop("upgrade_configs")


def another_connection(manager: Any) -> None:
    _, connection = manager["route_config"]["virtual_hosts"][0]["routes"][0]["match"]["headers"]
    connection["string_match"] = {"safe_regex": {"regex": "(?i)upgrade.*"}}


def no_check(manager: Any) -> None:
    manager["http_filters"] = [
        each for each in manager["http_filters"] if not each["name"].endswith("ext_authz")
    ]


def several_hosts(manager: Any) -> None:
    hosts = manager["route_config"]["virtual_hosts"]
    hosts.append(copy.deepcopy(hosts[0]) | {"name": "other", "domains": ["other.example"]})


def ports_stay(manager: Any) -> None:
    several_hosts(manager)
    del manager["strip_any_host_port"]


def dots_stay(manager: Any) -> None:
    several_hosts(manager)
    manager["strip_trailing_host_dot"] = False


def one_host(manager: Any) -> Any:
    (found,) = (e for e in manager["http_filters"] if e["name"] == "septem.one_host")
    return found


def hosts_not_refused(manager: Any) -> None:
    several_hosts(manager)
    manager["http_filters"].remove(one_host(manager))


def hosts_refused_late(manager: Any) -> None:
    found = one_host(manager)
    hosts_not_refused(manager)
    manager["http_filters"].insert(-1, found)


def hosts_refusal_disabled(manager: Any) -> None:
    several_hosts(manager)
    one_host(manager)["disabled"] = True


def hosts_allowed(manager: Any) -> None:
    several_hosts(manager)
    one_host(manager)["typed_config"]["rules"]["action"] = "ALLOW"


def hosts_refused_to_some(manager: Any) -> None:
    several_hosts(manager)
    (policy,) = one_host(manager)["typed_config"]["rules"]["policies"].values()
    policy["principals"] = [{"remote_ip": {"address_prefix": "10.0.0.0", "prefix_len": 8}}]


def hosts_refused_on_a_condition(manager: Any) -> None:
    several_hosts(manager)
    (policy,) = one_host(manager)["typed_config"]["rules"]["policies"].values()
    policy["condition"] = {"const_expr": {"bool_value": False}}


def hosts_of_elsewhere(manager: Any) -> None:
    manager["http_filters"].remove(one_host(manager))
    manager["rds"] = manager.pop("route_config")["name"]


KEPT = ("x-forwarded-prefix",)
TO_ANOTHER = "leads to another than the one that the sidecar decides on"
WRONG = [
    (ports_stay, f"{TO_ANOTHER}: strip_any_host_port is"),
    (dots_stay, f"{TO_ANOTHER}: strip_trailing_host_dot is"),
    *(
        (change, f"{TO_ANOTHER}: the filter septem.one_host")
        for change in (
            hosts_not_refused,
            hosts_refused_late,
            hosts_refusal_disabled,
            hosts_allowed,
            hosts_refused_to_some,
            hosts_refused_on_a_condition,
            hosts_of_elsewhere,
        )
    ),
    (without_first_filter, "trailers_mutations let x-tenant-id"),
    (without_names, "request_mutations let x-tenant-id"),
    (names_after_the_check, "request_mutations let x-http-method-override"),
    (names_disabled, "request_mutations let x-tenant-id"),
    (exact_names_alone, "request_mutations let x-tenant-id"),
    (without_trailers, "request_trailers_mutations let x-tenant-id"),
    (a_pattern_that_is_none, "request_mutations let x-tenant-id"),
    (one_route_turned_off, "request_mutations let x-tenant-id"),
    (one_route_with_more_mutations, "request_mutations let x-http-method-override"),
    (upgrades_not_refused, "forwards an upgrade's Connection as it came"),
    (upgrades_refused_late, "forwards an upgrade's Connection as it came"),
    (upgrades_forwarded, "forwards an upgrade's Connection as it came"),
    (upgrades_of_one_route, "forwards an upgrade's Connection as it came"),
    (another_connection, "forwards an upgrade's Connection as it came"),
    (no_check, "no HTTP connection manager calls the sidecar"),
]


@pytest.mark.parametrize(("change", "says"), WRONG, ids=[row[0].__name__ for row in WRONG])
def test_a_file_that_lets_a_name_through_is_found(change: Any, says: str) -> None:
    document = edge()
    change(manager_of(document))
    for found in (list(problems_of(document)), list(problems_of(document, [], [], KEPT))):
        assert any(says in each for each in found), found


def test_several_hosts_behind_the_shipped_filters_are_well() -> None:
    document = edge()
    several_hosts(manager_of(document))
    assert list(problems_of(document)) == []


def test_what_one_route_keeps_no_other_lets_through() -> None:
    document = edge()
    first, second = manager_of(document)["http_filters"][:2]
    pattern = {"regex": request_names(KEPT)}
    second["typed_config"]["mutations"]["request_mutations"] = [
        {"remove_on_match": {"key_matcher": {"safe_regex": pattern}}}
    ]
    (found,) = problems_of(document, [], [], KEPT)
    assert found.startswith("edge: request_mutations let x-forwarded-prefix through")
    assert list(problems_of(document, [], KEPT)) == []
    assert first["typed_config"]["mutations"]["request_trailers_mutations"]


def test_a_mutation_in_another_order_is_the_first_filters_to_have() -> None:
    document = edge()
    filters = manager_of(document)["http_filters"]
    filters.insert(0, {"name": "buffer", "typed_config": {"@type": "x/envoy.buffer.v3.Buffer"}})
    assert list(problems_of(document)) == ["edge: header_mutation must be the first HTTP filter"]


@pytest.mark.parametrize("kind", ["exact", "prefix", "suffix", "contains"])
def test_every_matcher_of_envoys_is_understood(kind: str) -> None:
    document = edge()
    mutations = manager_of(document)["http_filters"][0]["typed_config"]["mutations"]
    matcher = {"exact": "x-debug", "prefix": "x-de", "suffix": "-debug", "contains": "-d"}[kind]
    for part in ("request_mutations", "request_trailers_mutations"):
        mutations[part].append({"remove_on_match": {"key_matcher": {kind: matcher}}})
    assert list(problems_of(document, ["x-debug"])) == []
    assert list(problems_of(document, ["y-other"])) != []


def test_who_takes_no_upgrades_need_not_refuse_them() -> None:
    document = edge()
    manager = manager_of(document)
    upgrades_not_refused(manager)
    del manager["upgrade_configs"]
    assert list(problems_of(document)) == []


def test_what_is_configured_is_looked_for_too() -> None:
    document = edge()
    assert any("x-debug" in each for each in problems_of(document, ["x-debug"]))
    assert list(problems_of(document, [], ["x-real-ip"])) == [], "removing more is no problem"


ROUTES = """\
  - {name: files, path_prefix: /files, auth: none, keep_overrides: [x-forwarded-prefix]}
"""


def test_what_is_printed_is_what_is_asked_for() -> None:
    text = MINIMAL.replace("routes:\n", f"routes:\n{ROUTES}")
    config = parse_config(
        text + "headers: {remove_from_request: [x-debug], keep_overrides: [x-real-ip]}\n", "test"
    )
    filters, _, route = "\n".join(fragment(config)).partition("\n\n")
    document = edge()
    manager = manager_of(document)
    manager["http_filters"][:2] = yaml.safe_load(filters)
    kept = copy.deepcopy(manager["route_config"]["virtual_hosts"][0]["routes"][-1])
    manager["route_config"]["virtual_hosts"][0]["routes"].append({**kept, **yaml.safe_load(route)})
    asked = (["x-debug"], ["x-real-ip"], ["x-forwarded-prefix"])
    assert list(problems_of(document, *asked)) == []
    found = list(problems_of(document, asked[0], asked[1]))
    assert [each for each in found if "x-forwarded-prefix" in each] == found != []


@pytest.mark.parametrize(
    ("matcher", "matches"),
    [
        ({"exact": "x-a"}, True),
        ({"exact": "X-A"}, False),
        ({"exact": "X-A", "ignore_case": True}, True),
        ({"exact": "X-A", "ignore_case": "yes"}, False),
        ({"prefix": "x-"}, True),
        ({"suffix": "-a"}, True),
        ({"contains": "-"}, True),
        ({"contains": "_"}, False),
        ({"safe_regex": {"regex": "x-."}}, True),
        ({"safe_regex": {"regex": "x-"}}, False),
        ({"safe_regex": {"regex": "("}}, False),
        ({"safe_regex": 5}, False),
        ({"prefix": ""}, False),
        ({"prefix": 5}, False),
        ({}, False),
    ],
)
def test_a_name_is_matched_as_envoy_does(matcher: Any, matches: bool) -> None:
    assert matches_name(matcher, "x-a") is matches
