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
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, NamedTuple, Protocol

from sidecar.common.errors import Fault
from sidecar.vault.errors import VaultConflict, VaultFault
from sidecar.vault.ports import KvLatestReader, KvReader, KvVersionReader
from workload.x509.renewal import retry_after

_log = logging.getLogger("sidecar.certificates")
_MAX_FAULT_CHARACTERS = 300
_REFRESH_SHARE = 0.3
"""The share of a lease after which it is refreshed: two refreshes may fail before it is stale."""
_MAX_UNSURE = 1024
"""Leases that may be ours: a long outage may meet any number of names."""
_MAX_PAUSE_SECONDS = 7 * 86_400.0
"""The longest ``Retry-After`` of a CA that is accepted (``acme.network``)."""


class FleetKv(KvReader, KvLatestReader, KvVersionReader, Protocol):
    """What a fleet shares through: ``sidecar.vault.client.VaultClient``."""

    async def write_kv(self, mount: str, path: str, data: Mapping[str, Any], cas: int) -> int:
        """Write if ``cas`` is the latest version; return the new one. Raises ``VaultConflict``."""

    async def read_time(self) -> float:
        """Return Vault's own time (Unix seconds)."""


class FleetFault(Fault):
    """Another sidecar of the fleet orders the certificate, and it is not there yet."""

    retryable = True

    def __init__(self, message: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class OrderLease(NamedTuple):
    """A lease that this sidecar holds, or may claim: at this version."""

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
        self._unsure: set[str] = set()
        """Leases that may be ours though nothing of ours is under way: the answer to a write was
        lost, and Vault may do it later still."""

    def watch(self, path: str, clock: Callable[[], float]) -> "LeaseWatch":
        """Return what looks at one lease; ``clock`` is in monotonic seconds."""

        def is_left(holder: object) -> bool:
            return holder == self._holder and path in self._unsure

        return LeaseWatch(self._vault, self._mount, path, clock, is_left)

    async def claim(self, free: OrderLease) -> OrderLease | None:
        """Take a lease that was seen to be free, or return ``None`` if another sidecar did.

        Whoever held it since it was looked at has written it. So whoever succeeds knows that
        nobody ordered meanwhile. Raises ``VaultFault``.
        """
        was_unsure = free.path in self._unsure
        self._unsure.discard(free.path)  # while this is under way, what is ours is not left
        try:
            return await self._write(free)
        except VaultConflict:
            if was_unsure:
                self._may_be_left(free.path)
            return None
        except VaultFault:
            self._may_be_left(free.path)
            raise

    def _may_be_left(self, path: str) -> None:
        """Take note of a lease that may be ours; with too many, none: each ends by itself."""
        if len(self._unsure) >= _MAX_UNSURE:
            self._unsure.clear()
        self._unsure.add(path)

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

        Never raises: if Vault does not answer, the lease expires, unless we take it again before.
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
            self._may_be_left(lease.path)  # or a refresh was late, and it is
            _log.warning(
                "the lease %s was not ours any more at the end of the order: Vault did not take "
                "its refreshes within certificate_store.lease_seconds",
                lease.path,
            )
        except VaultFault as gone:
            self._may_be_left(lease.path)
            _log.warning("the lease %s could not be returned and will expire: %s", lease.path, gone)


class LeaseWatch:
    """Looks at one lease until it is free, with one call each time.

    Vault's clock is asked once, for how old the lease is when it is first seen. A refresh that
    is seen later is no older than the look before, and what is not refreshed ages by our clock.
    """

    def __init__(
        self,
        vault: FleetKv,
        mount: str,
        path: str,
        clock: Callable[[], float],
        is_left: Callable[[object], bool],
    ) -> None:
        """``is_left`` says of a holder whether it is we, who do not order under that lease."""
        self._is_left = is_left
        self._vault = vault
        self._mount = mount
        self._path = path
        self._clock = clock
        self._seen: int | None = None
        self._ends_at = 0.0

    async def look(self) -> OrderLease | None:
        """Return the lease to be claimed, or ``None`` while another sidecar holds it.

        Raises ``FleetFault`` during the pause after a failed order, ``VaultFault`` if Vault
        does not answer.
        """
        entry, version = await self._vault.read_kv_latest(self._mount, self._path)
        if entry is None:
            return OrderLease(self._path, version, 0)
        left = await self._seconds_left(entry, version)
        if holder := entry.data.get("holder"):
            if left > 0 and self._is_left(holder):
                _log.info("took back our lease %s, of which Vault's answer was lost", self._path)
                return OrderLease(self._path, version, _count(entry.data.get("failures")))
            if left > 0:
                return None
            _log.warning(
                "took over the lease %s from a sidecar that ended without returning it", self._path
            )
        elif left > 0:
            why = str(entry.data.get("fault", ""))[:_MAX_FAULT_CHARACTERS]
            raise FleetFault(
                f"the order failed {entry.data['failures']} time(s) in the fleet: {why}", left
            )
        return OrderLease(self._path, version, _count(entry.data.get("failures")))

    async def _seconds_left(self, entry: Any, version: int) -> float:
        try:
            seconds = float(entry.data.get("seconds", 0.0))
        except (TypeError, ValueError):
            return 0.0
        if not seconds > 0:
            return 0.0
        left = seconds = min(seconds, _MAX_PAUSE_SECONDS)
        if self._seen is None:
            left = float(entry.written_at) + seconds - await self._vault.read_time()
        elif self._seen == version:
            left = self._ends_at - self._clock()
        self._seen, self._ends_at = version, self._clock() + left
        return left


def _count(value: object) -> int:
    return value if isinstance(value, int) and value >= 0 else 0
