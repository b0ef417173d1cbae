"""A value of an Envoy configuration is read without raising, whatever it is."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.envoy_lint.node import Node

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)


@given(ANYTHING)
def test_nothing_raises(value: Any) -> None:
    node = Node(value)
    assert isinstance(node.text, str)
    assert node.is_true in {True, False}
    assert node.number is None or isinstance(node.number, float)
    assert node.seconds is None or isinstance(node.seconds, float)
    assert isinstance(node.kind, str)
    assert node["a"]["b"].value is None or isinstance(value, dict)
    assert all(isinstance(each, Node) for each in (*node.each(), *node.walk()))
    assert node.plain() == node.plain() or value != value  # noqa: PLR0124 - NaN


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("0.5s", 0.5), ("60s", 60.0), ("0s", 0.0), ("-1s", -1.0), ("1m", None), ("s", None),
     ("٣s", None), ("1e3s", None), (5, None), ("9" * 40 + "s", None)],
)  # fmt: skip
def test_a_duration(value: Any, seconds: float | None) -> None:
    assert Node(value).seconds == seconds


@pytest.mark.parametrize(
    ("value", "number"),
    [(5, 5.0), ("5", 5.0), ({"value": 5}, 5.0), (True, None), ("five", None), ({}, None),
     ("9" * 400, None)],
)  # fmt: skip
def test_a_number(value: Any, number: float | None) -> None:
    assert Node(value).number == number


def test_a_field_is_found_by_either_name_and_knows_its_path() -> None:
    node = Node({"normalizePath": True, "merge_slashes": {"value": True}})
    assert node["normalize_path"].is_true
    assert node["normalize_path"].path == ("normalizePath",)
    assert node["merge_slashes"].is_true
    assert not node["strip_any_host_port"]
    assert node["strip_any_host_port"].path == ("strip_any_host_port",)


def test_a_copy_has_protobuf_names_and_keeps_names_that_are_none() -> None:
    value = {"routeConfig": {"typedPerFilterConfig": {"envoy.filters.http.x": {"aB": [1]}}}}
    assert Node(value).plain() == {
        "route_config": {"typed_per_filter_config": {"envoy.filters.http.x": {"a_b": [1]}}}
    }


def test_the_type_is_without_its_owner() -> None:
    assert Node({"@type": "type.googleapis.com/a.b.C"}).kind == "a.b.C"


def test_a_message_in_a_struct_is_that_message() -> None:
    inner = {"type_url": "x/a.b.C", "value": {"stat_prefix": "s", "typeUrl": 1}}
    node = Node({"typed_config": {"@type": "x/xds.type.v3.TypedStruct", **inner}})["typed_config"]
    assert (node.kind, node["stat_prefix"].text) == ("a.b.C", "s")
    assert node["stat_prefix"].path == ("typed_config", "value", "stat_prefix")
    assert node.plain() == {"stat_prefix": "s", "type_url": 1, "@type": "x/a.b.C"}
    again = {"@type": "x/udpa.type.v1.TypedStruct", "typeUrl": "x/udpa.type.v1.TypedStruct"}
    assert Node(again).kind == "", "nor does one without end hold anything up"
