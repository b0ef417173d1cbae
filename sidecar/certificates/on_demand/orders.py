"""Orders on demand: one per certificate, a bounded number at a time per issuer, with back-off."""

import asyncio
from collections.abc import Callable
from typing import NamedTuple, Protocol

from sidecar.certificates.issuers.base import Issuer, IssuerFault, Issuers, Order
from sidecar.certificates.on_demand.domains import Registration
from sidecar.certificates.on_demand.issuance_limits import IssuanceRateExceeded
from sidecar.certificates.on_demand.name_table import Entry
from sidecar.certificates.on_demand.names import NameRefused
from sidecar.common.errors import Fault
from sidecar.common.faults import call_each, report_to_loop
from sidecar.config.on_demand import OnDemandSettings
from workload.backoff import Backoff
from workload.x509.material import Material

ANSWERED_SECONDS = 30.0
"""So long after a certificate an issuer is taken for one that issues."""


class ObtainsCertificates(Protocol):
    """Obtains and renews certificates; ``sidecar.certificates.managed.manager`` implements it."""

    async def obtain(self, order: Order, issuer: Issuer) -> Material:
        """Obtain one, put it into the store and manage it. Raises ``Fault``."""

    def forget(self, name: str) -> None:
        """Stop managing it."""

    def use_issuer(self, name: str, issuer: Issuer) -> None:
        """Have it renewed by this issuer from now on."""


class OnDemandEvents(NamedTuple):
    """The callbacks for metrics and log."""

    refused: Callable[[str, str], None]
    """A name as it was asked for, and the reason of its refusal."""
    obtained: Callable[[str, Registration, float], None]
    """A certificate's key, its registration, and the seconds it took."""
    failed: Callable[[str, str, str], None]
    """A certificate's key, the reason why it was not obtained, and the message."""
    registry_failed: Callable[[str, str], None]
    """A name whose owner could not be looked up, and why."""


class Orders:
    """The orders under way. A refused order is not queued."""

    def __init__(
        self,
        settings: OnDemandSettings,
        issuers: Issuers,
        manager: ObtainsCertificates,
        events: OnDemandEvents,
        *,
        clock: Callable[[], float],
        jitter: Callable[[], float],
        done: Callable[[Entry], None],
    ) -> None:
        """``done`` is called after each order, whether it succeeded or failed."""
        self._settings = settings
        self._issuers = issuers
        self._manager = manager
        self._events = events
        self._clock = clock
        self._jitter = jitter
        self._done = done
        self._tasks: dict[asyncio.Task[None], str] = {}
        """The orders under way, and the issuer of each."""
        self._answered: dict[str, float] = {}
        """When each issuer last issued, unless an order has failed since."""

    def use(self, settings: OnDemandSettings, issuers: Issuers) -> None:
        """Order by other settings from now on; what is under way goes on."""
        self._settings, self._issuers = settings, issuers

    def issuer_of(self, entry: Entry) -> Issuer:
        """Return who issues a name's certificates. Raises ``IssuerFault`` if nobody does."""
        return self._issuers[self._issuer_of(entry)]

    def __len__(self) -> int:
        """Return how many orders are under way."""
        return len(self._tasks)

    def begin(self, entry: Entry) -> None:
        """Begin to obtain a certificate. Raises ``NameRefused`` if that is not allowed now."""
        if entry.retry_at > self._clock():
            raise NameRefused(entry.refused)
        issuer = self._issuer_of(entry)
        if sum(each == issuer for each in self._tasks.values()) >= self._settings.orders_waiting:
            raise NameRefused("too_many_orders")
        entry.task = asyncio.create_task(self._obtain(entry))
        self._tasks[entry.task] = issuer
        entry.task.add_done_callback(self._ended)  # one that is cancelled may never begin

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)

    def are_answered(self, registration: Registration) -> bool:
        """Tell whether the issuer of a domain has issued a moment ago, and not failed since."""
        answered = self._answered.get(registration.issuer or self._settings.issuer)
        return answered is not None and self._clock() - answered <= ANSWERED_SECONDS

    def under_way(self, registration: Registration) -> bool:
        """Tell whether there is an order at the issuer of a domain."""
        return (registration.issuer or self._settings.issuer) in self._tasks.values()

    def _issuer_of(self, entry: Entry) -> str:
        named = entry.registration.issuer if entry.registration is not None else None
        return named or self._settings.issuer

    async def close(self) -> None:
        """Cancel the orders under way."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _obtain(self, entry: Entry) -> None:
        """Obtain a certificate, and call ``done`` whatever the outcome."""
        started = self._clock()
        try:
            await self._ask_issuer(entry)
        except Fault as fault:
            self._failed(entry, fault)
        except Exception as exc:  # noqa: BLE001 - a task's edge: one name's defect ends no other's
            self._failed(
                entry, IssuerFault(f"internal error (a bug in the sidecar): {type(exc).__name__}")
            )
            report_to_loop(exc)
        else:
            entry.failures, entry.retry_at, entry.failing_since = 0, 0.0, None
            self._answered[self._issuer_of(entry)] = self._clock()
            if entry.registration is not None:
                seconds = self._clock() - started
                call_each([self._events.obtained], entry.key, entry.registration, seconds)
        finally:
            self._tasks.pop(entry.task, None)
            entry.task = None
        self._done(entry)

    async def _ask_issuer(self, entry: Entry) -> None:
        registration = entry.registration
        if registration is None:
            raise IssuerFault("the configured certificate has expired")
        issuer = self.issuer_of(entry)
        order = Order(entry.key, (entry.key,), account=registration.domain)
        await self._manager.obtain(order, issuer)

    def _failed(self, entry: Entry, fault: Fault) -> None:
        entry.failures += 1
        entry.detail, entry.is_outage = str(fault), fault.is_outage
        if entry.failing_since is None:
            entry.failing_since = self._clock()
        self._answered.pop(self._issuer_of(entry), None)
        asked_seconds: float | None = None
        if isinstance(fault.__cause__, IssuanceRateExceeded):
            entry.refused = fault.__cause__.reason
        else:
            entry.refused = "order_failed"
            asked_seconds = fault.retry_after_seconds
        backoff = Backoff(self._settings.retry_seconds, self._settings.max_retry_seconds)
        pause = backoff.pause_seconds(entry.failures, self._jitter(), asked_seconds)
        entry.retry_at = self._clock() + pause
        call_each([self._events.failed], entry.key, entry.refused, str(fault))
