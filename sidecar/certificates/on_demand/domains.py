"""The owners of domains, and the rules by which a name may be served. Pure.

A registration is for one name, or for the names one label below it (``*.shop.example``).
The tenant that registered a domain owns the names below it: a name there that belongs to
another tenant is refused, unless the upper registration is shared (for a platform's own domain
with names of its customers below it).
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

import msgspec

from sidecar.certificates.on_demand.names import NameRefused, canonical_pattern, parents_of
from sidecar.common.errors import Fault
from sidecar.common.registered_domains import SHARED
from workload.x509.wildcards import covers, wildcard_of

MAX_DOMAINS = 200_000
MAX_LABELS_REGISTERED = 32
MAX_TENANT_ID_CHARACTERS = 128
"""Room for a UUID. The id goes to workers, into a log and into a header, so it is printable."""
_MAX_NAMED_PROBLEMS = 5
_log = logging.getLogger("sidecar.domains")


class RegistryFault(Fault):
    """A registry can't be read, or does not answer."""

    retryable = True


class Registration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One registered domain, as a registry writes it.

    ``issuer`` is a name of the configuration's ``issuers``. With ``wildcard`` one
    certificate is ordered for all names below a ``*.`` domain, instead of one each.
    """

    domain: str
    tenant_id: str
    issuer: str | None = None
    wildcard: bool = False
    shared: bool = False

    @property
    def owner(self) -> str:
        """The owner for Checks: a tenant's id, or ``SHARED``."""
        return SHARED if self.shared else self.tenant_id.lower()

    @property
    def base(self) -> str:
        """The domain without its ``*.``."""
        return self.domain.removeprefix("*.")


class Unresolved:
    """It is not yet known whether a name is registered; ``resolve`` asks."""


UNRESOLVED = Unresolved()


class DomainRegistry(Protocol):
    """A source of registrations. ``find`` answers from memory."""

    def find(self, name: str) -> Registration | Unresolved | None:
        """Return who registered a canonical name. Raises ``NameRefused``."""

    def want(self, name: str) -> None:
        """Schedule a look-up of a name that clients hold already."""

    async def resolve(self, name: str) -> None:
        """Look a name up, so that ``find`` can answer. Raises ``Fault``."""

    async def start(self) -> None:
        """Read what must be known before anything is served. Raises ``Fault``."""

    async def run(self) -> None:
        """Follow changes, until cancelled."""


class DomainIndex:
    """Registrations, found by the names they are for."""

    def __init__(self, registrations: Mapping[str, Registration]) -> None:
        self._by_domain = registrations

    def __len__(self) -> int:
        return len(self._by_domain)

    def __iter__(self) -> Iterator[Registration]:
        """Iterate over the registrations, in the order of the document."""
        return iter(self._by_domain.values())

    def owners(self) -> Iterator[tuple[str, str]]:
        """Yield each domain and its owner for Checks."""
        return ((domain, found.owner) for domain, found in self._by_domain.items())

    def find(self, name: str) -> Registration | None:
        """Return the registration of a name. Raises ``NameRefused``."""
        get = self._by_domain.get
        found = get(name) or get(wildcard_of(name))
        if found is not None:
            check_owner(found, (get(pattern) for pattern in patterns_above(name)))
        return found


def patterns_above(name: str) -> list[str]:
    """Return the domains above a name, whose owner must be the name's owner too."""
    found = [wildcard_of(name)]
    for parent in parents_of(name):
        found += (parent, f"*.{parent}")
    return list(dict.fromkeys(found))


def check_owner(found: Registration, above: Iterable[Registration | None]) -> None:
    """Raise ``NameRefused`` if a name's registration is below another tenant's domain."""
    for upper in above:
        if upper is not None and upper.tenant_id != found.tenant_id and not upper.shared:
            raise NameRefused("domain_of_other_tenant")


def read_registrations(document: Any) -> tuple[dict[str, Registration], list[str]]:
    """Read a list of registrations, or ``{"domains": [...]}``.

    Returns the valid ones by canonical domain, and the problems of the others: one bad entry
    does not affect the rest. A domain of two tenants belongs to neither. Raises
    ``RegistryFault`` if the document is not such a list.
    """
    if isinstance(document, dict):
        document = document.get("domains")
    if not isinstance(document, list) or len(document) > MAX_DOMAINS:
        raise RegistryFault(f"must be a list 'domains' of at most {MAX_DOMAINS} entries")
    good: dict[str, Registration] = {}
    disputed: set[str] = set()
    problems: list[str] = []
    try:
        # All at once is many times faster, and ten thousand are read before the start.
        document = msgspec.convert(document, list[Registration])
    except msgspec.ValidationError:
        _log.debug("one of the entries is not valid; they are read one by one")
    for position, entry in enumerate(document):
        try:
            found = read_registration(entry)
        except RegistryFault as fault:
            problems.append(f"domains[{position}] {fault}")
            continue
        other = good.setdefault(found.domain, found)
        if other != found:
            disputed.add(found.domain)
            problems.append(
                f"domains[{position}]: {found.domain} is listed twice, differently; neither counts"
            )
    for domain in disputed:
        del good[domain]
    return good, problems


def read_registration(entry: Any, domain: str | None = None) -> Registration:
    """Read one entry; ``domain`` is the default if it names none. Raises ``RegistryFault``."""
    if isinstance(entry, dict) and domain is not None:
        entry = {"domain": domain, **entry}
    try:
        found = entry if isinstance(entry, Registration) else msgspec.convert(entry, Registration)
        canonical = canonical_pattern(found.domain, MAX_LABELS_REGISTERED)
    except msgspec.ValidationError as exc:
        raise RegistryFault(f"is not a registration: {exc}") from None
    except NameRefused as refused:
        raise RegistryFault(f"has a domain that can't be served: {refused}") from None
    tenant_id = found.tenant_id
    if not 0 < len(tenant_id) <= MAX_TENANT_ID_CHARACTERS or not tenant_id.isprintable():
        raise RegistryFault(
            f"needs a tenant_id of 1 to {MAX_TENANT_ID_CHARACTERS} printable characters"
        )
    if found.wildcard and not canonical.startswith("*."):
        raise RegistryFault("has wildcard: true, which needs a domain that begins with '*.'")
    if canonical == found.domain:
        return found
    return msgspec.structs.replace(found, domain=canonical)


def check_answer(found: Registration, name: str) -> Registration:
    """Return ``found`` if it is for this name. Raises ``RegistryFault`` if it is not."""
    if not covers(found.domain, name):
        raise RegistryFault(f"the registration found for {name} is for another domain")
    return found


def summarise(problems: list[str]) -> str:
    """Return the first few problems, and how many more there are."""
    more = len(problems) - _MAX_NAMED_PROBLEMS
    text = "; ".join(problems[:_MAX_NAMED_PROBLEMS])
    return f"{text}; and {more} more" if more > 0 else text
