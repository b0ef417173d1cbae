"""What a real Vault PKI revokes is served no more, and a stored certificate that changes is."""

import asyncio
from functools import partial

import pytest

from demo.openbao import SIDECAR_POLICY, OpenBao
from sidecar.certificates.issuers.base import Order
from sidecar.certificates.issuers.vault_kv import KvIssuer
from sidecar.certificates.issuers.vault_kv_watch import KvWatch
from sidecar.certificates.issuers.vault_pki import PkiIssuer
from sidecar.certificates.managed.manager import CertificateManager
from sidecar.certificates.managed.revocation import RevocationWatch
from sidecar.certificates.managed.store import CertificateStore
from sidecar.common.clock import monotonic_seconds, wall_seconds
from sidecar.config import model
from sidecar.vault.client import VaultClient
from sidecar.vault.trust import read_mount_crls
from tests.support.authorities import Ca, pem
from tests.support.policies import FLEET_POLICY
from tests.support.real import TokenFile
from tests.support.waiting import until

pytestmark = pytest.mark.real
POLICY = SIDECAR_POLICY + FLEET_POLICY
PKI = model.VaultPkiIssuer(name="internal", role="edge", ttl_seconds=3600)
ORDER = Order("edge", ("app.septemcore.com",))


@pytest.fixture
def vault(openbao: OpenBao, token_file: TokenFile) -> VaultClient:
    token_file.write(openbao.token_for(POLICY, name="revoked"))
    return VaultClient(token_file.settings(openbao.address), clock=monotonic_seconds)


def manager_of(store: CertificateStore, *wanted: tuple[Order, object]) -> CertificateManager:
    return CertificateManager(
        wanted, store, now=wall_seconds, sleep=asyncio.sleep, jitter=lambda: 0.0  # type: ignore[arg-type]
    )  # fmt: skip


async def test_a_revoked_certificate_is_replaced(openbao: OpenBao, vault: VaultClient) -> None:
    store = CertificateStore(wall_seconds)
    manager = manager_of(store, (ORDER, PkiIssuer(PKI, vault, wall_seconds)))
    await manager.obtain_all()
    first = store.get("edge")
    assert first is not None
    watch = RevocationWatch(
        PKI, partial(read_mount_crls, vault), sleep=asyncio.sleep, jitter=lambda: 0.0
    )
    await watch.refresh()
    watch.compare(manager)
    assert store.get("edge") is first, "it is not revoked"
    digits = f"{int(first.serial, 16):x}".zfill(len(first.serial) + len(first.serial) % 2)
    openbao.client.secrets.pki.revoke_certificate(
        ":".join(digits[at : at + 2] for at in range(0, len(digits), 2))
    )
    await watch.refresh()
    assert watch.is_revoked(first.serial)
    watch.compare(manager)
    assert store.get("edge") is None
    loop = asyncio.create_task(manager.keep_fresh())
    for _ in range(200):
        if store.get("edge") is not None:
            break
        await asyncio.sleep(0.02)
    loop.cancel()
    await asyncio.gather(loop, return_exceptions=True)
    second = store.get("edge")
    assert second is not None
    assert second.serial != first.serial
    watch.compare(manager)
    assert store.get("edge") is second


async def test_a_crl_that_can_not_be_read_forgets_nothing(vault: VaultClient) -> None:
    watch = RevocationWatch(
        model.VaultPkiIssuer(name="nobody", role="edge", mount="nowhere"),
        partial(read_mount_crls, vault),
        sleep=asyncio.sleep, jitter=lambda: 0.0,
    )  # fmt: skip
    watch._serials = frozenset({7})
    await watch.refresh()
    assert watch.status.outcomes == {"VaultForbidden": 1}
    assert watch.is_revoked("7")


async def test_what_any_crl_or_delta_lists_is_revoked() -> None:
    async def read(_mount: str) -> tuple[str, ...]:
        a, b = Ca("a"), Ca("b")
        return pem(a.crl([7])), pem(a.crl([9], delta=True, restored=[10])), pem(b.crl([8]))

    watch = RevocationWatch(PKI, read, sleep=asyncio.sleep, jitter=lambda: 0.0)
    await watch.refresh()
    assert [watch.is_revoked(each) for each in ("7", "8", "9", "a", "b")] == [True] * 3 + [
        False
    ] * 2


async def test_an_answer_that_is_no_crl_forgets_nothing() -> None:
    async def read(_mount: str) -> tuple[str, ...]:
        return (pem(Ca("a").crl([8])), "hello")

    watch = RevocationWatch(PKI, read, sleep=asyncio.sleep, jitter=lambda: 0.0)
    watch._serials = frozenset({7})
    await watch.refresh()
    assert watch.is_revoked("7")
    assert watch.status.outcomes == {"CrlFault": 1}


async def test_a_stored_certificate_that_changes_is_pushed(
    openbao: OpenBao, vault: VaultClient
) -> None:
    source = PkiIssuer(PKI, vault, wall_seconds)

    async def put() -> str:
        made = await source.issue(ORDER)
        openbao.client.secrets.kv.v2.create_or_update_secret(
            "septem/tls/edge",
            {"certificate": made.chain_pem.decode(), "private_key": made.key_pem.decode()},
        )
        return made.serial

    first = await put()
    settings = model.VaultKvIssuer(name="stored", prefix="septem/tls", poll_seconds=0.1)
    issuer = KvIssuer(settings, vault, wall_seconds)
    store = CertificateStore(wall_seconds)
    manager = manager_of(store, (ORDER, issuer))
    await manager.obtain_all()
    watch = KvWatch(issuer, sleep=asyncio.sleep, jitter=lambda: 0.0)
    tasks = [
        asyncio.create_task(manager.keep_fresh()),
        asyncio.create_task(watch.run(manager)),
    ]
    await until(lambda: watch.status.outcomes.get("ok", 0) > 2)
    held = store.get("edge")
    assert held is not None
    assert held.serial == first
    second = await put()
    for _ in range(100):
        held = store.get("edge")
        if held is not None and held.serial == second:
            break
        await asyncio.sleep(0.05)
    else:
        pytest.fail("the change is not noticed")
    openbao.client.secrets.kv.v2.create_or_update_secret("septem/tls/edge", {"oops": "x"})
    await until(lambda: manager.failures)
    held = store.get("edge")
    assert held is not None
    assert held.serial == second, "what can't be served displaces nothing"
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
