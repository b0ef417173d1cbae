"""An order says what it replaces, and its fault names the certificate and the issuer."""

import pytest

from sidecar.certificates.managed.certificate import ManagedCertificate
from sidecar.certificates.managed.obtaining import CertificateFault, obtain
from sidecar.common.errors import Fault
from tests.support.managed_world import WANTED, World


async def test_the_issuer_is_told_what_is_replaced() -> None:
    world = World()
    managed = ManagedCertificate(WANTED, world)
    first = await obtain(managed, None)
    await obtain(managed, first)
    assert world.replaced == [None, "1"]


async def test_the_fault_names_both_and_says_when_to_try_again() -> None:
    world = World()
    fault = Fault("Vault is away")
    fault.retryable, fault.retry_after_seconds = True, 7.0
    world.failing = fault
    with pytest.raises(CertificateFault, match="'edge', issuer 'internal': Vault is") as raised:
        await obtain(ManagedCertificate(WANTED, world), None)
    assert (raised.value.retryable, raised.value.retry_after_seconds) == (True, 7.0)
