"""Polls the CRL of Vault PKI, and stops serving what it lists."""

import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

from cryptography import x509

from sidecar.certificates.managed.manager import CertificateManager
from sidecar.common.errors import Fault
from sidecar.common.faults import call_each
from sidecar.common.polling import PollStatus
from sidecar.config import model

_log = logging.getLogger("sidecar.certificates")


class CrlFault(Fault):
    """A CRL can't be read."""


class CrlReader(Protocol):
    """The calls to Vault; ``sidecar.vault.client.VaultClient`` implements them."""

    async def read_crl(self, mount: str) -> bytes:
        """Return the CRL of a PKI mount, PEM."""


class RevocationWatch:
    """The revoked serials of one issuer, from its CRL.

    It has no ``PollLoop``: each read is followed by a comparison, which is due even if the read
    failed, and the first read happens before the loop begins.
    """

    def __init__(
        self,
        settings: model.VaultPkiIssuer,
        reader: CrlReader,
        *,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._settings = settings
        self._reader = reader
        self._sleep = sleep
        self._serials: frozenset[int] = frozenset()
        self.issuer: str = settings.name
        self.status = PollStatus(
            f"crl/{settings.name}",
            f"the CRL of Vault PKI {settings.mount!r}",
            _log,
            kept="the serials known to be revoked stay revoked",
        )

    def is_revoked(self, serial: str) -> bool:
        """Tell whether a serial (hexadecimal) is on the last CRL that was read."""
        return int(serial, 16) in self._serials

    async def refresh(self) -> None:
        """Read the CRL. If that fails, the last one stays in force: a CRL only grows."""
        with self.status.poll():
            raw = await self._reader.read_crl(self._settings.mount)
            try:
                listed = x509.load_pem_x509_crl(raw)
            except ValueError:
                raise CrlFault("Vault's answer is not a CRL") from None
            self._serials = frozenset(entry.serial_number for entry in listed)

    async def run(self, manager: CertificateManager) -> None:
        """Poll the CRL, until cancelled."""
        while True:
            await self.refresh()
            call_each([self.compare], manager)
            await self._sleep(self._settings.crl_poll_seconds)

    def compare(self, manager: CertificateManager) -> None:
        """Stop serving the certificates that are on the CRL."""
        for managed in manager:
            material = managed.material if managed.issuer.name == self.issuer else None
            if material is not None and self.is_revoked(material.serial):
                manager.revoked(managed.name)
