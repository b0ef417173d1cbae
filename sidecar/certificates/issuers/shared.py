"""One order for the fleet: a certificate that one sidecar obtained is shared through Vault KV.

A certificate and its key exist in Vault and in memory, nowhere else (SECURITY-MODEL §9). So
a restart orders nothing, and ten sidecars that are asked for a new name at once order it once:
one takes the lease (``lease``), the others poll KV until it is there.
"""

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from sidecar.certificates.issuers.base import Issuer, Order, RenewalAdvice, advise
from sidecar.certificates.issuers.lease import (
    FleetFault,
    FleetKv,
    HeldLease,
    Leases,
    LeaseWatch,
    OrderLease,
)
from sidecar.certificates.issuers.slots import OrderSlots, purpose_of
from sidecar.certificates.issuers.vault_kv import kv_segment, read_material
from sidecar.common.clock import Now
from sidecar.common.errors import Fault
from sidecar.common.lanes import lane
from sidecar.config import model
from sidecar.vault.errors import VaultConflict, VaultFault
from workload.backoff import CONTENDED_JITTER_SHARE, Backoff
from workload.x509.material import Material, MaterialFault

_log = logging.getLogger("sidecar.certificates")
_LOOKS = Backoff(0.1, 2.0, growth=1.6, jitter_share=CONTENDED_JITTER_SHARE)
"""Between two looks at what another sidecar orders."""
_REWRITES = Backoff(1.0, 8.0, jitter_share=CONTENDED_JITTER_SHARE)
_WRITES = 4
_CERTIFICATE, _KEY = "certificate", "private_key"


class SharedIssuer:
    """An issuer whose certificates are shared by a fleet."""

    def __init__(
        self,
        inner: Issuer,
        settings: model.CertificateStoreSettings,
        vault: FleetKv,
        *,
        holder: str,
        now: Now,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
        jitter: Callable[[], float],
        is_revoked: Callable[[str], bool] = lambda _serial: False,
        edge_seconds: float = 0.0,
        slots: OrderSlots | None = None,
    ) -> None:
        self._inner = inner
        self._settings = settings
        self._vault = vault
        self._now = now
        self._clock = clock
        self._sleep = sleep
        self._jitter = jitter
        self._is_revoked = is_revoked
        self._leases = Leases(vault, settings.mount, holder=holder, seconds=settings.lease_seconds)
        self.slots = slots or OrderSlots()
        self.name = inner.name
        self.edge_seconds = edge_seconds
        """How long a first order waits for our edge to start; 0 if no CA connects to it."""
        self.found = 0
        """Certificates that were in the store already."""
        self.ordered = 0
        """Orders that this sidecar placed for the fleet."""

    async def issue(self, order: Order) -> Material:
        """Return the fleet's certificate, or order it for the fleet.

        Raises ``Fault``: that of the order, of Vault, or ``FleetFault`` if another sidecar's
        order takes longer than a lease.
        """
        key = f"{self.name}/{order_key(order)}"
        settings = self._settings
        deadline = self._clock() + settings.order_seconds + settings.lease_seconds
        watch = self._leases.watch(f"{settings.prefix}/leases/{key}", self._clock)
        looks = 0
        while True:
            async with self.slots.hold(order):
                found = await self._found_or_ordered(key, watch, order, looks)
                if found is not None:
                    return found
            # No slot is held while another sidecar orders.
            if self._clock() > deadline:
                raise FleetFault("another sidecar orders it, and is not done yet")
            if looks == 0:
                _log.info(
                    "another sidecar orders it: waiting for the lease %s",
                    key,
                    extra={"certificate": order.name},
                )
            looks += 1
            await self._sleep(_LOOKS.pause_seconds(looks, self._jitter()))

    async def _found_or_ordered(
        self, key: str, watch: LeaseWatch, order: Order, looks: int
    ) -> Material | None:
        """Return the stored certificate, or order one; ``None`` while another sidecar orders it.

        Most find it at the first call. Who waits looks at the lease alone, which its holder
        returns after it has stored the certificate.
        """
        found, version = await self._find(key, order) if looks == 0 else (None, 0)
        if found is None:
            free = await watch.look()
            if free is None:
                return None
            if looks or free.version:  # somebody held it, perhaps after we looked
                found, version = await self._find(key, order)
            if found is None:
                lease = await self._leases.claim(free)
                return None if lease is None else await self._order(key, lease, order, version)
        self.found += 1
        return found

    async def find(self, order: Order) -> Material | None:
        """Return the fleet's certificate, without ordering. Raises ``VaultFault``."""
        with lane(purpose_of(order)):
            found, _ = await self._find(f"{self.name}/{order_key(order)}", order)
        self.found += found is not None
        return found

    async def advise(self, material: Material) -> RenewalAdvice | None:
        """Return the inner issuer's renewal advice."""
        return await advise(self._inner, material)

    def _path(self, key: str) -> str:
        return f"{self._settings.prefix}/certificates/{key}"

    async def _find(self, key: str, order: Order) -> tuple[Material | None, int]:
        """Return the stored certificate if it may be served, and the version of its entry."""
        entry, version = await self._vault.read_kv_latest(self._settings.mount, self._path(key))
        if entry is None:
            return None, version
        try:
            found = read_material(
                entry.data.get(_CERTIFICATE), entry.data.get(_KEY), order, self._now()
            )
        except MaterialFault as fault:
            _log.info("the certificate stored at %s is not served: %s", self._path(key), fault)
            return None, version
        replaced = order.replaces is not None and found.version == order.replaces.version
        if replaced or self._is_revoked(found.serial):
            return None, version
        return found, version

    async def _order(self, key: str, lease: OrderLease, order: Order, version: int) -> Material:
        fault: Fault | None = None
        held = HeldLease(lease)
        try:
            async with self._leases.refreshed(lease) as held:
                return await self._under_lease(key, order, version)
        except Fault as raised:
            fault = raised
            raise
        finally:
            await self._leases.give_back(held.lease, fault, self._jitter())

    async def _under_lease(self, key: str, order: Order, version: int) -> Material:
        self.ordered += 1
        try:
            async with asyncio.timeout(self._settings.order_seconds):
                material = await self._inner.issue(order)
        except TimeoutError:
            raise FleetFault(
                "the issuer takes longer than certificate_store.order_seconds allows"
            ) from None
        await self._keep(key, material, version)
        return material

    async def _keep(self, key: str, material: Material, version: int) -> None:
        """Store a certificate. An order is expensive, so a fault of Vault is retried for a while.

        If that fails, this sidecar serves it all the same and the others order their own.
        """
        data = {
            _CERTIFICATE: material.chain_pem.decode("ascii"),
            _KEY: material.key_pem.decode("ascii"),
            "serial": material.serial,
            "not_after": material.not_after,
        }
        for attempt in range(1, _WRITES + 1):
            try:
                await self._vault.write_kv(self._settings.mount, self._path(key), data, version)
            except VaultConflict:
                version = await self._version(key, version)
            except VaultFault as gone:
                _log.warning("a new certificate is not stored in Vault yet: %s; trying again", gone)
                await self._sleep(_REWRITES.pause_seconds(attempt, self._jitter()))
            else:
                return
        _log.error(
            "a new certificate could not be stored in Vault; other sidecars will order their own"
        )

    async def _version(self, key: str, before: int) -> int:
        """Return the version to overwrite; a deleted entry keeps its number."""
        try:
            return await self._vault.read_kv_version(self._settings.mount, self._path(key))
        except VaultFault:
            return before


def order_key(order: Order) -> str:
    """Return the key of an order in the store: the same for every sidecar that needs these names.

    The name it is served under may differ between sidecars, so it is not part of the key.
    """
    names: list[Any] = [*sorted(order.dns_names), *sorted(order.uri_sans), *sorted(order.ip_sans)]
    if len(names) == 1 and order.dns_names:
        return kv_segment(order.dns_names[0])
    digest = hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]
    return f"{kv_segment(order.dns_names[0])}.{digest}" if order.dns_names else digest
