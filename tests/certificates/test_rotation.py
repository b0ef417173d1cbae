"""A hundred rotations under load through a real Envoy, and a Vault that is sealed meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from demo.openbao import SIDECAR_POLICY, OpenBao
from sidecar.certificates.issuers.base import Order
from sidecar.certificates.issuers.vault_pki import PkiIssuer
from sidecar.certificates.managed.manager import CertificateManager
from sidecar.certificates.managed.probe import Prober, Target, served_serial
from sidecar.certificates.managed.renewal import Level
from sidecar.certificates.managed.store import CertificateStore
from sidecar.common.clock import monotonic_seconds, wall_seconds
from sidecar.config import model
from sidecar.config.certificates import Probe
from sidecar.vault.client import VaultClient
from tests.support.acme_edge import AcmeEdge, running_edge
from tests.support.h2_client import H2Client
from tests.support.real import TokenFile
from tests.support.waiting import until
from workload.x509.material import Material

pytestmark = pytest.mark.real
NAME = "app.septemcore.com"
ORDER = Order("edge", (NAME,))
PKI = model.VaultPkiIssuer(name="internal", role="edge", ttl_seconds=3600)
ROTATIONS = 100
CONNECTIONS = 6


def make_manager(vault: VaultClient, store: CertificateStore) -> CertificateManager:
    return CertificateManager(
        [(ORDER, PkiIssuer(PKI, vault, wall_seconds))], store,
        now=wall_seconds, sleep=asyncio.sleep, jitter=lambda: 0.0,
    )  # fmt: skip


@pytest.fixture
async def edge(tmp_path: Path) -> AsyncIterator[AcmeEdge]:
    async with running_edge(tmp_path, None) as edge:
        yield edge


async def test_a_hundred_rotations_under_load_drop_no_connection_and_fail_no_request(
    openbao: OpenBao, token_file: TokenFile, edge: AcmeEdge
) -> None:
    token_file.write(openbao.token_for(SIDECAR_POLICY, name="rotation"))
    vault = VaultClient(token_file.settings(openbao.address), clock=monotonic_seconds)
    store, port = edge.store, edge.ports.https
    manager = make_manager(vault, store)
    loop = asyncio.create_task(manager.keep_fresh())
    changes: list[tuple[str, bool, str]] = []
    probe = Probe(address=f"127.0.0.1:{port}", within_seconds=10, every_seconds=600)
    prober = Prober(
        {"edge": Target(probe, NAME)}, store,
        clock=monotonic_seconds, now=wall_seconds, sleep=asyncio.sleep,
        on_change=lambda *change: changes.append(change),
    )  # fmt: skip
    probing = asyncio.create_task(prober.run())
    await served(port, store)
    old = [await H2Client.connect(port, NAME) for _ in range(CONNECTIONS)]
    done = asyncio.Event()
    statuses: list[int] = []
    fresh: set[str] = set()

    async def keep_asking(client: H2Client) -> None:
        while not done.is_set():
            statuses.append(await client.get("/"))

    async def keep_coming() -> None:
        while not done.is_set():
            client = await H2Client.connect(port, NAME)
            fresh.add(client.serial)
            statuses.append(await client.get("/"))
            await client.close()

    load = [asyncio.create_task(keep_asking(client)) for client in old]
    load.append(asyncio.create_task(keep_coming()))
    serials: set[str] = set()
    for _ in range(ROTATIONS):
        before = store.get("edge")
        manager.renew_soon("edge")
        await until(partial(differs, store, before))
        await asyncio.sleep(0.1)
        held = store.get("edge")
        assert held is not None
        serials.add(held.serial)
    await served(port, store)
    done.set()
    await asyncio.gather(*load)  # a connection that was dropped raises here
    assert len(serials) == ROTATIONS
    assert len(fresh) > ROTATIONS / 10, "new handshakes got new ones all along"
    assert set(statuses) == {200}
    assert len(statuses) > ROTATIONS
    assert edge.nacks == []
    assert manager.failures == 0
    for client in old:
        assert client.serial not in fresh or len(fresh) > 1
        await client.close()
    await matched(prober)
    assert changes == [], "what is served was always what was given, within its time"
    for task in (loop, probing):
        task.cancel()
    await asyncio.gather(loop, probing, return_exceptions=True)
    await vault.close()


async def served(port: int, store: CertificateStore) -> None:
    """Wait until the listener serves what is held."""
    for _ in range(200):
        held = store.get("edge")
        if held is not None and await served_serial(f"127.0.0.1:{port}", NAME) == held.serial:
            return
        await asyncio.sleep(0.05)
    pytest.fail("what is held is not served")


async def matched(prober: Prober) -> None:
    for _ in range(100):
        if prober.outcomes["match"]:
            return
        await asyncio.sleep(0.05)
    pytest.fail("nothing was probed")


async def test_a_vault_that_is_sealed_takes_nothing_out_of_service(
    token_file: TokenFile, edge: AcmeEdge, tmp_path: Path
) -> None:
    folder = tmp_path / "bao"
    folder.mkdir()
    server = await asyncio.to_thread(OpenBao, folder)
    try:
        server.enable_pki(["septemcore.com"])
        token_file.write(server.token_for(SIDECAR_POLICY))
        vault = VaultClient(token_file.settings(server.address, 2.0), clock=monotonic_seconds)
        manager = make_manager(vault, edge.store)
        await manager.obtain_all()
        await served(edge.ports.https, edge.store)
        held = edge.store.get("edge")
        assert held is not None
        loop = asyncio.create_task(manager.keep_fresh())
        server.client.sys.seal()
        manager.renew_soon("edge")
        await until(lambda: manager.failures > 0)
        managed = manager.get("edge")
        assert managed is not None
        assert "sealed" in managed.last_fault
        assert managed.level is Level.FRESH
        assert edge.store.get("edge") is held
        assert await served_serial(f"127.0.0.1:{edge.ports.https}", NAME) == held.serial
        with pytest.raises(Exception, match="sealed"):
            await manager.obtain(Order("new", ("new.septemcore.com",)), managed.issuer)
        assert manager.get("new") is None
        await asyncio.to_thread(server.unseal)
        manager.renew_soon("edge")
        await until(lambda: edge.store.get("edge") is not held)
        await served(edge.ports.https, edge.store)
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)
        await vault.close()
    finally:
        server.stop()


def differs(store: CertificateStore, before: Material | None) -> bool:
    return store.get("edge") is not before


async def test_a_listener_that_serves_another_certificate_is_reported(
    openbao: OpenBao, token_file: TokenFile, edge: AcmeEdge
) -> None:
    token_file.write(openbao.token_for(SIDECAR_POLICY, name="probe"))
    vault = VaultClient(token_file.settings(openbao.address), clock=monotonic_seconds)
    issuer = PkiIssuer(PKI, vault, wall_seconds)
    edge.store.put("edge", await issuer.issue(ORDER))
    await served(edge.ports.https, edge.store)
    ours = CertificateStore(wall_seconds)  # what this one holds never reaches the listener
    changes: list[tuple[str, bool, str]] = []
    address = f"127.0.0.1:{edge.ports.https}"
    prober = Prober(
        {"edge": Target(Probe(address=address, within_seconds=0.5, every_seconds=1), NAME)},
        ours, clock=monotonic_seconds, now=wall_seconds, sleep=asyncio.sleep,
        on_change=lambda *change: changes.append(change),
    )  # fmt: skip
    task = asyncio.create_task(prober.run())
    ours.put("edge", await issuer.issue(ORDER))
    await until(lambda: changes)
    held = edge.store.get("edge")
    assert held is not None
    (change,) = changes
    assert change[:2] == ("edge", False)
    assert change[2].startswith(f"it serves serial {held.serial} of ")
    await until(lambda: prober.outcomes["mismatch"] > 1)
    assert len(changes) == 1, "reported once"
    ours.put("edge", held)
    await until(lambda: len(changes) > 1)
    assert changes[1][:2] == ("edge", True)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert (await served_serial("127.0.0.1:1", NAME)).startswith("no handshake")
    await vault.close()
