"""What a reload of certificates obtains before anything changes, and what it leaves as it is."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from sidecar.certificates.issuers.base import Issuer, Order
from sidecar.certificates.managed.manager import CertificateManager
from sidecar.certificates.managed.obtaining import CertificateFault, ObtainedCertificate
from sidecar.certificates.managed.parts import CertificateParts, signed_by, wanted_certificates

PREPARE_SECONDS = 150.0
"""How long a reload waits for new certificates; ``sidecar config reload`` waits longer."""
_MAX_SHOWN = 5


class PreparedCertificates(NamedTuple):
    """What a reload puts in force: its parts, and the certificates that were obtained for it."""

    parts: CertificateParts
    obtained: tuple[ObtainedCertificate, ...]
    kept: tuple[tuple[str, Issuer], ...]
    """The names whose certificate goes on being served, and who renews it from then on."""


async def prepare_certificates(
    before: CertificateParts, parts: CertificateParts, manager: CertificateManager
) -> PreparedCertificates:
    """Read the CRLs of issuers that are new, and obtain the certificates that are.

    A certificate for the same names, signed by the same CA in the same way, is not obtained
    again. Raises ``Fault``.
    """
    fresh = [each for key, each in parts.watches.items() if key not in before.watches]
    await asyncio.gather(*(watch.read() for watch in fresh))
    orders: list[tuple[Order, Issuer]] = []
    kept: list[tuple[str, Issuer]] = []
    for settings, (order, issuer) in zip(
        parts.config.certificates, wanted_certificates(parts.config, parts.issuers), strict=True
    ):
        if _is_unchanged(before, parts, manager, order, settings.issuer):
            kept.append((order.name, issuer))
        else:
            orders.append((order, issuer))
    return PreparedCertificates(parts, await _obtain_all(manager, orders), tuple(kept))


def _is_unchanged(
    before: CertificateParts,
    parts: CertificateParts,
    manager: CertificateManager,
    order: Order,
    issuer: str,
) -> bool:
    """Whether what is served under a name is what other settings ask for."""
    held = manager.get(order.name)
    settings = next((each for each in before.config.certificates if each.name == order.name), None)
    return (
        held is not None
        and settings is not None
        and held.order == order
        and signed_by(before.config, settings.issuer) == signed_by(parts.config, issuer)
    )


async def _obtain_all(
    manager: CertificateManager, orders: Sequence[tuple[Order, Issuer]]
) -> tuple[ObtainedCertificate, ...]:
    tasks = [asyncio.create_task(manager.order(*each)) for each in orders]
    try:
        async with asyncio.timeout(PREPARE_SECONDS):
            return tuple(await asyncio.gather(*tasks))
    except TimeoutError:
        late = [
            repr(order.name)
            for (order, _), task in zip(orders, tasks, strict=True)
            if not task.done() or task.cancelled()
        ]
        raise CertificateFault(
            f"{some_names(late)} could not be obtained within {PREPARE_SECONDS:.0f} s"
        ) from None
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def some_names(names: list[str]) -> str:
    """Return the first few names, and how many more there are."""
    more = f" and {len(names) - _MAX_SHOWN} more" if len(names) > _MAX_SHOWN else ""
    return f"{', '.join(names[:_MAX_SHOWN])}{more}"
