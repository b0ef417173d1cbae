"""A lease in Vault KV: of all the sidecars that need a certificate, one orders it.

The entry is written with check-and-set, so that only one of several concurrent writers
succeeds. Its age is measured by Vault's own clock, so that the clocks of the fleet may differ.
A lease is short, and its holder writes it again while the order runs: when the holder dies,
another sidecar takes over some seconds later, however long an order may take. When an order
fails, the holder records that, so that the others do not repeat it one after the other. The
entry is overwritten and never deleted: KV goes on counting versions, and check-and-set relies
on that.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple, Protocol

from sidecar.common.errors import Fault
from sidecar.vault.errors import VaultConflict, VaultFault, VaultNotFound
from sidecar.vault.ports import KvReader, KvVersionReader
from workload.x509.renewal import retry_after

_log = logging.getLogger("sidecar.certificates")
_MAX_FAULT_CHARACTERS = 300
_REFRESH_SHARE = 0.3
"""The share of a lease after which it is refreshed: two refreshes may fail before it is stale."""
_MAX_PAUSE_SECONDS = 7 * 86_400.0
"""The longest ``Retry-After`` of a CA that is accepted (``acme.network``)."""


class FleetKv(KvReader, KvVersionReader, Protocol):
    """What a fleet shares through: ``sidecar.vault.client.VaultClient``."""

    async def write_kv(self, mount: str, path: str, data: Mapping[str, Any], cas: int) -> int:
        """Write if ``cas`` is the latest version; return the new one. Raises ``VaultConflict``."""

    async def read_time(self) -> float:
        """Return Vault's own time (Unix seconds)."""


async def read_entry(vault: FleetKv, mount: str, path: str) -> tuple[Any, int]:
    """Return an entry (``None`` if there is none) and the version to overwrite.

    A deleted entry keeps its version number. The number is read before the entry is read
    again: in the other order, a version written in between would be overwritten unread.
    Raises ``VaultFault``.
    """
    with contextlib.suppress(VaultNotFound):
        entry = await vault.read_kv(mount, path)
        return entry, int(entry.version)
    version = await vault.read_kv_version(mount, path)
    if version:
        with contextlib.suppress(VaultNotFound):
            entry = await vault.read_kv(mount, path)
            return entry, int(entry.version)
    return None, version


class FleetFault(Fault):
    """Another sidecar of the fleet orders the certificate, and it is not there yet."""

    retryable = True

    def __init__(self, message: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class OrderLease(NamedTuple):
    """A lease that this sidecar holds."""

    path: str
    version: int
    failures: int
    """How many orders failed in a row before this one, in the whole fleet."""


class HeldLease:
    """A lease whose version changes as it is refreshed."""

    def __init__(self, lease: OrderLease) -> None:
        self.lease = lease


class Leases:
    """Takes and returns leases under one path of one mount."""

    def __init__(self, vault: FleetKv, mount: str, *, holder: str, seconds: float) -> None:
        self._vault = vault
        self._mount = mount
        self._holder = holder
        self._seconds = seconds

    async def take(self, path: str) -> OrderLease | None:
        """Take the lease, or return ``None`` while another sidecar holds it.

        Raises ``FleetFault`` during the pause after a failed order, ``VaultFault`` if Vault
        does not answer.
        """
        failures = 0
        entry, version = await read_entry(self._vault, self._mount, path)
        if entry is not None:
            left = await self._seconds_left(entry)
            if entry.data.get("holder"):
                if left > 0:
                    return None
                _log.warning(
                    "took over the lease %s from a sidecar that ended without returning it", path
                )
            elif left > 0:
                why = str(entry.data.get("fault", ""))[:_MAX_FAULT_CHARACTERS]
                raise FleetFault(
                    f"the order failed {entry.data['failures']} time(s) in the fleet: {why}", left
                )
            failures = _count(entry.data.get("failures"))
        try:
            return await self._write(OrderLease(path, version, failures))
        except VaultConflict:
            return None

    @contextlib.asynccontextmanager
    async def refreshed(self, lease: OrderLease) -> AsyncIterator["HeldLease"]:
        """Refresh a lease as long as the block runs; ``HeldLease.lease`` is the newest then."""
        held = HeldLease(lease)
        over = asyncio.Event()
        refreshing = asyncio.create_task(self._keep(held, over))
        try:
            yield held
        finally:
            # Not cancelled: a refresh that is under way has written, and its version counts.
            over.set()
            await refreshing

    async def _keep(self, held: "HeldLease", over: asyncio.Event) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._seconds * _REFRESH_SHARE):
                    await over.wait()
                return
            try:
                held.lease = await self._write(held.lease)
            except VaultConflict:
                _log.warning(
                    "the lease %s was taken over by another sidecar during the order",
                    held.lease.path,
                )
                return
            except VaultFault as gone:
                _log.warning("the lease %s is not refreshed: %s", held.lease.path, gone)

    async def _write(self, lease: OrderLease) -> OrderLease:
        data = {"holder": self._holder, "seconds": self._seconds, "failures": lease.failures}
        version = await self._vault.write_kv(self._mount, lease.path, data, lease.version)
        return lease._replace(version=version)

    async def give_back(self, lease: OrderLease, fault: Fault | None, jitter: float) -> None:
        """End a lease; after a fault, no sidecar orders before a pause is over.

        Never raises: if Vault does not answer, the lease expires.
        """
        data: dict[str, Any] = {"holder": "", "seconds": 0.0, "failures": 0}
        if fault is not None:
            failures = lease.failures + 1
            pause = retry_after(failures, 0.0, jitter, fault.retry_after_seconds)
            data = {
                "holder": "",
                "seconds": min(pause, _MAX_PAUSE_SECONDS),
                "failures": failures,
                "fault": str(fault)[:_MAX_FAULT_CHARACTERS],
            }
        try:
            await self._vault.write_kv(self._mount, lease.path, data, lease.version)
        except VaultConflict:
            _log.warning(
                "the lease %s was not ours any more at the end of the order: Vault did not take "
                "its refreshes within certificate_store.lease_seconds",
                lease.path,
            )
        except VaultFault as gone:
            _log.warning("the lease %s could not be returned and will expire: %s", lease.path, gone)

    async def _seconds_left(self, entry: Any) -> float:
        try:
            seconds = float(entry.data.get("seconds", 0.0))
        except (TypeError, ValueError):
            return 0.0
        if not seconds > 0:
            return 0.0
        now = await self._vault.read_time()
        return float(entry.written_at) + min(seconds, _MAX_PAUSE_SECONDS) - now


def _count(value: object) -> int:
    return value if isinstance(value, int) and value >= 0 else 0
