"""The names on demand of a drill: those that were asked for, and some of the registry."""

import random
from collections.abc import Sequence

from sidecar.certificates.drill.plan import DrillFault
from sidecar.certificates.issuers.base import Order
from sidecar.certificates.on_demand.domains import Registration, Unresolved
from sidecar.certificates.on_demand.names import NameRefused, canonical_name
from sidecar.certificates.on_demand.registries import ListedRegistry
from sidecar.certificates.on_demand.registry_factory import make_registry
from sidecar.certificates.on_demand.resolved_registry import ResolvedRegistry
from sidecar.common.registered_domains import RegisteredDomains
from sidecar.config.on_demand import OnDemandSettings
from sidecar.vault.client import VaultClient
from workload.x509.wildcards import wildcard_of

Ordered = tuple[Order, str]
"""An order, and the name of its issuer."""


async def on_demand_orders(
    settings: OnDemandSettings | None, vault: VaultClient, names: Sequence[str], limit: int
) -> list[Ordered]:
    """Return the orders of these names, and of up to ``limit`` others that are drawn by lot.

    Raises ``DrillFault`` for a name that no registry knows, and ``Fault`` of the registry.
    """
    if settings is None:
        if names:
            raise DrillFault(
                f"there is no certificate {names[0]!r} under certificates, and no on_demand"
            )
        return []
    if not names and not limit:
        return []
    registry = make_registry(settings.registry, vault, _nothing, _publish)
    await registry.start()
    orders = [await _named(settings, registry, name) for name in names]
    if limit:
        if not isinstance(registry, ListedRegistry):
            raise DrillFault(
                "on_demand.registry is asked for one name at a time, so --limit can draw none: "
                "give the names"
            )
        orders += drawn(settings, list(registry), limit)
    return list({order.name: (order, issuer) for order, issuer in orders}.values())


async def _named(
    settings: OnDemandSettings, registry: ListedRegistry | ResolvedRegistry, asked: str
) -> Ordered:
    try:
        name = canonical_name(asked, settings.max_labels)
        found = registry.find(name)
        if isinstance(found, Unresolved):
            await registry.resolve(name)
            found = registry.find(name)
    except NameRefused as fault:
        raise DrillFault(f"{asked!r} is denied: {fault.reason}") from None
    if found is None or isinstance(found, Unresolved):
        raise DrillFault(f"{asked!r} is neither under certificates nor registered")
    return _order(settings, found, name)


def drawn(
    settings: OnDemandSettings, registered: Sequence[Registration], limit: int
) -> list[Ordered]:
    """Return orders of registrations drawn by lot, so that each drill tries others.

    Of ``*.domain`` without ``wildcard`` no host is known: it is left out.
    """
    usable = [each for each in registered if each.wildcard or not each.domain.startswith("*.")]
    picked = random.SystemRandom().sample(usable, min(limit, len(usable)))
    return [_order(settings, each, each.domain) for each in picked]


def _order(settings: OnDemandSettings, registration: Registration, name: str) -> Ordered:
    key = wildcard_of(name) if registration.wildcard and not name.startswith("*.") else name
    order = Order(key, (key,), account=registration.domain)
    return order, registration.issuer or settings.issuer


async def _nothing() -> None:
    """Do nothing: the registry is read once."""


def _publish(_owners: RegisteredDomains) -> None:
    """Do nothing: nobody decides Checks here."""
