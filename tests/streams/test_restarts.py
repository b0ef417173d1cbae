"""Two sidecars behind one Envoy: a restart of one loses no request, and no module."""

import hashlib
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from signal import SIGKILL, SIGSTOP
from typing import Any, Self

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ec

from demo.cases import API, INSTALL, Minter, bearer
from demo.envoyproxy import readme_pieces, shipped_config
from demo.process import ManagedProcess, fetch_status, fetch_text, free_ports
from demo.stack import READY_SECONDS, Stack
from sidecar.common.clock import wall_seconds
from sidecar.module_signing.signature import HEADER_NAME, sign_digest
from tests.module_signing.test_publisher_entry import pem
from tests.streams.edge import manager_of
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real
LARGE = "install of a large bundle"
"""Envoy keeps 64 KB of a Check for another try, so one with more in it is asked once."""
PUBLISHER = ec.generate_private_key(ec.SECP256R1())


class Pair(Stack):
    """The demo's stack with a second sidecar, and Envoy's file as its README has it for two."""

    def _sidecar_config(self) -> Mapping[str, Any]:
        first = dict(super()._sidecar_config())
        self.openbao.put_publishers({"acme": pem(PUBLISHER)})
        self.second_port, sds, self.second_admin, reports = free_ports(4)
        ports = {"authz": self.second_port, "sds": sds, "admin": self.second_admin}
        listen = {name: {"address": f"127.0.0.1:{port}"} for name, port in ports.items()}
        listen["reports"] = {"address": f"127.0.0.1:{reports}"}
        notice = {"drain_notice_seconds": 2}
        first["listen"] = {**first["listen"], **notice}
        audit = {"to": {"sink": "file", "path": str(self.folder / "second.jsonl")}}
        self.second_config = self.folder / "second.yaml"
        self.second_config.write_text(
            yaml.safe_dump({**first, "listen": {**listen, **notice}, "audit": audit})
        )
        return first

    def _envoy_config(self) -> Any:
        config = super()._envoy_config()
        (cluster,) = (
            each
            for each in config["static_resources"]["clusters"]
            if each["name"] == "sidecar_authz"
        )
        (piece,) = readme_pieces("Several sidecars")
        cluster.update(piece)
        (locality,) = cluster["load_assignment"]["endpoints"]
        ports = (self.ports.authz, self.second_port)
        for endpoint, port in zip(locality["lb_endpoints"], ports, strict=True):
            endpoint["endpoint"]["address"]["socket_address"]["port_value"] = port
        manager = manager_of(config)
        (ext_authz,) = (e for e in manager["http_filters"] if e["name"].endswith("ext_authz"))
        ext_authz["typed_config"].update(readme_pieces()[1])
        service = ext_authz["typed_config"]["grpc_service"]
        # Other tests run on this machine, and a Check that takes half a second is no lost one.
        service["timeout"] = "5s"
        service["retry_policy"]["retry_back_off"]["max_interval"] = "1s"
        (route,) = (
            each
            for each in manager["route_config"]["virtual_hosts"][0]["routes"]
            if each["match"] == {"path": INSTALL}
        )
        own = route["typed_per_filter_config"]["envoy.filters.http.ext_authz"]["check_settings"]
        policy = readme_pieces()[1]["grpc_service"]["retry_policy"]
        policy["retry_back_off"]["max_interval"] = "3s"
        own["grpc_service"]["retry_policy"] = policy
        return config

    def start_second(self) -> None:
        command = [sys.executable, "-m", "sidecar", "serve", "--config", str(self.second_config)]
        self.second = ManagedProcess("the second sidecar", command)
        self._exits.callback(self.second.stop)
        self.second.wait_until(
            lambda: fetch_status(self.second_admin, "/readyz") == 200, READY_SECONDS
        )

    def healthy(self) -> int:
        """Return how many sidecars Envoy takes for healthy."""
        text = fetch_text(self.ports.admin, "/stats?filter=sidecar_authz.membership_healthy")
        return int(text.rpartition(" ")[2])


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with Pair(keys={"poll_seconds": 0.5}) as running:
        running.start_second()
        wait_until(lambda: running.healthy() == 2)
        wait_until(lambda: install(running, b"first") == 200)
        yield running


def install(pair: Pair, bundle: bytes) -> int:
    token = bearer(Minter(pair.key, wall_seconds()).good())
    signature = sign_digest(hashlib.sha256(bundle).digest(), PUBLISHER)
    return pair.client.post(INSTALL, bundle, [token, (HEADER_NAME, signature)]).status


class Traffic:
    """Requests and installs, one after another, and the statuses of their answers."""

    def __init__(self, pair: Pair) -> None:
        self.statuses: Counter[tuple[str, int]] = Counter()
        self._stop = threading.Event()
        self._pair = pair
        large = b"x" * 1_000_000
        works = [
            self._asking,
            self._asking,
            self._installing("install", b"export default 1;"),
            self._installing(LARGE, large),
        ]
        self._threads = [threading.Thread(target=self._repeat, args=(work,)) for work in works]

    def _asking(self) -> tuple[str, int]:
        token = bearer(Minter(self._pair.key, wall_seconds()).good())
        return "request", self._pair.client.get(API, (token,)).status

    def _installing(self, name: str, bundle: bytes) -> Any:
        return lambda: (name, install(self._pair, bundle))

    def _repeat(self, work: Any) -> None:
        while not self._stop.is_set():
            self.statuses[work()] += 1

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        time.sleep(0.3)
        return self

    def __exit__(self, *_: object) -> None:
        time.sleep(0.3)
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def failed(self) -> set[str]:
        """Return what was not answered with 200."""
        return {what for what, status in self.statuses if status != 200}


def test_a_rolling_restart_loses_nothing(pair: Pair) -> None:
    with Traffic(pair) as traffic:
        assert pair.sidecar.stop() == 0
        pair.start_sidecar()
        wait_until(lambda: pair.healthy() == 2)
        assert pair.second.stop() == 0
        pair.start_second()
        wait_until(lambda: pair.healthy() == 2)
    assert traffic.failed() == set()
    assert len(traffic.statuses) == 3


@pytest.mark.parametrize("number", [SIGKILL, SIGSTOP], ids=["killed", "hung"])
def test_one_that_is_lost_is_not_missed(pair: Pair, number: int) -> None:
    """Not by what Envoy can ask again."""
    with Traffic(pair) as traffic:
        pair.second.signal(number)  # type: ignore[arg-type]
        wait_until(lambda: pair.healthy() == 1)
        time.sleep(0.5)
    pair.second.stop()
    pair.start_second()
    wait_until(lambda: pair.healthy() == 2)
    assert traffic.failed() <= {LARGE}


def test_every_check_that_is_shipped_is_asked_again() -> None:
    """Of both listeners, and of the route that has a service of its own."""
    for name in ("edge.yaml", "edge-on-demand.yaml", "service-mtls.yaml"):
        services = list(services_of(shipped_config(name)))
        assert len(services) >= 1 + 2 * name.startswith("edge")
        for each in services:
            assert each["retry_policy"]["num_retries"] == 2, name
            assert "unavailable" in each["retry_policy"]["retry_on"]
            # Or each try ends after ten times base_interval, and a large bundle never gets through.
            longest = each["retry_policy"]["retry_back_off"]["max_interval"]
            assert float(longest[:-1]) >= float(each["timeout"][:-1])


def services_of(tree: Any) -> Iterator[Any]:
    """Every service that Checks are asked of, wherever it stands."""
    if isinstance(tree, dict):
        service = tree.get("grpc_service")
        if service and service["envoy_grpc"]["cluster_name"] == "sidecar_authz":
            yield service
        tree = list(tree.values())
    for each in tree if isinstance(tree, list) else ():
        yield from services_of(each)
