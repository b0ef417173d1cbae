"""Orders on demand: begun once a certificate, so many at a time, backed off from when they fail."""

import asyncio
from collections.abc import Callable
from typing import NamedTuple, Protocol

from sidecar.certificates.issuers.base import Issuer, IssuerFault, Issuers, Order
from sidecar.certificates.on_demand.domains import Registration
from sidecar.certificates.on_demand.issuance_limits import IssuanceRateExceeded
from sidecar.certificates.on_demand.name_table import Entry
from sidecar.certificates.on_demand.names import NameRefused
from sidecar.common.errors import Fault
from sidecar.common.faults import report_to_loop, tell_each
from sidecar.config.on_demand import OnDemand as OnDemandSettings
from workload.x509.material import Material


class CertificateKeeper(Protocol):
    """Obtains a certificate and keeps it fresh; ``sidecar.certificates.managed.manager`` does."""

    async def obtain(self, order: Order, issuer: Issuer) -> Material:
        """Obtain one, put it into the store and keep it. Raises ``Fault``."""

    def forget(self, name: str) -> None:
        """Keep it no more."""


class OnDemandEvents(NamedTuple):
    """What those who count and log are told."""

    refused: Callable[[str, str], None]
    """A name as it was asked for, and why it is refused, in one word."""
    obtained: Callable[[str, Registration, float], None]
    """A certificate, for whom, and how many seconds it took."""
    failed: Callable[[str, str, str], None]
    """A certificate that was not obtained, why in one word, and in words."""
    registry_failed: Callable[[str, str], None]
    """A name whose owner could not be found out, and why."""


class Orders:
    """The orders under way. What is refused is not queued."""

    def __init__(
        self,
        settings: OnDemandSettings,
        issuers: Issuers,
        keeper: CertificateKeeper,
        events: OnDemandEvents,
        *,
        clock: Callable[[], float],
        jitter: Callable[[], float],
        done: Callable[[Entry], None],
    ) -> None:
        """Tell ``done`` of each order that came to an end, good or bad."""
        self._settings = settings
        self._issuers = issuers
        self._keeper = keeper
        self._events = events
        self._clock = clock
        self._jitter = jitter
        self._done = done
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        """How many there are."""
        return len(self._tasks)

    def begin(self, entry: Entry) -> None:
        """Begin to obtain a certificate. Raises ``NameRefused`` if that may not be now."""
        if entry.retry_at > self._clock():
            raise NameRefused(entry.refused)
        if len(self._tasks) >= self._settings.orders_waiting:
            raise NameRefused("too_many_orders")
        entry.task = asyncio.create_task(self._obtain(entry))
        self._tasks.add(entry.task)
        entry.task.add_done_callback(self._tasks.discard)  # one that is cancelled may never begin

    async def close(self) -> None:
        """Give up what is under way."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _obtain(self, entry: Entry) -> None:
        """Obtain a certificate, and tell whoever waits, whatever comes of it."""
        started = self._clock()
        try:
            await self._ask_issuer(entry)
        except Fault as fault:
            self._failed(entry, fault)
        except Exception as exc:  # noqa: BLE001 - a task's edge: one name's defect ends no other's
            self._failed(entry, IssuerFault(f"a defect of ours: {type(exc).__name__}"))
            report_to_loop(exc)
        else:
            entry.failures, entry.retry_at = 0, 0.0
            if entry.registration is not None:
                seconds = self._clock() - started
                tell_each([self._events.obtained], entry.key, entry.registration, seconds)
        finally:
            self._tasks.discard(entry.task)
            entry.task = None
        self._done(entry)

    async def _ask_issuer(self, entry: Entry) -> None:
        registration = entry.registration
        if registration is None:
            raise IssuerFault("the configured certificate has expired")
        issuer = self._issuers[registration.issuer or self._settings.issuer]
        order = Order(entry.key, (entry.key,), account=registration.domain)
        await self._keeper.obtain(order, issuer)

    def _failed(self, entry: Entry, fault: Fault) -> None:
        entry.failures += 1
        pause = self._settings.retry_seconds * 2.0 ** min(entry.failures - 1, 16)
        pause = min(pause, self._settings.max_retry_seconds) * (1 - self._jitter() / 10)
        if isinstance(fault.__cause__, IssuanceRateExceeded):
            entry.refused = fault.__cause__.reason
        else:
            entry.refused = "order_failed"
            pause = max(pause, fault.retry_after_seconds or 0.0)
        entry.retry_at = self._clock() + pause
        tell_each([self._events.failed], entry.key, entry.refused, str(fault))
