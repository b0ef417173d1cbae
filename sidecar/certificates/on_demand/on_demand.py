"""Certificates for names that are not configured: obtained when a handshake asks for them.

The rules for a name, as a client spelled it, in their order (SECURITY-MODEL §9):

1. It is brought to its normal form, or refused by its shape (``names``).
2. A configured certificate that covers it, by name or wildcard, serves it.
3. The registry must know it, and it must not be below another tenant's domain (``domains``).
   No CA is asked before that.
4. An existing certificate is served. A name whose order failed a moment ago is refused.
5. It is ordered, once however many clients ask, within the limits (``issuance_limits``).

A refusal is not stored: the next request is decided again, so that a domain registered
meanwhile works. State is kept for names that are served, being obtained, or backing off, and
for no more than ``max_names``. A name that is dropped is evicted from Envoy too: otherwise
Envoy would go on serving a certificate that is no longer renewed.

Longer than other files: the rules share one table of names, and their order is the point.
"""

import asyncio
import contextlib
from collections.abc import Callable, Collection, Iterator
from math import inf

from sidecar.certificates.issuers.base import IssuerFault, Issuers
from sidecar.certificates.managed.store import CertificateStore
from sidecar.certificates.on_demand.coverage import Coverage
from sidecar.certificates.on_demand.domains import DomainRegistry, Unresolved
from sidecar.certificates.on_demand.name_table import Entry, NameTable
from sidecar.certificates.on_demand.names import NameRefused, canonical_name
from sidecar.certificates.on_demand.orders import ObtainsCertificates, OnDemandEvents, Orders
from sidecar.certificates.on_demand.resolution_queue import ResolutionQueue
from sidecar.common.observers import Observers
from sidecar.config.on_demand import OnDemandSettings
from workload.x509.material import Material
from workload.x509.wildcards import wildcard_of

IDLE_TTLS = 2
"""A name in use is asked for again at the end of each TTL; a name that was not asked for during
two of them is held by no Envoy."""
_SWEPT_AT_ONCE = 1000
Changed = Callable[[str], None]


class Obtaining:
    """A certificate is being obtained."""


OBTAINING = Obtaining()


class OnDemand:
    """The names that are served on demand. All methods run on the event loop."""

    def __init__(
        self,
        settings: OnDemandSettings,
        *,
        registry: DomainRegistry,
        issuers: Issuers,
        manager: ObtainsCertificates,
        store: CertificateStore,
        configured: Collection[str],
        events: OnDemandEvents,
        clock: Callable[[], float],
        jitter: Callable[[], float],
        is_vault_healthy: Callable[[], bool] = lambda: True,
    ) -> None:
        """Take ``configured`` as the names in the store that are not served on demand."""
        self._settings = settings
        self._registry = registry
        self._manager = manager
        self._store = store
        self._configured = configured
        self._events = events
        self._clock = clock
        self._is_vault_well = is_vault_healthy
        self._table = NameTable()
        self._coverage = Coverage(store, configured)
        self._resolving = ResolutionQueue(
            registry,
            retry_seconds=settings.retry_seconds,
            clock=clock,
            resolved=self._resolved,
            failed=events.registry_failed,
        )
        self._orders = Orders(
            settings,
            issuers,
            manager,
            events,
            clock=clock,
            jitter=jitter,
            done=lambda entry: self._notify_all(entry.asked),
        )
        self._observers: Observers[str] = Observers()
        self._evict: Changed = lambda _name: None
        store.watch(self._store_changed)

    def __len__(self) -> int:
        """How many names are served, being obtained or backing off."""
        return len(self._table)

    @property
    def names(self) -> Collection[str]:
        """The names that are served, being obtained or backing off, in their normal form."""
        return self._table.names()

    def entries(self) -> Iterator[Entry]:
        """Iterate over a copy of the certificates that names are served from."""
        return self._table.entries()

    @property
    def open_orders(self) -> int:
        """How many orders are under way."""
        return len(self._orders)

    def watch(self, changed: Changed) -> Callable[[], None]:
        """Call ``changed`` when a name was obtained, renewed or refused; return what ends this."""
        return self._observers.watch(changed)

    def use(
        self,
        settings: OnDemandSettings,
        registry: DomainRegistry,
        issuers: Issuers,
        configured: Collection[str],
    ) -> None:
        """Serve by other settings from now on (a reload).

        Names go on being served where they are still registered and their issuer is there; who
        registers them is looked at by ``forget_withdrawn``, as after any change of the registry.
        """
        self._settings, self._registry = settings, registry
        self._resolving.use(registry, settings.retry_seconds)
        self._orders.use(settings, issuers)
        before, self._configured = frozenset(self._configured), configured
        self._coverage = Coverage(self._store, configured)
        changed = before.symmetric_difference(configured)
        for entry in self._table.entries():
            if entry.key in changed or not self._use_issuer(entry):
                for asked in tuple(entry.asked):
                    self._forget(asked)

    def _use_issuer(self, entry: Entry) -> bool:
        """Have a name's certificate renewed by its issuer of now; false where it has none."""
        if entry.registration is None:
            return True
        try:
            self._manager.use_issuer(entry.key, self._orders.issuer_of(entry))
        except IssuerFault:
            return False
        return True

    def on_forget(self, evict: Changed) -> None:
        """Call ``evict`` with each name that clients must not hold any longer."""
        self._evict = evict

    def lookup(self, name: str, *, waits: bool) -> Material | Obtaining | None:
        """Return a certificate, ``OBTAINING``, or ``None`` for a refusal.

        For a client that does not wait nothing is ordered: it holds a certificate, perhaps
        from an earlier process, and asks again at the end of the TTL.
        """
        try:
            return self._serve(name, waits=waits)
        except NameRefused as refused:
            if waits:
                self._events.refused(name, refused.reason)
            return None

    def refuses(self, name: str) -> bool:
        """Tell whether a name is refused, as far as that is known from memory."""
        try:
            canonical = canonical_name(name, self._settings.max_labels)
            return self._coverage.find(canonical) is None and self._registry.find(canonical) is None
        except NameRefused:
            return True

    def could_serve_again(self, name: str) -> bool:
        """Tell whether a client that drops a name could get it again, as far as is known.

        After a restart of the sidecar Envoy may hold certificates that the sidecar does not, and
        while Vault, the registry or the CA can't answer, Envoy's copy is the only one. So what
        is not held here may be dropped only where its issuer has answered a moment ago; if that
        is unknown, the name itself is ordered to see, one at a time.
        """
        entry = self._table.entry_of(name)
        if entry is not None and self._store.get(entry.key) is not None:
            return True
        if not self._is_vault_well():
            return False
        try:
            canonical = canonical_name(name, self._settings.max_labels)
            registration = self._registry.find(canonical)
        except NameRefused:
            return True
        if isinstance(registration, Unresolved):
            self._registry.want(canonical)
            return False
        if registration is None or self._orders.are_answered(registration):
            return True
        if not self._orders.under_way(registration):
            with contextlib.suppress(NameRefused):
                self._serve(name, waits=True)
        return False

    def sweep(self) -> None:
        """Drop names that were not asked for during ``IDLE_TTLS``; call this at an interval."""
        asked_before = self._clock() - IDLE_TTLS * self._settings.ttl_seconds
        for asked in self._table.excess(self._settings.max_names, asked_before, _SWEPT_AT_ONCE):
            self._forget(asked)

    async def forget_withdrawn(self) -> None:
        """Drop names that are no longer registered, or whose registration has changed."""
        for number, entry in enumerate(self._table.entries()):
            self._check_registration(entry)
            if number % _SWEPT_AT_ONCE == 0:
                await asyncio.sleep(0)

    async def close(self) -> None:
        """Cancel the orders and look-ups that are under way."""
        await self._orders.close()
        await self._resolving.close()

    def _serve(self, asked: str, *, waits: bool) -> Material | Obtaining | None:
        canonical = self._table.canonical(asked)
        if canonical is None:
            canonical = canonical_name(asked, self._settings.max_labels)
            if not self._table.has_room(asked, canonical):
                raise NameRefused("too_many_spellings")
        entry = self._entry_of(canonical, asked, waits=waits)
        if entry is None:
            return OBTAINING
        material = self._store.get(entry.key)
        # Who came back with a certificate of this name must hear of the next one too.
        if waits or (material is not None and self._table.entry_of(asked) is None):
            self._put(asked, canonical, entry)
        if material is not None:
            entry.served = True
            return material
        if entry.task is None and waits:
            self._orders.begin(entry)
        elif entry.task is None and entry.served:
            return None  # it has expired or was revoked
        return OBTAINING

    def _entry_of(self, canonical: str, asked: str, *, waits: bool) -> Entry | None:
        """Return the entry for a name; ``None`` while its owner is being looked up."""
        covering = self._coverage.find(canonical)
        if covering is not None:
            self._registry.want(canonical)  # Checks need its owner all the same
            return self._table.entry(covering, None)
        registration = self._registry.find(canonical)
        if isinstance(registration, Unresolved):
            return self._unresolved(canonical, asked, waits=waits)
        if registration is None:
            raise NameRefused("domain_unknown")
        key = wildcard_of(canonical) if registration.wildcard else canonical
        if key in self._configured:
            raise NameRefused("name_is_configured")
        entry = self._table.entry(key, registration)
        if entry.registration != registration:
            self._check_registration(entry)
            entry = Entry(key, registration)
        return entry

    def _unresolved(self, canonical: str, asked: str, *, waits: bool) -> Entry | None:
        """Ask the registry; its earlier answer stays valid until it has answered."""
        known = self._table.entry_of(asked)
        if known is None and not waits:
            self._registry.want(canonical)
            return None
        try:
            self._resolving.ask(canonical, asked)
        except NameRefused:
            if known is None:
                raise
        return known

    def _resolved(self, asked: str) -> None:
        known = self._table.entry_of(asked)
        if known is not None:
            self._check_registration(known)
        self._notify(asked)

    def _check_registration(self, entry: Entry) -> None:
        """Drop the names of a certificate whose registration has changed."""
        for asked in tuple(entry.asked) if entry.registration is not None else ():
            canonical = self._table.canonical(asked)
            try:
                found = self._registry.find(canonical) if canonical is not None else None
            except NameRefused:
                found = None
            if not isinstance(found, Unresolved) and found != entry.registration:
                self._forget(asked)

    def _put(self, asked: str, canonical: str, entry: Entry) -> None:
        self._release(self._table.put(asked, canonical, entry, self._clock()))
        for excess in self._table.excess(self._settings.max_names, -inf, 1):
            self._forget(excess)

    def _forget(self, asked: str) -> None:
        self._release(self._table.remove(asked))
        self._evict(asked)

    def _release(self, unused: Entry | None) -> None:
        """Stop managing a certificate that serves no name."""
        if unused is None or unused.registration is None:
            return
        if unused.task is not None:
            unused.task.cancel()
        self._manager.forget(unused.key)

    def _store_changed(self, key: str) -> None:
        """Notify the names that are served from it; the store has notified its own."""
        self._coverage.learn(key)
        self._notify_all(self._table.entry(key, None).asked - {key})

    def _notify_all(self, names: Collection[str]) -> None:
        for name in tuple(names):
            self._notify(name)

    def _notify(self, name: str) -> None:
        self._observers.notify(name)
