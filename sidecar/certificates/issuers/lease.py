"""A lease in Vault KV: of all the sidecars that want a certificate, one orders it.

The entry is written with check-and-set, so of many that try at once one succeeds. Its age is
reckoned by Vault's own clock alone, its writing and its reading, so that the clocks of the
fleet may differ as they like. A holder that dies is taken over from when the lease ends; one
that fails leaves a word, so that the others do not try the same again one after the other.
It is written over and never deleted: KV counts versions on, and check-and-set with them.
"""

import contextlib
import logging
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from sidecar.common.errors import Fault
from sidecar.vault.errors import VaultConflict, VaultFault, VaultNotFound
from workload.x509.renewal import retry_after

_log = logging.getLogger("sidecar.certificates")
_MAX_FAULT_CHARACTERS = 300
_MAX_PAUSE_SECONDS = 7 * 86_400.0
"""As long as a CA's ``Retry-After`` is believed (``acme.client``)."""


class FleetKv(Protocol):
    """What a fleet shares through; ``sidecar.vault.client.VaultClient`` answers it."""

    async def read_kv(self, mount: str, path: str) -> Any:
        """Return the latest version: ``data``, ``version``, ``written_at`` (Vault's clock)."""

    async def read_kv_version(self, mount: str, path: str) -> int:
        """Return the number of the latest version, deleted or not; 0 where there is none."""

    async def write_kv(self, mount: str, path: str, data: Mapping[str, Any], cas: int) -> int:
        """Write, if ``cas`` is the latest version; raises ``VaultConflict`` if not."""

    async def read_time(self) -> float:
        """Return Vault's own time (Unix seconds)."""


async def read_entry(vault: FleetKv, mount: str, path: str) -> tuple[Any, int]:
    """Read an entry, ``None`` where there is none, and the version to write over.

    A deleted entry counts on. Its version is asked for before it is looked at once more:
    the other way round, what somebody wrote in between would be written over unseen.
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
    """The certificate is another sidecar's to order, and is not there."""

    retryable = True

    def __init__(self, message: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class OrderLease(NamedTuple):
    """A lease we hold."""

    path: str
    version: int
    failures: int
    """How many orders in a row failed before ours, in the whole fleet."""


class Leases:
    """Takes and gives back leases under one path of one mount."""

    def __init__(self, vault: FleetKv, mount: str, *, holder: str, seconds: float) -> None:
        self._vault = vault
        self._mount = mount
        self._holder = holder
        self._seconds = seconds

    async def take(self, path: str) -> OrderLease | None:
        """Take the lease, or return ``None`` while another sidecar holds it.

        Raises ``FleetFault`` while the pause after a failed order lasts, ``VaultFault``
        where Vault does not answer.
        """
        failures = 0
        entry, version = await read_entry(self._vault, self._mount, path)
        if entry is not None:
            left = await self._seconds_left(entry)
            if entry.data.get("holder"):
                if left > 0:
                    return None
                _log.warning("taken over from a sidecar that ended: the lease %s", path)
            elif left > 0:
                why = str(entry.data.get("fault", ""))[:_MAX_FAULT_CHARACTERS]
                raise FleetFault(f"an order failed {entry.data['failures']} time(s): {why}", left)
            failures = _count(entry.data.get("failures"))
        held = {"holder": self._holder, "seconds": self._seconds, "failures": failures}
        try:
            version = await self._vault.write_kv(self._mount, path, held, version)
        except VaultConflict:
            return None
        return OrderLease(path, version, failures)

    async def give_back(self, lease: OrderLease, fault: Fault | None, jitter: float) -> None:
        """End a lease; with a fault, nobody orders before a pause is over.

        Never raises: where Vault does not answer, the lease ends by itself.
        """
        data: dict[str, Any] = {"holder": "", "seconds": 0.0, "failures": 0}
        if fault is not None:
            failures = lease.failures + 1
            pause = max(fault.retry_after_seconds or 0.0, retry_after(failures, 0.0, jitter))
            data = {
                "holder": "",
                "seconds": min(pause, _MAX_PAUSE_SECONDS),
                "failures": failures,
                "fault": str(fault)[:_MAX_FAULT_CHARACTERS],
            }
        try:
            await self._vault.write_kv(self._mount, lease.path, data, lease.version)
        except VaultConflict:
            _log.warning("the lease %s ended before the order did", lease.path)
        except VaultFault as gone:
            _log.warning("the lease %s is left to end by itself: %s", lease.path, gone)

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
