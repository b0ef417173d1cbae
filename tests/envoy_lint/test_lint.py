"""Every rule finds its mistake, and says nothing of the files that are shipped."""

import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as within
from hypothesis import strategies as st

from sidecar.config.yamltree import parse_yaml
from sidecar.envoy_lint.finding import RuleSeverity
from sidecar.envoy_lint.lint import MAX_FINDINGS_OF_A_RULE, RULES, lint
from tests.envoy_lint import (
    test_rules_answers,
    test_rules_around,
    test_rules_check,
    test_rules_clusters,
    test_rules_exposure,
    test_rules_filters,
    test_rules_pair,
    test_rules_requests,
)
from tests.envoy_lint.broken import (
    AUTHZ,
    EXTENSIONS,
    ROOT,
    SIDECAR,
    Broken,
    document,
    filters,
    manager,
    routes,
    rules_of,
    settings,
)


def off_everywhere(root: Any) -> None:
    kind = f"{EXTENSIONS}.ext_authz.v3.ExtAuthzPerRoute"
    host = manager(root)["route_config"]["virtual_hosts"][0]
    host["typed_per_filter_config"] = {AUTHZ: {"@type": kind, "disabled": True}}
    for each in routes(root):
        each.pop("typed_per_filter_config", None)


OWN = [
    Broken("no-check", "the filter is gone", lambda r: filters(r).pop(-2),
           frozenset({"override-unnamed"})),
    Broken("no-check", "nothing of Envoy's", lambda r: r.clear()),
    Broken("no-check", "the filter is there, and off in every route", off_everywhere),
]  # fmt: skip
ROWS = [
    *OWN,
    *test_rules_check.ROWS,
    *test_rules_around.ROWS,
    *test_rules_filters.ROWS,
    *test_rules_requests.ROWS,
    *test_rules_exposure.ROWS,
    *test_rules_answers.ROWS,
    *test_rules_clusters.ROWS,
    *test_rules_pair.ROWS,
]
FILES = sorted((ROOT / "envoy").glob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_nothing_is_found_in_what_is_shipped(path: Path) -> None:
    tree = parse_yaml(path.read_text(), of_envoy=True)
    assert lint(tree.value, None, tree) == []


def test_the_example_and_the_edge_fit_together() -> None:
    assert lint(document(), settings(SIDECAR)) == []


@pytest.mark.parametrize("row", OWN, ids=lambda row: row.mistake)
def test_a_file_without_a_check_is_said(row: Broken) -> None:
    found = rules_of(row)
    assert row.rule in found
    assert found - {row.rule} <= row.also


def test_every_rule_has_its_mistake() -> None:
    assert {row.rule for row in ROWS} == {rule.identifier for rule in RULES}


def test_rules_have_a_name_of_their_own_and_sentences() -> None:
    assert len({rule.identifier for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert rule.reason.endswith(".")
        assert rule.mend


def test_a_finding_has_its_line() -> None:
    text = (ROOT / "envoy" / "edge.yaml").read_text()
    wrong = "failure_mode_allow: true"
    text = text.replace("failure_mode_allow: false  # a sidecar", f"{wrong}  # a sidecar")
    tree = parse_yaml(text, of_envoy=True)
    (found,) = lint(tree.value, None, tree)
    assert found.line == text[: text.index(wrong)].count("\n") + 1
    assert found.path.endswith("typed_config.failure_mode_allow")


def camel(value: Any) -> Any:
    """Return a document with the JSON names of its fields."""
    if isinstance(value, list):
        return [camel(each) for each in value]
    if isinstance(value, dict):
        return {
            "".join(w if not n else w.capitalize() for n, w in enumerate(key.split("_")))
            if "." not in key and "@" not in key
            else key: camel(each)
            for key, each in value.items()
        }
    return value


@pytest.mark.parametrize("row", ROWS[::7], ids=lambda row: f"{row.rule}-{row.mistake}")
def test_json_names_are_read_as_well(row: Broken) -> None:
    root = document(row.file)
    row.change(root)
    expected = sorted(each.rule.identifier for each in lint(root, row.config))
    assert sorted(each.rule.identifier for each in lint(camel(root), row.config)) == expected
    assert lint(camel(document(row.file))) == []


def dumped(root: Any) -> Any:
    """Return a bootstrap as ``/config_dump`` shows it, its routes by RDS."""
    kinds = "type.googleapis.com/envoy"
    static = copy.deepcopy(root["static_resources"])
    route_configs = []
    for each in static["listeners"]:
        for chain in each["filter_chains"]:
            config = chain["filters"][0]["typed_config"]
            if "route_config" in config:
                own = {**config.pop("route_config"), "name": f"of-{config['stat_prefix']}"}
                config["rds"] = {"route_config_name": own["name"]}
                route_configs.append(
                    {"@type": f"{kinds}.config.route.v3.RouteConfiguration", **own}
                )

    def typed(kind: str, value: Any) -> Any:
        return {"@type": f"{kinds}.config.{kind}", **value}

    return {
        "configs": [
            {"@type": f"{kinds}.admin.v3.BootstrapConfigDump", "bootstrap": root},
            {
                "@type": f"{kinds}.admin.v3.ClustersConfigDump",
                "static_clusters": [
                    {"cluster": typed("cluster.v3.Cluster", e)} for e in static["clusters"]
                ],
            },
            {
                "@type": f"{kinds}.admin.v3.ListenersConfigDump",
                "dynamic_listeners": [
                    {"active_state": {"listener": typed("listener.v3.Listener", e)}}
                    for e in static["listeners"]
                ],
            },
            {
                "@type": f"{kinds}.admin.v3.RoutesConfigDump",
                "dynamic_route_configs": [{"route_config": e} for e in route_configs],
            },
        ]
    }


@pytest.mark.parametrize("row", ROWS[::5], ids=lambda row: f"{row.rule}-{row.mistake}")
def test_a_dump_is_read_as_well(row: Broken) -> None:
    if "static_resources" not in (root := document(row.file)):
        return
    assert lint(dumped(root)) == []
    row.change(root)
    if "static_resources" not in root:
        return
    expected = {each.rule.identifier for each in lint(root, row.config)}
    assert {each.rule.identifier for each in lint(dumped(root), row.config)} == expected


def test_xds_resources_are_read_as_well() -> None:
    root = document()
    static = root["static_resources"]
    kinds = "type.googleapis.com/envoy.config"
    resources = [
        {"@type": f"{kinds}.listener.v3.Listener", **each} for each in static["listeners"]
    ] + [{"@type": f"{kinds}.cluster.v3.Cluster", **each} for each in static["clusters"]]
    assert lint({"resources": resources}) == []
    resources[1]["filter_chains"][0]["filters"][0]["typed_config"].pop("normalize_path")
    assert [each.rule.identifier for each in lint({"resources": resources})] == [
        "path-normalization"
    ]


def test_a_thousand_places_of_one_rule_do_not_bury_the_others() -> None:
    root = document()
    routes(root)[-1]["route"].pop("timeout")
    routes(root)[:] += [copy.deepcopy(routes(root)[-1]) for _ in range(1000)]
    root["admin"]["address"]["socket_address"]["address"] = "10.0.0.1"
    found = [each.rule.identifier for each in lint(root)]
    assert found.count("stream-cut") == MAX_FINDINGS_OF_A_RULE
    assert found[0] == "admin-open"


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner: list[tuple[Any, ...]] = [path]
    if isinstance(value, dict):
        for key, each in value.items():
            inner += _paths(each, (*path, key))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            inner += _paths(each, (*path, index))
    return inner


PATHS = [path for path in _paths(document()) if path]
ODD = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8),
    st.just([]), st.just({}), st.just([None]), st.just({"@type": 3}), st.just([[{}]]),
)  # fmt: skip


@within(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(PATHS), ODD), min_size=1, max_size=3))
def test_no_document_raises(changes: list[tuple[tuple[Any, ...], Any]]) -> None:
    root = document()
    for path, value in changes:
        node = root
        for step in path[:-1]:
            try:
                node = node[step]
            except (KeyError, IndexError, TypeError):
                break
        else:
            if isinstance(node, dict | list):
                try:
                    node[path[-1]] = value
                except (IndexError, TypeError):
                    continue
    for each in lint(root, settings(SIDECAR)):
        assert each.rule.severity in RuleSeverity
        assert each.message


@pytest.mark.parametrize("value", [None, [], "x", 5, {"a": {}}, {"configs": 5}, {"resources": [5]}])
def test_what_is_no_configuration_is_said(value: Any) -> None:
    assert [each.rule.identifier for each in lint(value)] == ["no-check"]


def test_a_document_within_a_document_ends() -> None:
    deep: Any = {}
    for _ in range(500):
        deep = {"a": [deep]}
    root = document()
    root["node"] = deep
    assert lint(root) == []
