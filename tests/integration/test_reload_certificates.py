"""Certificates and secrets are exchanged by a reload, through a real Envoy and a real OpenBao.

What has the same identity is not touched: its certificate keeps its serial, and Envoy is sent
nothing. What can't be had refuses the whole file.
"""

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import grpc
import pytest
import yaml
from envoy_data_plane.envoy.service.discovery.v3 import DiscoveryRequest, DiscoveryResponse

from demo.handshake import Handshaker
from demo.openbao import SIDECAR_POLICY, STORE_POLICY
from demo.process import fetch_text
from demo.stack import Stack
from sidecar.cli.admin_client import request_admin
from sidecar.sds.resources import SDS_TYPE_URL
from sidecar.sds.service import SDS_SERVICE
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real
ALICE = "7f1c9a52-3f0e-4c8e-9f3b-0d7a8f5d2c11"
MORE = """
path "secret/data/envoy/oauth"  { capabilities = ["read"] }
path "pki/sign/other"           { capabilities = ["update"] }
"""
Change = Callable[[dict[str, Any]], None]


class Edge:
    """A stack whose file is changed, from the one it was started with, and reloaded."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.first = yaml.safe_load(stack._config.read_text())
        self.hands = Handshaker(stack.ports.https, stack.ca_pem)
        root = stack.openbao.client
        root.sys.create_or_update_policy("sidecar", SIDECAR_POLICY + STORE_POLICY + MORE)
        root.secrets.kv.v2.create_or_update_secret("envoy/oauth", {"value": "s3cret"})
        role = root.secrets.pki.read_role("edge")["data"]
        root.secrets.pki.create_or_update_role("other", role)

    def reload(self, *changes: Change) -> dict[str, Any]:
        settings = deepcopy(self.first)
        for change in changes:
            change(settings)
        self.stack._config.write_text(yaml.safe_dump(settings, sort_keys=False))
        admin = f"127.0.0.1:{self.stack.admin_port}"
        return request_admin(admin, "POST", "/config/reload", seconds=60)[1]

    def serials(self) -> dict[str, str]:
        """The serial of each certificate that the sidecar manages, by name."""
        shown = json.loads(fetch_text(self.stack.admin_port, "/certificates"))["certificates"]
        return {each["name"]: each["serial"] for each in shown}

    def pushed(self) -> float:
        """How many resources were sent to Envoys."""
        lines = fetch_text(self.stack.admin_port, "/metrics").splitlines()
        return sum(
            float(n.split()[1]) for n in lines if n.startswith("septem_sds_resources_pushed_total")
        )

    def fetch(self, name: str) -> str:
        """The version under which SDS serves a name; empty if it does not."""
        with grpc.insecure_channel(f"127.0.0.1:{self.stack.ports.sds}") as channel:
            call = channel.unary_unary(f"/{SDS_SERVICE}/FetchSecrets")
            request = DiscoveryRequest(type_url=SDS_TYPE_URL, resource_names=[name])
            try:
                return DiscoveryResponse.parse(call(bytes(request))).version_info
            except grpc.RpcError as refused:
                if refused.code() is not grpc.StatusCode.NOT_FOUND:
                    raise
                return ""


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    with Stack(on_demand={"issuer": "internal", "max_labels": 6}) as running:
        yield Edge(running)


@pytest.fixture(autouse=True)
def as_it_was(edge: Edge) -> Iterator[None]:
    yield
    outcome = edge.reload()
    assert outcome["result"] in {"applied", "unchanged"}, outcome


def certificate(name: str, *hosts: str, issuer: str = "internal") -> Change:
    def add(settings: dict[str, Any]) -> None:
        added = {"name": name, "issuer": issuer, "common_name": hosts[0], "alt_names": [*hosts]}
        settings["certificates"].append(added)

    return add


def secret(path: str = "envoy/oauth") -> Change:
    def add(settings: dict[str, Any]) -> None:
        settings["generic_secrets"] = [{"name": "oauth", "path": path}]

    return add


def issuer(**fields: Any) -> Change:
    def change(settings: dict[str, Any]) -> None:
        settings["issuers"][0].update(fields)

    return change


def test_a_certificate_and_a_secret_appear_and_go(edge: Edge) -> None:
    before, pushed = edge.serials(), edge.pushed()
    outcome = edge.reload(certificate("extra", "extra.example"), secret())
    assert outcome["result"] == "applied", outcome
    assert edge.serials()["edge"] == before["edge"]
    assert edge.fetch("extra")
    assert edge.fetch("oauth") == "1"
    assert edge.pushed() == pushed + 2, "what was fetched here, and nothing for Envoy"
    held = edge.serials()
    assert edge.reload(certificate("extra", "extra.example"))["result"] == "applied"
    assert edge.serials() == held, "the certificate that stays is not obtained again"
    assert edge.fetch("oauth") == ""
    assert edge.reload()["result"] == "applied"
    assert edge.fetch("extra") == ""
    assert edge.serials() == before


def test_an_issuer_that_signs_otherwise_has_its_certificates_replaced_in_envoy(edge: Edge) -> None:
    before = edge.serials()["edge"]
    assert edge.reload(issuer(ttl_seconds=7200))["result"] == "applied"
    assert edge.serials()["edge"] == before, "a shorter life shows with the next renewal"
    assert edge.reload(issuer(role="other"))["result"] == "applied"
    fresh = edge.serials()["edge"]
    assert fresh != before
    name = edge.stack.names.of_edge[0]
    wait_until(lambda: int(edge.hands.shake(name).serial or "0", 16) == int(fresh, 16))


REFUSED: list[tuple[str, Change, str]] = [
    ("a certificate that the role does not allow", issuer(role="absent"), "issuer 'internal'"),
    ("a certificate of an issuer that is not there", certificate("x", "x.example", issuer="no"),
     "no"),
    ("a secret that Vault does not have", secret("envoy/absent"), "envoy/absent"),
    ("a registry that can't be read", lambda s: s["on_demand"]["registry"].update(path="/absent"),
     "/absent"),
]  # fmt: skip


@pytest.mark.parametrize("row", REFUSED, ids=[row[0] for row in REFUSED])
def test_what_can_not_be_had_refuses_the_whole_file(
    edge: Edge, row: tuple[str, Change, str]
) -> None:
    _, change, why = row
    before, pushed = edge.serials(), edge.pushed()
    outcome = edge.reload(certificate("beside", "beside.example"), change)
    assert outcome["result"] in {"unprepared", "invalid"}
    assert why in outcome["error"]
    assert edge.serials() == before
    assert edge.fetch("beside") == ""
    assert edge.pushed() == pushed


def test_names_on_demand_go_on_and_their_registry_is_exchanged(edge: Edge) -> None:
    edge.stack.register({"shop.example": ALICE})
    wait_until(lambda: edge.hands.shake("shop.example").done)
    serial = edge.hands.shake("shop.example").serial
    numbers = {"orders_burst": 7, "ttl_seconds": 1800, "retry_seconds": 1.0, "issuer": "customers"}
    assert edge.reload(lambda s: s["on_demand"].update(numbers))["result"] == "applied"
    assert edge.hands.shake("shop.example").serial == serial
    other = edge.stack.folder / "other.json"
    other.write_text(json.dumps([{"domain": "else.example", "tenant_id": ALICE}]))
    elsewhere = edge.reload(lambda s: s["on_demand"]["registry"].update(path=str(other)))
    assert elsewhere["result"] == "applied", elsewhere
    wait_until(lambda: edge.hands.shake("else.example").done)
    wait_until(lambda: not edge.hands.shake("shop.example").done)


def test_a_name_on_demand_may_become_configured_and_back(edge: Edge) -> None:
    edge.stack.register({"mine.example": ALICE})
    wait_until(lambda: edge.hands.shake("mine.example").done)
    assert edge.reload(certificate("mine.example", "mine.example"))["result"] == "applied"
    configured = edge.serials()["mine.example"]

    def served() -> int:
        return int(edge.hands.shake("mine.example").serial or "0", 16)

    wait_until(lambda: served() == int(configured, 16))
    assert edge.reload()["result"] == "applied"
    assert "mine.example" not in edge.serials()
    wait_until(lambda: served() not in {0, int(configured, 16)})
