"""When a drill may order from a public CA: not while the fleet may not, and not again and again.

What it writes into Vault is the time of its own last order, under ``<prefix>/drills``; nothing of
what the fleet serves or orders by is written.
"""

from sidecar.certificates.drill.plan import Rehearsal
from sidecar.certificates.issuers.lease import FleetFault, FleetKv, Leases
from sidecar.certificates.issuers.shared import order_key
from sidecar.certificates.managed.certificate import MAX_ORDER_PAUSE_SECONDS
from sidecar.common.clock import monotonic_seconds
from sidecar.config import model
from sidecar.vault.errors import VaultConflict

FLOOR_SECONDS = MAX_ORDER_PAUSE_SECONDS
"""Between two drills of one order, as between two automatic orders of it."""
_DATE_SECONDS = 60.0
"""How far an entry may lie ahead of Vault's time and still count: a clock set back is another."""


class OrderFloors:
    """Permits the orders of one drill that count at a CA."""

    def __init__(
        self, vault: FleetKv, store: model.CertificateStoreSettings, counted: frozenset[str]
    ) -> None:
        """Permit freely what is not ordered from an issuer of ``counted``."""
        self._vault = vault
        self._store = store
        self._counted = counted
        self._leases = Leases(vault, store.mount, holder="", seconds=store.lease_seconds)

    async def permit(self, rehearsal: Rehearsal) -> str:
        """Return why an order may not be placed; else note that it is. Raises ``VaultFault``."""
        if rehearsal.issuer not in self._counted:
            return ""
        key = f"{rehearsal.issuer}/{order_key(rehearsal.order)}"
        try:
            lease = self._leases.watch(f"{self._store.prefix}/leases/{key}", monotonic_seconds)
            if await lease.look() is None:
                return "a sidecar of the fleet orders it just now"
        except FleetFault as fault:
            return f"the fleet waits before it orders again: {fault}"
        return await self._note(f"{self._store.prefix}/drills/{key}")

    async def _note(self, path: str) -> str:
        entry, version = await self._vault.read_kv_latest(self._store.mount, path)
        if entry is not None:
            # Vault's time is that of an answer's Date, in whole seconds: what was written in this
            # second seems to be ahead of it.
            age = await self._vault.read_time() - float(entry.written_at)
            if -_DATE_SECONDS <= age < FLOOR_SECONDS:
                age = max(age, 0.0)
                return (
                    f"a drill ordered it {age / 60:.0f} minutes ago, and CAs limit orders; again "
                    f"in {(FLOOR_SECONDS - age) / 60:.0f} minutes"
                )
        try:
            await self._vault.write_kv(self._store.mount, path, {"by": "sidecar drill"}, version)
        except VaultConflict:
            return "another drill orders it just now"
        return ""
