"""What is served of a revoked certificate until there is another, and what is said of it."""

import pytest
from cryptography import x509

from sidecar.certificates.issuers.base import Order
from sidecar.certificates.managed.certificate import RevocationStep
from sidecar.certificates.managed.metrics import revoked_family
from sidecar.certificates.managed.withdrawal import Withdrawal, self_signed
from sidecar.common.errors import Fault
from sidecar.observability.alerts import Alerts
from tests.support.managed_world import World
from workload.x509.servable import check_servable


class Revocation:
    """A world in which certificates are revoked, and what is said of them."""

    def __init__(self, *self_signed_names: str) -> None:
        self.world = World()
        alerts = Alerts(lambda: self.world.now, with_webhook=True)
        self.alerts = alerts
        self.withdrawal = Withdrawal(
            self.world.store, alerts, lambda: self.world.now, self_signed_names
        )
        self.world.manager._on_revoked = self.withdrawal.handle

    def said(self) -> list[tuple[str, str]]:
        """Return the severity and the message of each alert since the last time."""
        found = [(each["data"]["severity"], each["data"]["message"]) for each in self.alerts.queue]
        self.alerts.queue.clear()
        return found

    def served(self) -> str:
        """Return what the metric says is served of the revoked certificate."""
        family = revoked_family(self.world.manager, self.withdrawal, configured={"edge"})
        return "".join(sample.labels["served"] for sample in family.samples)


KEPT = "Envoy goes on serving the revoked one; end its listener, or set certificates"
INSTEAD = "a self-signed certificate is served, which every client rejects"


@pytest.mark.parametrize(
    ("names", "served", "words"), [((), "revoked", KEPT), (("edge",), "self_signed", INSTEAD)]
)
async def test_from_its_revocation_to_its_replacement(
    names: tuple[str, ...], served: str, words: str
) -> None:
    revocation = Revocation(*names)
    world = revocation.world
    await world.manager.obtain_all()
    assert revocation.served() == ""
    world.failing = Fault("Vault is away")
    world.manager.revoked("edge")
    ((severity, message),) = revocation.said()
    assert severity == "critical"
    assert "another is ordered, and Envoy serves it until that is issued" in message
    assert (world.store.get("edge"), revocation.served()) == (None, "revoked")
    await world.run_until(100.0)
    ((severity, message),) = revocation.said()
    assert severity == "critical"
    assert "no other is issued (certificate 'edge', issuer 'internal': Vault is away)" in message
    assert words in message
    held = world.store.get("edge")
    assert (held is not None) is bool(names)
    assert revocation.served() == served
    await world.run_until(2000.0)
    assert revocation.said() == [], "it is said once"
    assert world.store.get("edge") is held, "and no new key is made with every failure"
    world.failing = None
    await world.run_until_issued(2)
    assert revocation.said() == [("info", "another is served in its place")]
    assert (world.serial, revocation.served()) == ("2", "")


async def test_a_replacement_at_once_is_said_and_nothing_else_is_served() -> None:
    revocation = Revocation("edge")
    world = revocation.world
    await world.manager.obtain_all()
    world.manager.revoked("edge")
    await world.run_until_issued(2)
    assert [severity for severity, _ in revocation.said()] == ["critical", "info"]
    assert not revocation.withdrawal.is_self_signed("edge")


async def test_a_renewal_that_fails_is_no_revocation() -> None:
    revocation = Revocation("edge")
    world = revocation.world
    await world.manager.obtain_all()
    world.failing = Fault("Vault is away")
    await world.run_until(3000.0)
    assert world.manager.failures
    assert (revocation.said(), world.serial) == ([], "1")


async def test_one_that_has_ended_is_made_again() -> None:
    revocation = Revocation("edge")
    world = revocation.world
    await world.manager.obtain_all()
    world.failing = Fault("Vault is away")
    world.manager.revoked("edge")
    await world.run_until(100.0)
    first = world.store.get("edge")
    world.now = 40 * 86_400.0
    assert world.store.get("edge") is None
    managed = world.manager.get("edge")
    assert managed is not None
    revocation.withdrawal.handle(managed, RevocationStep.NOT_REPLACED)
    second = world.store.get("edge")
    assert second is not None
    assert second != first


def test_it_is_for_the_names_and_of_nobody() -> None:
    order = Order("edge", ("a.example", "*.b.example"), ("spiffe://d/edge",))
    made = self_signed(order, 1_790_000_000.0)
    certificate = x509.load_pem_x509_certificate(made.chain_pem)
    check_servable(certificate, for_hosts=True)
    certificate.verify_directly_issued_by(certificate)
    assert (made.names, made.uris) == (order.dns_names, order.uri_sans)
    assert made.serial != self_signed(order, 1_790_000_000.0).serial
    sans = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert sans.get_values_for_type(x509.DNSName) == list(order.dns_names)
