"""The certificates as an operator sees them, and the actions on one: renew and revoke."""

import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from cryptography import x509

from sidecar.certificates.managed.certificate import HandOrder, ManagedCertificate
from sidecar.certificates.managed.manager import CertificateManager
from sidecar.certificates.managed.renewal import Level
from sidecar.common.clock import Now
from sidecar.common.errors import Fault
from workload.x509.material import spki_pin
from workload.x509.renewal import DAY_SECONDS


class CertificateAdminFault(Fault):
    """The operator asked for something that can't be done."""


class UnknownCertificate(CertificateAdminFault):
    """There is no certificate of this name."""


class TooSoon(CertificateAdminFault):
    """The operator ordered this certificate less than a minute ago, and that was answered."""

    retryable = True

    def __init__(self, name: str, retry_after_seconds: float, outcome: str = "") -> None:
        """``outcome`` is what came of that order, where it failed: a clause."""
        seconds = math.ceil(retry_after_seconds)
        super().__init__(
            f"certificate {name!r} was ordered by hand a moment ago (CAs limit orders); "
            f"{outcome and f'{outcome}; '}try again in {seconds} s"
        )
        self.retry_after_seconds = seconds


Revoke = Callable[[str, str], Awaitable[None]]
"""Asks the CA of an issuer (by its name) to revoke a serial. Raises ``Fault``."""


class CertificateAdmin:
    """Shows, renews and revokes certificates. It never shows a key."""

    def __init__(
        self, manager: CertificateManager, probed: Mapping[str, bool], revoke: Revoke, now: Now
    ) -> None:
        """``probed`` says, by name, whether the listener served the certificate it was given."""
        self._manager = manager
        self._probed = probed
        self._revoke = revoke
        self._now = now

    def list(self) -> "list[dict[str, Any]]":
        """Return every certificate, by name."""
        return [self._row(each) for each in sorted(self._manager, key=lambda held: held.name)]

    def show(self, name: str) -> dict[str, Any]:
        """Return one certificate with its chain. Raises ``UnknownCertificate``."""
        managed = self._get(name)
        chain = managed.material.chain_pem.decode("ascii") if managed.material else ""
        return {**self._row(managed), "chain_pem": chain}

    def renew(self, name: str) -> dict[str, Any]:
        """Renew a certificate now, or join the renewal that is under way.

        ``asked`` of the row stays true until the order has come or was refused. Raises
        ``UnknownCertificate``, or ``TooSoon`` within a minute of an order that was answered.
        """
        managed = self._get(name)
        if (pause := self._manager.renew_by_hand(name)) > 0:
            raise TooSoon(name, pause, self._failed(managed))
        return self._row(managed)

    async def revoke(self, name: str) -> dict[str, Any]:
        """Revoke the current certificate at its CA, stop serving it, and order another.

        The order is placed at once, or a minute after the last order by hand if that is later.
        Raises ``CertificateAdminFault`` if there is no certificate, or the CA's ``Fault``; then
        nothing changes.
        """
        managed = self._get(name)
        if managed.material is None or managed.revoked:
            raise CertificateAdminFault(f"certificate {name!r}: there is none to revoke")
        material = managed.material
        await self._revoke(managed.issuer.name, material.serial)
        if managed.material is material:  # and has not been replaced meanwhile
            self._manager.revoked_by_hand(name)
        return self._row(managed)

    def _failed(self, managed: ManagedCertificate) -> str:
        if not managed.failures:
            return ""
        seconds = next_order_seconds(managed, self._now())
        return f"it failed ({managed.last_fault}) and is tried again by itself in {seconds} s"

    def _get(self, name: str) -> ManagedCertificate:
        managed = self._manager.get(name)
        if managed is None:
            raise UnknownCertificate(
                f"there is no certificate {name!r}; GET /certificates lists them"
            )
        return managed

    def _row(self, managed: ManagedCertificate) -> dict[str, Any]:
        material, order = managed.material, managed.order
        row: dict[str, Any] = {
            "name": managed.name,
            "issuer": managed.issuer.name,
            "names": [*order.dns_names, *order.uri_sans, *order.ip_sans],
            "state": state_of(managed),
            "last_error": managed.last_fault,
            "failures": managed.failures,
            "orders": managed.orders_ended,
            "asked": managed.by_hand is not HandOrder.NONE,
            "next_order_seconds": next_order_seconds(managed, self._now()),
            "serial": "",
            "not_after": None,
            "days_left": None,
            "spki_sha256": "",
            "served": self._probed.get(managed.name),
        }
        if material is not None:
            leaf = x509.load_pem_x509_certificate(material.chain_pem)
            row |= {
                "names": [*material.names, *material.uris, *order.ip_sans],
                "serial": material.serial,
                "not_after": leaf.not_valid_after_utc.isoformat(),
                "days_left": round((material.not_after - self._now()) / DAY_SECONDS, 2),
                "spki_sha256": spki_pin(leaf),
            }
        return row


def next_order_seconds(managed: ManagedCertificate, now: float) -> int:
    """Return the whole seconds until it is ordered next; 0 while an order is under way."""
    return max(0, math.ceil(managed.try_at - now))


def state_of(managed: ManagedCertificate) -> str:
    """Return the state for the operator: held, renewing, failed, expired, revoked or pending."""
    if managed.revoked:
        return "revoked"
    if managed.level is Level.ENDED:
        return "expired"
    if managed.running:
        return "renewing"
    if managed.failures:
        return "failed"
    return "pending" if managed.material is None else "held"
