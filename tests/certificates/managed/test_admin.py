"""What an operator is shown of a certificate, and may do with it."""

from collections.abc import Callable

import pytest
from cryptography import x509

from sidecar.certificates.issuers.base import Order
from sidecar.certificates.managed.admin import (
    CertificateAdmin,
    CertificateAdminFault,
    TooSoon,
    UnknownCertificate,
    state_of,
)
from sidecar.certificates.managed.admin_routes import certificate_actions
from sidecar.certificates.managed.certificate import ManagedCertificate
from sidecar.certificates.managed.manager import CertificateManager
from sidecar.certificates.managed.renewal import Level
from sidecar.certificates.managed.store import CertificateStore
from sidecar.common.errors import Fault
from tests.support.authorities import Ca
from tests.support.managed_world import Nobody
from workload.x509.material import Material, spki_pin

CA = Ca("platform")
LEAF = CA.material("spiffe://d/ns/edge/sa/api", dns_names=("a.example",))


def managed(**state: object) -> ManagedCertificate:
    made = ManagedCertificate(Order("edge", ("a.example",)), Nobody())
    for name, value in state.items():
        setattr(made, name, value)
    return made


STATES: list[tuple[str, dict[str, object], str]] = [
    ("before the first one", {}, "pending"),
    ("as it should be", {"material": LEAF}, "held"),
    ("an order is under way", {"material": LEAF, "running": True}, "renewing"),
    ("the last order failed", {"material": LEAF, "failures": 1}, "failed"),
    ("another try is under way", {"failures": 1, "running": True}, "renewing"),
    ("it ended", {"level": Level.ENDED, "failures": 9, "running": True}, "expired"),
    ("it was revoked", {"material": LEAF, "revoked": True, "level": Level.ENDED}, "revoked"),
]


@pytest.mark.parametrize(("state", "shown"), [s[1:] for s in STATES], ids=[s[0] for s in STATES])
def test_the_state(state: dict[str, object], shown: str) -> None:
    assert state_of(managed(**state)) == shown


class World:
    """An operator, a manager with two certificates of one CA, and what was revoked there."""

    def __init__(self) -> None:
        self.name = "internal"
        self.now = CA.now.timestamp()
        self.store = CertificateStore(lambda: self.now)
        self.manager = CertificateManager(
            [(Order(name, (f"{name}.example",)), self) for name in ("b", "a")], self.store,
            now=lambda: self.now, sleep=self.sleep, jitter=lambda: 0.0,
        )  # fmt: skip
        self.revoked: list[tuple[str, str]] = []
        self.refusal: Fault | None = None
        self.meanwhile: Callable[[], None] = lambda: None
        self.admin = CertificateAdmin(self.manager, {"a": False}, self.revoke, lambda: self.now)

    async def issue(self, order: Order) -> Material:
        return CA.material(dns_names=order.dns_names, hours=20.0)

    async def sleep(self, _seconds: float) -> None:
        raise AssertionError

    async def revoke(self, issuer: str, serial: str) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.meanwhile()
        self.revoked.append((issuer, serial))

    def of(self, name: str) -> ManagedCertificate:
        found = self.manager.get(name)
        assert found is not None
        return found

    async def obtain(self, name: str) -> None:
        found = self.of(name)
        await self.manager.obtain(found.order, found.issuer)


@pytest.fixture
async def world() -> World:
    made = World()
    await made.obtain("a")
    return made


def test_a_row_has_all_and_no_key(world: World) -> None:
    a, b = world.admin.list()
    material = world.of("a").material
    assert material is not None
    leaf = x509.load_pem_x509_certificate(material.chain_pem)
    assert a == {
        "name": "a", "issuer": "internal", "names": ["a.example"], "state": "held",
        "last_error": "", "failures": 0, "orders": 1, "serial": material.serial, "served": False,
        "asked": False, "next_order_seconds": 19200,
        "not_after": leaf.not_valid_after_utc.isoformat(), "days_left": 0.83,
        "spki_sha256": spki_pin(leaf),
    }  # fmt: skip
    assert (b["name"], b["state"], b["serial"], b["not_after"]) == ("b", "pending", "", None)
    assert (b["names"], b["served"]) == (["b.example"], None), "of the order, until there is one"
    assert "PRIVATE" not in repr(world.admin.show("a"))


def test_the_chain_is_shown(world: World) -> None:
    assert world.admin.show("a")["chain_pem"].count("BEGIN CERTIFICATE") >= 1
    assert world.admin.show("b")["chain_pem"] == ""


def test_what_it_is_for_is_read_from_the_certificate(world: World) -> None:
    world.of("a").material = LEAF
    assert world.admin.show("a")["names"] == ["a.example", "spiffe://d/ns/edge/sa/api"]


async def test_a_name_that_is_none(world: World) -> None:
    for act in (world.admin.show, world.admin.renew):
        with pytest.raises(UnknownCertificate, match="there is no certificate 'c'"):
            act("c")
    with pytest.raises(UnknownCertificate):
        await world.admin.revoke("c")


async def test_a_renewal_is_ordered_once_a_minute(world: World) -> None:
    world.admin.renew("a")
    assert world.of("a").try_at == world.now
    await world.obtain("a")
    world.now += 12.5
    with pytest.raises(TooSoon, match=r"certificate 'a'.* try again in 48 s") as soon:
        world.admin.renew("a")
    assert soon.value.retry_after_seconds == 48, "whole seconds, never too few"
    world.now += 47.5
    world.admin.renew("a")
    assert world.of("a").try_at == world.now


async def test_an_order_by_hand_is_open_until_it_is_answered(world: World) -> None:
    row = world.admin.renew("a")
    assert (row["asked"], row["next_order_seconds"]) == (True, 0)
    await world.obtain("a")
    assert world.admin.show("a")["asked"] is False


async def test_the_page_says_of_an_open_order_why_it_is_not_there_and_when_it_is_tried(
    world: World,
) -> None:
    renew = certificate_actions(world.admin)["renew"]
    assert await renew("a") == (
        "Certificate 'a' is being ordered; what is held is served until it is there."
    )
    managed = world.of("a")
    managed.failed("no answer in time", world.now, is_outage=True)
    managed.try_at = world.now + 8.5
    assert await renew("a") == (
        "Certificate 'a' is ordered already, and not there yet: no answer in time. It is tried "
        "again in 9 s."
    )


def test_who_is_told_to_wait_is_told_why_it_failed_and_when_it_is_tried_again(world: World) -> None:
    managed = world.of("a")
    managed.by_hand_at, managed.try_at = world.now - 50.0, world.now + 19.2
    managed.failed("Vault: no such role", world.now, is_outage=False)
    with pytest.raises(TooSoon, match=r"it failed \(Vault: no such role\) and is tried .* in 20 s"):
        world.admin.renew("a")


async def test_what_is_revoked_is_no_longer_served(world: World) -> None:
    material = world.of("a").material
    assert material is not None
    assert (await world.admin.revoke("a"))["state"] == "revoked"
    assert world.revoked == [("internal", material.serial)]
    assert world.store.get("a") is None
    with pytest.raises(CertificateAdminFault, match="there is none to revoke"):
        await world.admin.revoke("a")
    with pytest.raises(CertificateAdminFault, match="there is none to revoke"):
        await world.admin.revoke("b")
    assert len(world.revoked) == 1


async def test_what_the_ca_does_not_revoke_is_still_served(world: World) -> None:
    world.refusal = Fault("permission denied")
    with pytest.raises(Fault, match="permission denied"):
        await world.admin.revoke("a")
    assert world.store.get("a") is not None
    assert world.of("a").revoked is False


async def test_what_replaced_it_meanwhile_is_served(world: World) -> None:
    fresh = CA.material(dns_names=("a.example",))

    def replace() -> None:
        world.of("a").material = fresh
        world.store.put("a", fresh)

    world.meanwhile = replace
    await world.admin.revoke("a")
    assert world.store.get("a") is fresh
