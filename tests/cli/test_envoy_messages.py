"""An Envoy configuration read by Envoy's own API."""

import json
from pathlib import Path
from typing import Any

import pytest

from sidecar.cli import envoy_messages
from sidecar.cli.envoy_messages import message_problems
from sidecar.config.yamltree import parse_yaml

ENVOY = Path(__file__).parents[2] / "envoy"
TYPE = "type.googleapis.com/envoy.extensions.filters"
AUTHZ = f"{TYPE}.http.ext_authz.v3.ExtAuthz"
MANAGER = f"{TYPE}.network.http_connection_manager.v3.HttpConnectionManager"


@pytest.mark.parametrize("name", sorted(each.name for each in ENVOY.glob("*.yaml")))
def test_a_configuration_that_envoy_takes_has_no_problem(name: str) -> None:
    """Among them fields and messages that are newer than the package."""
    document = parse_yaml((ENVOY / name).read_text(), of_envoy=True).value
    assert list(message_problems(document)) == []


def typed(kind: str, **fields: Any) -> dict[str, Any]:
    return {"filters": [{"typed_config": {"@type": kind, **fields}}]}


WHERE = "filters[0].typed_config"
ROWS = [
    ("misspelt", typed(AUTHZ, failure_mode_alow=True),
     "failure_mode_alow is no field of ExtAuthz; failure_mode_allow is"),
    ("misspelt inside", typed(AUTHZ, grpc_service={"envoy_grpc": {"cluster_nam": "x"}}),
     "cluster_nam is no field of GrpcServiceEnvoyGrpc; cluster_name is"),
    ("a text for a truth", typed(AUTHZ, failure_mode_allow="maybe"),
     "failure_mode_allow of ExtAuthz: Input should be a valid boolean"),
    ("a number for a text", typed(MANAGER, stat_prefix=5),
     "stat_prefix of HttpConnectionManager: Input should be a valid string"),
    ("a duration without unit", typed(AUTHZ, grpc_service={"timeout": "soon"}),
     "ExtAuthz can't be read: Invalid duration string: soon"),
    ("a list for a message", typed(AUTHZ, grpc_service=["x"]), "ExtAuthz can't be read"),
    ("no url", typed("envoy.ExtAuthz"),
     "@type must begin with type.googleapis.com/, not 'envoy.ExtAuthz'"),
]  # fmt: skip


@pytest.mark.parametrize(("document", "said"), [row[1:] for row in ROWS], ids=[r[0] for r in ROWS])
def test_what_envoy_would_refuse_is_said_with_its_place(document: Any, said: str) -> None:
    first = next(message_problems(document))
    assert first.startswith(f"{WHERE}: {said}")


def test_every_misspelt_field_of_a_message_is_found() -> None:
    document = typed(AUTHZ, failure_mode_alow=True, newer=1, include_peer_certificat=True)
    assert [each.rpartition("; ")[2] for each in message_problems(document)] == [
        "failure_mode_allow is",
        "include_peer_certificate is",
    ]


def test_a_field_misspelt_as_json_spells_it_is_said_once() -> None:
    document = typed(AUTHZ, failureModeAlow=True)
    assert len(list(message_problems(document))) == 1


def test_a_name_unknown_to_one_message_stays_where_another_has_it() -> None:
    """Else the wrong value of the second would go with the newer field of the first."""
    document = typed(AUTHZ, cluster_name=1, grpc_service={"envoy_grpc": {"cluster_name": 5}})
    (said,) = message_problems(document)
    assert "cluster_name of ExtAuthz: Input should be a valid string" in said


def test_a_newer_field_inside_a_map_and_a_list_hides_nothing() -> None:
    clusters = [{"name": 5, "load_assignment": {"named_endpoints": {"a": {"zq": 1}}}}]
    (said,) = message_problems({"static_resources": {"clusters": clusters}})
    assert "should be a valid string" in said


def test_every_problem_is_found_in_messages_within_messages() -> None:
    inner = {"name": "x", "typed_config": {"@type": AUTHZ, "failure_mode_alow": True}}
    document = typed(MANAGER, stat_prefix=5, http_filters=[inner])
    assert [each.split(": ")[0] for each in message_problems(document)] == [
        f"{WHERE}.http_filters[0].typed_config",
        WHERE,
    ]


def test_a_bootstrap_is_read_without_a_type_of_its_own() -> None:
    document: Any = {"static_resources": {"cluster": []}}
    assert list(message_problems(document)) == [
        "the file: cluster is no field of BootstrapStaticResources; clusters is"
    ]


@pytest.mark.parametrize(
    "document",
    [
        typed(AUTHZ, something_that_is_newer=1),
        typed(f"{TYPE}.http.newer.v9.Newer", anything=1),
        typed("type.googleapis.com/../os.path", join=1),
        typed("type.googleapis.com/a\0b.Message"),
        typed("type.googleapis.com/" + "a" * 5000 + ".Message"),
        typed("type.googleapis.com/google.protobuf.Empty"),
        None,
        [],
        "text",
        {"@type": None},
    ],
    ids=lambda document: repr(document)[:80],
)
def test_what_is_only_newer_is_let_pass_and_nothing_raises(document: Any) -> None:
    found = list(message_problems(document))
    assert [each for each in found if "must begin" not in each] == []


@pytest.mark.parametrize(("newer", "found"), [(49, 1), (50, 0)])
def test_of_a_message_full_of_unknown_fields_only_some_are_looked_at(
    newer: int, found: int
) -> None:
    unknown: dict[str, Any] = {f"zq{number}": 1 for number in range(newer)}
    document = typed(AUTHZ, **unknown, failure_mode_alow=True)
    assert len(list(message_problems(document))) == found


@pytest.mark.parametrize("name", ["", "a/b.C", "..os.C", "a\0b.C", "-m.C", "a b.C"])
def test_only_a_name_of_a_package_is_imported(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name comes out of a file of anybody's."""
    imported: list[str] = []
    monkeypatch.setattr(envoy_messages, "import_module", imported.append)
    assert list(message_problems(typed(f"type.googleapis.com/{name}"))) == []
    assert imported == []


def test_the_depth_is_bounded() -> None:
    document: Any = {}
    for _ in range(150):
        document = [document]
    (said,) = message_problems(document)
    assert said.endswith("messages are nested more than 100 deep")
    assert len(json.dumps(said)) < 1000
