"""Renewals by hand while a real OpenBao is frozen: each comes soon after that goes on."""

import asyncio
from functools import partial
from signal import SIGCONT, SIGSTOP

import pytest

from demo.openbao import SIDECAR_POLICY, OpenBao
from sidecar.certificates.issuers.base import Order
from sidecar.certificates.issuers.shared import SharedIssuer
from sidecar.certificates.issuers.vault_pki import PkiIssuer
from sidecar.certificates.managed.certificate import (
    HAND_RETRY_SECONDS,
    HandOrder,
    ManagedCertificate,
)
from sidecar.certificates.managed.manager import CertificateManager
from sidecar.certificates.managed.store import CertificateStore
from sidecar.common.clock import monotonic_seconds, wall_seconds
from sidecar.common.errors import Fault
from sidecar.config import model
from sidecar.vault.client import VaultClient
from tests.support.policies import FLEET_POLICY
from tests.support.real import TokenFile
from tests.support.waiting import until
from workload.x509.material import Material

pytestmark = pytest.mark.real
ORDER = Order("edge", ("edge.septemcore.com",))
PKI = model.VaultPkiIssuer(name="internal", role="edge", share=True, ttl_seconds=30 * 86_400)
STORE = model.CertificateStoreSettings(lease_seconds=1)


class Sidecar:
    """The renewals of one sidecar, whose clock does not wait: what it sleeps has passed at once."""

    def __init__(self, vault: VaultClient) -> None:
        self.skipped = 0.0
        self.failed_at = 0.0
        self.pauses: list[float] = []
        """From each order that failed to when the next was planned."""
        self.name = PKI.name
        self._shared = SharedIssuer(
            PkiIssuer(PKI, vault, wall_seconds), STORE, vault, holder="one", now=wall_seconds,
            clock=monotonic_seconds, sleep=asyncio.sleep, jitter=lambda: 0.0,
        )  # fmt: skip
        self.manager = CertificateManager(
            [(ORDER, self)], CertificateStore(self.now),
            now=self.now, sleep=self.sleep, jitter=lambda: 0.0,
        )  # fmt: skip

    def now(self) -> float:
        return wall_seconds() + self.skipped

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0.01)
        self.skipped += seconds

    async def issue(self, order: Order) -> Material:
        if self.failed_at:
            (managed,) = self.manager
            self.pauses.append(managed.try_at - self.failed_at)
        try:
            return await self._shared.issue(order)
        except Fault:
            self.failed_at = self.now()
            raise


def has_failed_since(managed: ManagedCertificate, failures: int) -> bool:
    return managed.failures > failures


async def test_orders_by_hand_while_vault_is_frozen_come_soon_after_it_goes_on(
    own_openbao: OpenBao, token_file: TokenFile
) -> None:
    own_openbao.enable_pki(["septemcore.com"])
    token_file.write(own_openbao.token_for(SIDECAR_POLICY + FLEET_POLICY))
    settings = token_file.settings(own_openbao.address, timeout_seconds=0.3)
    sidecar = Sidecar(VaultClient(settings, clock=monotonic_seconds))
    (managed,) = sidecar.manager
    loop = asyncio.create_task(sidecar.manager.keep_fresh())
    await until(lambda: managed.material is not None and not managed.running, task=loop)
    assert managed.material is not None
    before = managed.material.serial
    sidecar.failed_at = 0.0  # a busy machine may not have answered in time
    sidecar.pauses.clear()
    own_openbao.process.signal(SIGSTOP)
    try:
        for failures in range(4):
            assert sidecar.manager.renew_by_hand("edge") == 0.0
            await until(partial(has_failed_since, managed, failures), task=loop)
            assert managed.by_hand is HandOrder.OPEN
    finally:
        own_openbao.process.signal(SIGCONT)
    await until(lambda: managed.by_hand is HandOrder.NONE, task=loop)
    assert managed.material.serial != before
    assert len(sidecar.pauses) >= 4
    assert max(sidecar.pauses) < HAND_RETRY_SECONDS + 5.0, "each would be twice the one before"
    loop.cancel()
    await asyncio.gather(loop, return_exceptions=True)
