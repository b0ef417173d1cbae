"""What of certificates the real Envoy takes, beside what we refuse before it sees it."""

import asyncio
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from demo.envoyproxy import Envoy
from demo.process import free_ports
from sidecar.certificates.managed.store import CertificateStore
from sidecar.common.clock import wall_seconds
from sidecar.sds.service import SDS_SERVICE, SdsEvents, SdsService
from sidecar.transport.aio import GrpcServer
from tests.support.odd_certificates import CASES
from tests.support.waiting import until
from workload.x509.material import Material

pytestmark = pytest.mark.real
TYPES = "type.googleapis.com/envoy.extensions"


def listener(name: str, port: int) -> dict[str, Any]:
    source = {
        "resource_api_version": "V3",
        "api_config_source": {
            "api_type": "GRPC",
            "transport_api_version": "V3",
            "grpc_services": [{"envoy_grpc": {"cluster_name": "sds"}}],
        },
    }
    proxy = {
        "@type": f"{TYPES}.filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": "none",
        "cluster": "sds",
    }
    tls = {
        "@type": f"{TYPES}.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": {
            "tls_certificate_sds_secret_configs": [{"name": name, "sds_config": source}]
        },
    }
    return {
        "name": name,
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [
            {
                "filters": [{"name": "tcp", "typed_config": proxy}],
                "transport_socket": {"name": "tls", "typed_config": tls},
            }
        ],
    }


def bootstrap(names: list[str], sds_port: int) -> dict[str, Any]:
    admin, *ports = free_ports(len(names) + 1)
    options = {
        "@type": f"{TYPES}.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    address = {"socket_address": {"address": "127.0.0.1", "port_value": sds_port}}
    cluster = {
        "name": "sds",
        "type": "STATIC",
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options
        },
        "load_assignment": {
            "cluster_name": "sds",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
    }
    return {
        "node": {"id": "forms", "cluster": "forms"},
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": admin}}},
        "static_resources": {
            "listeners": [listener(*each) for each in zip(names, ports, strict=True)],
            "clusters": [cluster],
        },
    }


@pytest.fixture
async def nacks(tmp_path: Path) -> AsyncIterator[dict[str, str]]:
    """What an Envoy says of each certificate of the table; it is asked for all at once."""
    store = CertificateStore(wall_seconds)
    for each in CASES:
        chain, key = each.made
        store.put(each.name, Material(chain, key, (), "1", 0.0, wall_seconds() + 3600))
    said: dict[str, str] = {}

    def nacked(_node: str, words: str) -> None:
        _, name, why = words.split("'", 2)
        said[name] = why

    events = SdsEvents(lambda _: None, lambda _: None, nacked)
    service = SdsService(store, events)
    server = GrpcServer("127.0.0.1:0", SDS_SERVICE, service.handlers(), max_message_bytes=4_194_304)
    await server.start()
    config = bootstrap([each.name for each in CASES], int(server.bound_address.rpartition(":")[2]))
    envoy = await asyncio.to_thread(Envoy, config, tmp_path)
    admin = config["admin"]["address"]["socket_address"]["port_value"]
    await until(lambda: answered(admin) == len(CASES))
    await until(lambda: len(said) >= sum(bool(each.envoy) for each in CASES))
    yield said
    await asyncio.to_thread(envoy.stop)
    service.drain()
    await server.stop(1)


def answered(admin: int) -> int:
    """Return how many certificates Envoy has taken or refused."""
    with urllib.request.urlopen(f"http://127.0.0.1:{admin}/stats?filter=sds") as reply:
        lines = reply.read().decode().splitlines()
    decided = (line for line in lines if ".update_success:" in line or ".update_rejected:" in line)
    return sum(int(line.rpartition(" ")[2]) for line in decided)


async def test_what_envoy_refuses_we_refuse_first(nacks: dict[str, str]) -> None:
    for each in CASES:
        assert bool(nacks.get(each.name)) is bool(each.envoy), (each.name, nacks.get(each.name))
        assert each.envoy in nacks.get(each.name, ""), each.name
        assert each.ours or not each.envoy, "what Envoy refuses is refused where it is stored"
