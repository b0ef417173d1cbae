"""What an operator sees of the certificates held, and may have done with one."""

import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from cryptography import x509

from sidecar.certificates.managed.certificate import Holding
from sidecar.certificates.managed.manager import CertificateManager
from sidecar.certificates.managed.renewal import DAY_SECONDS, Level
from sidecar.common.clock import Now
from sidecar.common.errors import Fault
from sidecar.sds.secrets.trust_bundle import spki_pin


class DeskFault(Fault):
    """The operator asks for what can't be done."""


class UnknownCertificate(DeskFault):
    """No certificate of this name is kept."""


class TooSoon(DeskFault):
    """An order by hand was placed a moment ago."""

    retryable = True

    def __init__(self, name: str, retry_after_seconds: float) -> None:
        seconds = math.ceil(retry_after_seconds)
        super().__init__(
            f"certificate {name!r} was ordered by hand a moment ago (CAs count orders); "
            f"ask again in {seconds} s"
        )
        self.retry_after_seconds = seconds


Revoke = Callable[[str, str], Awaitable[None]]
"""Has the CA behind an issuer (by its name) revoke a serial. Raises ``Fault``."""


class CertificateDesk:
    """Shows certificates, and has them renewed or revoked. It never shows a key."""

    def __init__(
        self, manager: CertificateManager, probed: Mapping[str, bool], revoke: Revoke, now: Now
    ) -> None:
        """``probed`` tells, by name, whether a listener was seen to serve what it was given."""
        self._manager = manager
        self._probed = probed
        self._revoke = revoke
        self._now = now

    def list(self) -> "list[dict[str, Any]]":
        """Return every certificate, by name."""
        return [self._row(each) for each in sorted(self._manager, key=lambda held: held.name)]

    def show(self, name: str) -> dict[str, Any]:
        """Return one certificate with its chain. Raises ``UnknownCertificate``."""
        holding = self._get(name)
        chain = holding.material.chain_pem.decode("ascii") if holding.material else ""
        return {**self._row(holding), "chain_pem": chain}

    def renew(self, name: str) -> dict[str, Any]:
        """Have a certificate renewed now, if that is not under way already.

        Raises ``UnknownCertificate``, or ``TooSoon`` within a minute of the last time.
        """
        holding = self._get(name)
        if (pause := self._manager.renew_by_hand(name)) > 0:
            raise TooSoon(name, pause)
        return self._row(holding)

    async def revoke(self, name: str) -> dict[str, Any]:
        """Have the CA revoke what is held; it is served no more, and another is ordered at once.

        It is ordered a minute after the last order by hand, if that is later.
        Raises ``DeskFault`` where nothing is held, or the CA's ``Fault``; then nothing changes.
        """
        holding = self._get(name)
        if holding.material is None or holding.revoked:
            raise DeskFault(f"certificate {name!r}: none is held that could be revoked")
        material = holding.material
        await self._revoke(holding.issuer.name, material.serial)
        if holding.material is material:  # and not another, which came meanwhile
            self._manager.revoked_by_hand(name)
        return self._row(holding)

    def _get(self, name: str) -> Holding:
        holding = self._manager.get(name)
        if holding is None:
            raise UnknownCertificate(f"no certificate {name!r} is kept here")
        return holding

    def _row(self, holding: Holding) -> dict[str, Any]:
        material, order = holding.material, holding.order
        row: dict[str, Any] = {
            "name": holding.name,
            "issuer": holding.issuer.name,
            "names": [*order.dns_names, *order.uri_sans],
            "state": state_of(holding),
            "last_error": holding.last_fault,
            "failures": holding.failures,
            "serial": "",
            "not_after": None,
            "days_left": None,
            "spki_sha256": "",
            "served": self._probed.get(holding.name),
        }
        if material is not None:
            leaf = x509.load_pem_x509_certificate(material.chain_pem)
            row |= {
                "names": [*material.names, *material.uris],
                "serial": material.serial,
                "not_after": leaf.not_valid_after_utc.isoformat(),
                "days_left": round((material.not_after - self._now()) / DAY_SECONDS, 2),
                "spki_sha256": spki_pin(leaf),
            }
        return row


def state_of(holding: Holding) -> str:
    """Return one word: held, renewing, failed, expired, revoked or pending."""
    if holding.revoked:
        return "revoked"
    if holding.level is Level.ENDED:
        return "expired"
    if holding.running:
        return "renewing"
    if holding.failures:
        return "failed"
    return "pending" if holding.material is None else "held"
