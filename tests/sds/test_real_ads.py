"""A real Envoy over ADS: one stream, several kinds of secret, and a bad one among the good."""

import asyncio
import dataclasses
import secrets
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from demo.envoyproxy import Envoy
from demo.openbao import SIDECAR_POLICY, OpenBao
from demo.process import free_ports
from sidecar.certificates.issuers.base import Order
from sidecar.certificates.issuers.vault_pki import PkiIssuer
from sidecar.certificates.managed.store import CertificateStore
from sidecar.common.clock import monotonic_seconds, wall_seconds
from sidecar.config import model
from sidecar.sds import resources
from sidecar.sds.service import SDS_SERVICE, SdsEvents, SdsService
from sidecar.transport.aio import GrpcServer
from sidecar.vault.client import VaultClient
from tests.support.real import TokenFile

pytestmark = pytest.mark.real
API = "type.googleapis.com/envoy.extensions."
NAMES = ("first", "bad", "last")
ADS = {"ads": {}, "resource_api_version": "V3"}


def listener(name: str, port: int) -> dict[str, Any]:
    """TLS with a certificate, a trust bundle and ticket keys, all three over ADS."""
    tls = {
        "@type": f"{API}transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": {
            "tls_certificate_sds_secret_configs": [{"name": name, "sds_config": ADS}],
            "validation_context_sds_secret_config": {"name": "roots", "sds_config": ADS},
        },
        "session_ticket_keys_sds_secret_config": {"name": "tickets", "sds_config": ADS},
    }
    proxy = {
        "@type": f"{API}filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": name,
        "cluster": "sidecar",
    }
    return {
        "name": name,
        "address": address(port)["address"],
        "filter_chains": [
            {
                "transport_socket": {"name": "tls", "typed_config": tls},
                "transport_socket_connect_timeout": "2s",
                "filters": [{"name": "proxy", "typed_config": proxy}],
            }
        ],
    }


def address(port: int) -> dict[str, Any]:
    return {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}


def config(variant: str, ports: list[int], admin: int, sidecar: int) -> dict[str, Any]:
    http = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    options = {
        "@type": f"type.googleapis.com/{http}",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    cluster = {
        "name": "sidecar",
        "type": "STATIC",
        "typed_extension_protocol_options": {http: options},
        "load_assignment": {
            "cluster_name": "sidecar",
            "endpoints": [{"lb_endpoints": [{"endpoint": address(sidecar)}]}],
        },
    }
    ads = {
        "api_type": variant,
        "transport_api_version": "V3",
        "set_node_on_first_message_only": True,
        "grpc_services": [{"envoy_grpc": {"cluster_name": "sidecar"}}],
    }
    return {
        "node": {"id": "gw-1", "cluster": "gw"},
        "admin": address(admin),
        "dynamic_resources": {"ads_config": ads},
        "static_resources": {
            "listeners": [listener(*each) for each in zip(NAMES, ports, strict=True)],
            "clusters": [cluster],
        },
    }


def serial_at(port: int) -> str | None:
    """Dial a listener and return the serial it is served; ``None`` if there is no TLS yet."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=3) as raw,
            context.wrap_socket(raw, server_hostname="app.septemcore.com") as connection,
        ):
            der = connection.getpeercert(binary_form=True)
    except OSError:
        return None
    assert der is not None
    return f"{x509.load_der_x509_certificate(der).serial_number:x}"


async def served(port: int, serial: str) -> bool:
    """Wait until a listener serves this certificate."""
    for _ in range(100):
        if await asyncio.to_thread(serial_at, port) == serial:
            return True
        await asyncio.sleep(0.03)
    return False


@pytest.fixture
async def issuer(openbao: OpenBao, token_file: TokenFile) -> AsyncIterator[PkiIssuer]:
    token_file.write(openbao.token_for(SIDECAR_POLICY))
    vault = VaultClient(token_file.settings(openbao.address), clock=monotonic_seconds)
    settings = model.VaultPkiIssuer(name="internal", role="edge")
    yield PkiIssuer(settings, vault, wall_seconds)
    await vault.close()


WANTED = Order("edge", ("app.septemcore.com",))


@pytest.mark.parametrize("variant", ["DELTA_GRPC", "GRPC"])
async def test_a_bad_secret_holds_back_none_of_the_good_ones(
    variant: str, issuer: PkiIssuer, openbao: OpenBao, tmp_path: Path
) -> None:
    store = CertificateStore(wall_seconds)
    streams: list[int] = []
    nacks: list[tuple[str, str]] = []
    events = SdsEvents(streams.append, lambda _: None, lambda *nack: nacks.append(nack))
    service = SdsService(store, events)
    good = {name: await issuer.issue(WANTED) for name in NAMES}
    mixed = dataclasses.replace(good["bad"], key_pem=good["first"].key_pem, serial="mixed")
    for name, material in {**good, "bad": mixed}.items():
        store.put(name, material)
    roots = openbao.client.secrets.pki.read_ca_certificate().encode()
    service.secrets.put(resources.validation_context("roots", "1", roots))
    keys = [secrets.token_bytes(resources.TICKET_KEY_BYTES)]
    service.secrets.put(resources.session_ticket_keys("tickets", "1", keys))
    server = GrpcServer("127.0.0.1:0", SDS_SERVICE, service.handlers(), max_message_bytes=4_194_304)
    await server.start()
    *ports, admin = free_ports(4)
    sidecar = int(server.bound_address.rpartition(":")[2])
    envoy = await asyncio.to_thread(Envoy, config(variant, ports, admin, sidecar), tmp_path)
    try:
        for name, port in zip(NAMES, ports, strict=True):
            if name != "bad":
                assert await served(port, good[name].serial)
        assert [words.partition(":")[0] for _, words in nacks] == ["'bad'"]
        assert "KEY_VALUES_MISMATCH" in nacks[0][1]
        store.put("bad", good["bad"])
        assert await served(ports[1], good["bad"].serial), "it is mended by its next version"
        renewed = await issuer.issue(WANTED)
        store.put("last", renewed)
        assert await served(ports[2], renewed.serial)
        assert max(streams) == 1, "all names share a stream"
        assert len(nacks) == 1
    finally:
        await asyncio.to_thread(envoy.stop)
        service.drain()
        await server.stop(1)
