"""Certificates for names that nobody configured: obtained when a handshake asks for them.

The rules for a name, as a client spelled it, in their order (SECURITY-MODEL §9):

1. It is brought to its normal form, or refused by its shape (``certs.names``).
2. A configured certificate that covers it, by name or wildcard, serves it.
3. The registry must know it, below no other tenant's domain (``certs.domains``). Nothing is
   asked of a CA before that.
4. What is held is served. What failed a moment ago is refused.
5. It is ordered, once however many ask, while allowance and room last (``certs.rate_limiter``).

A refusal is no state: whoever asks again is judged anew, so that a domain registered
meanwhile works. State is kept of names that are served, being obtained, or backing off, and
of no more than ``max_names``. A name that goes is taken back from Envoy too, or Envoy would
serve what nobody renews.
"""

import asyncio
from collections.abc import Callable, Collection
from math import inf

from sidecar.certificates.issuers.base import Issuers
from sidecar.certificates.managed.store import CertificateStore
from sidecar.certificates.on_demand.coverage import Coverage
from sidecar.certificates.on_demand.domains import DomainRegistry, Unresolved
from sidecar.certificates.on_demand.name_table import Entry, NameTable
from sidecar.certificates.on_demand.names import NameRefused, canonical_name, wildcard_of
from sidecar.certificates.on_demand.orders import CertificateKeeper, OnDemandEvents, Orders
from sidecar.certificates.on_demand.resolution_queue import ResolutionQueue
from sidecar.common.faults import tell_each
from sidecar.config.on_demand import OnDemand as OnDemandSettings
from workload.x509.material import Material

IDLE_STAYS = 2
"""A name in use is asked for again by the end of each stay in Envoy; one not seen for two of
them is held by no Envoy."""
_SWEPT_AT_ONCE = 1000
Changed = Callable[[str], None]


class Obtaining:
    """A certificate is on its way."""


OBTAINING = Obtaining()


class OnDemand:
    """The names that are served on demand. All of it runs on the event loop."""

    def __init__(
        self,
        settings: OnDemandSettings,
        *,
        registry: DomainRegistry,
        issuers: Issuers,
        keeper: CertificateKeeper,
        store: CertificateStore,
        configured: Collection[str],
        events: OnDemandEvents,
        clock: Callable[[], float],
        jitter: Callable[[], float],
        is_vault_well: Callable[[], bool] = lambda: True,
    ) -> None:
        """Take ``configured`` as the names in the store that are none of ours."""
        self._settings = settings
        self._registry = registry
        self._keeper = keeper
        self._store = store
        self._configured = configured
        self._events = events
        self._clock = clock
        self._is_vault_well = is_vault_well
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
            keeper,
            events,
            clock=clock,
            jitter=jitter,
            done=lambda entry: self._tell_all(entry.asked),
        )
        self._watchers: set[Changed] = set()
        self._evict: Changed = lambda _name: None
        store.watch(self._store_changed)

    def __len__(self) -> int:
        """How many names are served, being obtained or backing off."""
        return len(self._table)

    @property
    def open_orders(self) -> int:
        """How many orders are under way."""
        return len(self._orders)

    def watch(self, changed: Changed) -> Callable[[], None]:
        """Call ``changed`` when a name was obtained, renewed or refused; returns what ends that."""
        self._watchers.add(changed)
        return lambda: self._watchers.discard(changed)

    def on_forget(self, evict: Changed) -> None:
        """Have ``evict`` called with a name that clients must not hold any longer."""
        self._evict = evict

    def lookup(self, name: str, *, waits: bool) -> Material | Obtaining | None:
        """Return a certificate, that it is being obtained, or a refusal.

        For a client that does not wait nothing is set in motion: it holds what it was given,
        perhaps by a process before this one, and asks anew at the end of its stay.
        """
        try:
            return self._serve(name, waits=waits)
        except NameRefused as refused:
            if waits:
                self._events.refused(name, refused.reason)
            return None

    def refuses(self, name: str) -> bool:
        """Tell whether a name can't be had, as far as that is known without asking anyone."""
        try:
            canonical = canonical_name(name, self._settings.max_labels)
            return self._coverage.find(canonical) is None and self._registry.find(canonical) is None
        except NameRefused:
            return True

    def could_serve_again(self, name: str) -> bool:
        """Tell whether a client that drops a name would have it again, as far as we know.

        After a restart of ours Envoy holds what we do not; while Vault is away, its copy is
        the only one to be had.
        """
        entry = self._table.entry_of(name)
        held = None if entry is None else self._store.get(entry.key)
        return held is not None or self._is_vault_well()

    def sweep(self) -> None:
        """Let go names that nobody has asked for since long; to be called now and then."""
        asked_before = self._clock() - IDLE_STAYS * self._settings.residence_seconds
        for asked in self._table.excess(self._settings.max_names, asked_before, _SWEPT_AT_ONCE):
            self._forget(asked)

    async def forget_withdrawn(self) -> None:
        """Let go what is registered no more, or otherwise than when it was ordered."""
        for number, entry in enumerate(self._table.entries()):
            self._check_registration(entry)
            if number % _SWEPT_AT_ONCE == 0:
                await asyncio.sleep(0)

    async def close(self) -> None:
        """Give up what is being obtained."""
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
        if waits:
            self._put(asked, canonical, entry)
        material = self._store.get(entry.key)
        if material is not None:
            entry.served = True
            return material
        if entry.task is None and waits:
            self._orders.begin(entry)
        elif entry.task is None and entry.served:
            return None  # it has expired or was revoked
        return OBTAINING

    def _entry_of(self, canonical: str, asked: str, *, waits: bool) -> Entry | None:
        """Find the certificate for a name; ``None`` while it is being found out whose it is."""
        covering = self._coverage.find(canonical)
        if covering is not None:
            self._registry.want(canonical)  # Checks are to know whose it is all the same
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
        """Have the registry asked; what it said before holds good until it has answered."""
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
        self._tell(asked)

    def _check_registration(self, entry: Entry) -> None:
        """Let go the names of a certificate that are not registered as they were."""
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
        """Keep a certificate no more that serves no name."""
        if unused is None or unused.registration is None:
            return
        if unused.task is not None:
            unused.task.cancel()
        self._keeper.forget(unused.key)

    def _store_changed(self, key: str) -> None:
        """Tell those that are served from it under another name; the store told its own."""
        self._coverage.learn(key)
        self._tell_all(self._table.entry(key, None).asked - {key})

    def _tell_all(self, names: Collection[str]) -> None:
        for name in tuple(names):
            self._tell(name)

    def _tell(self, name: str) -> None:
        tell_each(self._watchers, name)
