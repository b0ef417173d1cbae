"""Headers that would override what was decided on: gone by default, kept by name."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from sidecar.cli.config_envoy import fragment
from sidecar.config import parse_config
from sidecar.config.overrides import OVERRIDES
from tests.applications.conftest import CONFIG, UNCHECKED, without_check
from tests.applications.edge import Edge, folded
from tests.applications.servers import NAMES, Applications

pytestmark = pytest.mark.real
FORGED = "forged.example"


def test_a_method_override_overrides_nothing(applications: Applications, edge: Edge) -> None:
    """Express with method-override, as the issue tells it: a POST that would delete."""
    applications.get("express")
    for name in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
        for spelling in (name, name.lower(), name.upper()):
            for path in (f"{UNCHECKED}/x", "/public/x"):
                reply = edge.ask("express", path, [(spelling, "DELETE")], method="POST")
                assert (reply.told["handler"], reply.told["method"]) == ("other", "POST")


def test_a_method_in_the_query_is_the_applications_own(
    applications: Applications, edge: Edge
) -> None:
    """The edge decides on the request line: what ``_method`` does is documented, not prevented."""
    applications.get("express")
    reply = edge.ask("express", "/public/x?_method=DELETE", method="POST")
    assert reply.told["method"] == "DELETE"


@pytest.mark.parametrize("path", [f"{UNCHECKED}/x", "/public/x"])
def test_express_and_rack_believe_no_header_of_the_clients(
    path: str, applications: Applications, edge: Edge
) -> None:
    """Both trust every proxy: host, scheme, address come from Envoy alone."""
    headers = [
        ("X-Forwarded-Host", FORGED),
        ("Forwarded", f"for=203.0.113.9;host={FORGED};proto=https"),
        ("X-Forwarded-For", "203.0.113.9"),
        ("X-Forwarded-For", "203.0.113.10, 203.0.113.11"),
        ("X-Forwarded-Proto", "gopher"),
        ("X-Forwarded-Ssl", "on"),
        ("X-Forwarded-Scheme", "https"),
        ("Client-Ip", "203.0.113.9"),
        ("X-Real-IP", "203.0.113.9"),
    ]
    for name in ("express", "puma"):
        applications.get(name)
        told = edge.ask(name, path, headers).told
        assert told["host"] == f"{name}.example"
        assert told["scheme"] == "http"
        assert told["client"] == "127.0.0.1"
        assert "203.0.113" not in str(told["seen"])


@pytest.mark.parametrize("name", NAMES)
def test_the_clients_address_is_said_once(
    name: str, applications: Applications, edge: Edge
) -> None:
    applications.get(name)
    seen = edge.ask(name, "/public/x", [("x-forwarded-for", "203.0.113.9")]).told["seen"]
    (said,) = (value for key, value in seen.items() if folded(key) == "x-forwarded-for")
    assert said == "127.0.0.1"


def test_behind_a_proxy_the_address_is_what_that_one_saw(
    applications: Applications, tmp_path: Path
) -> None:
    """With ``xff_num_trusted_hops`` the last address counts, and still nothing before it."""

    def one_hop(manager: Any) -> None:
        manager["xff_num_trusted_hops"] = 1

    with Edge(CONFIG, [applications.get("express")], tmp_path, change=one_hop) as edge:
        sent = [("x-forwarded-for", "203.0.113.9, 198.51.100.1")]
        told = edge.ask("express", "/public/x", sent).told
    assert (told["client"], told["seen"]["x-forwarded-for"]) == ("198.51.100.1", "198.51.100.1")


KEEPING = CONFIG.replace(
    "routes:\n", "headers: {keep_overrides: [x-real-ip], remove_from_request: [x-debug]}\nroutes:\n"
)


def printed(config: str) -> tuple[list[Any], dict[str, Any]]:
    """Read what ``sidecar config envoy`` prints: the two filters, and the keeping route's part."""
    text = "\n".join(fragment(parse_config(config, "test")))
    filters, _, route = text.partition("\n\n")
    return yaml.safe_load(filters), yaml.safe_load(route)


def as_printed(manager: Any) -> None:
    """Put into Envoy what the sidecar prints for ``KEEPING``, and nothing else."""
    filters, keeping = printed(KEEPING)
    by_name = {each["name"]: each for each in manager["http_filters"]}
    for each in filters:
        mutations = by_name[each["name"]]["typed_config"]["mutations"]
        mutations |= each["typed_config"]["mutations"]
    without_check(manager)
    for host in manager["route_config"]["virtual_hosts"]:
        route = {
            "match": {"prefix": "/kept"},
            "route": {"cluster": host["routes"][-1]["route"]["cluster"], "timeout": "30s"},
            **keeping,
        }
        host["routes"].insert(1, route)


def test_what_is_kept_by_name_arrives_and_nothing_else(
    applications: Applications, tmp_path: Path
) -> None:
    """Globally and on one route, as the sidecar tells the operator to write it."""
    running = [applications.get("wsgiref")]
    sent = [(each.name, FORGED) for each in OVERRIDES[:60]]
    sent += [("x-debug", FORGED), ("x.debug", FORGED), ("x.forwarded.host", FORGED)]
    with Edge(KEEPING, running, tmp_path, change=as_printed) as edge:
        kept = edge.ask("wsgiref", "/kept/x", sent).told["seen"]
        public = edge.ask("wsgiref", "/public/x", sent).told["seen"]
        without = edge.ask("wsgiref", f"{UNCHECKED}/x", sent).told["seen"]
    assert edge.faults == []

    def forged(seen: dict[str, str]) -> set[str]:
        return {name for name, value in seen.items() if value == FORGED}

    assert forged(kept) == {"HTTP_X_FORWARDED_HOST", "HTTP_X_REAL_IP"}
    assert forged(public) == forged(without) == {"HTTP_X_REAL_IP"}


def test_a_route_keeps_nothing_where_envoy_is_not_told(
    applications: Applications, edge: Edge
) -> None:
    """The shipped file removes it before anybody is asked: that is the safe way round."""
    applications.get("wsgiref")
    reply = edge.ask("wsgiref", "/kept/x", [("x-forwarded-host", FORGED)])
    assert FORGED not in reply.body
