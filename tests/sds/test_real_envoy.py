"""A real Envoy takes its certificate from SDS, and a rotation drops nobody."""

import asyncio
import dataclasses
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography import x509

from demo.application import SampleApplication
from demo.envoyproxy import EdgePorts, Envoy, edge_config
from demo.openbao import SIDECAR_POLICY, OpenBao
from demo.process import free_ports
from sidecar.certificates.issuers.base import Order
from sidecar.certificates.issuers.vault_pki import PkiIssuer
from sidecar.certificates.managed.manager import CertificateManager
from sidecar.certificates.managed.store import CertificateStore
from sidecar.certificates.managed.withdrawal import self_signed
from sidecar.common.clock import monotonic_seconds, wall_seconds
from sidecar.config import model
from sidecar.sds.service import SDS_SERVICE, SdsEvents, SdsService
from sidecar.transport.aio import GrpcServer
from sidecar.vault.client import VaultClient
from tests.support.real import TokenFile
from tests.support.waiting import until

pytestmark = pytest.mark.real
WANTED = Order("edge", ("app.septemcore.com",))
PKI = model.VaultPkiIssuer(name="internal", role="edge")


@pytest.fixture
async def edge(
    openbao: OpenBao, token_file: TokenFile, tmp_path: Path
) -> AsyncIterator[tuple[Envoy, int, CertificateManager, list[tuple[str, str]], CertificateStore]]:
    token_file.write(openbao.token_for(SIDECAR_POLICY))
    vault = VaultClient(token_file.settings(openbao.address), clock=monotonic_seconds)
    store = CertificateStore(wall_seconds)
    manager = CertificateManager(
        [(WANTED, PkiIssuer(PKI, vault, wall_seconds))], store,
        now=wall_seconds, sleep=asyncio.sleep, jitter=lambda: 0.0,
    )  # fmt: skip
    await manager.obtain_all()
    nacks: list[tuple[str, str]] = []
    events = SdsEvents(
        lambda _: None, lambda _: None, lambda node, words: nacks.append((node, words))
    )
    service = SdsService(store, events)
    server = GrpcServer("127.0.0.1:0", SDS_SERVICE, service.handlers(), max_message_bytes=4_194_304)
    await server.start()
    application = SampleApplication()
    http, https, admin, authz = free_ports(4)
    sds = int(server.bound_address.rpartition(":")[2])
    ports = EdgePorts(http, https, admin, application.port, authz, sds)
    envoy = await asyncio.to_thread(Envoy, edge_config(ports), tmp_path)
    yield envoy, https, manager, nacks, store
    await asyncio.to_thread(envoy.stop)
    application.stop()
    service.drain()
    await server.stop(1)
    await vault.close()


def connect(port: int) -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    raw = socket.create_connection(("127.0.0.1", port), timeout=5)
    return context.wrap_socket(raw, server_hostname="app.septemcore.com")


def contents(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in folder.rglob("*") if path.is_file()]


def serial(connection: ssl.SSLSocket) -> str:
    der = connection.getpeercert(binary_form=True)
    assert der is not None
    return f"{x509.load_der_x509_certificate(der).serial_number:x}"


def alive(connection: ssl.SSLSocket) -> bool:
    connection.sendall(b"GET / HTTP/1.1\r\nHost: app.septemcore.com\r\n\r\n")
    return connection.recv(9).startswith(b"HTTP/1.1 ")


async def test_a_rotation_reaches_new_connections_and_spares_old_ones(
    edge: tuple[Envoy, int, CertificateManager, list[tuple[str, str]], CertificateStore],
    tmp_path: Path,
) -> None:
    envoy, port, manager, nacks, store = edge
    old = await asyncio.to_thread(connect, port)
    first = serial(old)
    await manager.obtain_all()
    ((_, held),) = tuple(store)
    assert held.serial != first
    for _ in range(100):
        with await asyncio.to_thread(connect, port) as new:
            if serial(new) == held.serial:
                break
        await asyncio.sleep(0.02)
    else:
        pytest.fail("the new certificate does not arrive")
    assert await asyncio.to_thread(alive, old), "the old connection lives on"
    old.close()
    assert nacks == []
    assert not any("PRIVATE KEY" in line for line in envoy.process.lines)
    assert not any(b"PRIVATE KEY" in content for content in contents(tmp_path))


async def test_a_bad_secret_is_refused_noted_and_displaces_nothing(
    edge: tuple[Envoy, int, CertificateManager, list[tuple[str, str]], CertificateStore],
) -> None:
    _, port, manager, nacks, store = edge
    ((_, held),) = tuple(store)
    await manager.obtain_all()
    ((_, other),) = tuple(store)
    mixed = dataclasses.replace(other, key_pem=held.key_pem, serial="bad")
    store.put("edge", mixed)
    await until(lambda: nacks)
    assert len(nacks) == 1
    assert nacks[0][1].startswith("'edge': ")
    assert "KEY_VALUES_MISMATCH" in nacks[0][1]
    await asyncio.sleep(0.5)
    assert len(nacks) == 1, "no loop"
    with await asyncio.to_thread(connect, port) as connection:
        assert serial(connection) in {held.serial, other.serial}
    await manager.obtain_all()
    ((_, good),) = tuple(store)
    for _ in range(100):
        with await asyncio.to_thread(connect, port) as connection:
            if serial(connection) == good.serial:
                return
        await asyncio.sleep(0.02)
    pytest.fail("after a refusal the next good certificate does not arrive")


async def test_envoy_goes_on_serving_what_is_withdrawn_until_it_is_given_another(
    edge: tuple[Envoy, int, CertificateManager, list[tuple[str, str]], CertificateStore],
) -> None:
    """So a revoked certificate is not gone by serving it no more (``managed.withdrawal``)."""
    _, port, _, nacks, store = edge
    ((_, held),) = tuple(store)
    store.remove("edge")
    for _ in range(20):
        with await asyncio.to_thread(connect, port) as connection:
            assert serial(connection) == held.serial
        await asyncio.sleep(0.02)
    instead = self_signed(WANTED, wall_seconds())
    store.put("edge", instead)
    for _ in range(100):
        with await asyncio.to_thread(connect, port) as connection:
            if serial(connection) == instead.serial:
                break
        await asyncio.sleep(0.02)
    else:
        pytest.fail("the certificate in its place does not arrive")
    assert nacks == [], "Envoy takes it; clients do not"
