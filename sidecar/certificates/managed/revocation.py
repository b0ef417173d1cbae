"""Polls the CRLs of Vault PKI, and stops serving what they list.

Those of every issuer of the mount: a certificate may come from one that is the default no more.
Delta CRLs too: the CRL itself may not be made anew for hours.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence

from sidecar.certificates.managed.manager import CertificateManager
from sidecar.common.errors import Fault
from sidecar.common.faults import call_each
from sidecar.common.poll_pace import PollPace
from sidecar.common.polling import PollStatus
from sidecar.config import model
from workload.x509.crls import revoked_serials
from workload.x509.reading import CertificateUnreadable, load_crl

_log = logging.getLogger("sidecar.certificates")


CrlReader = Callable[[str], Awaitable[Sequence[str]]]
"""Reads the CRLs of a mount, PEM; ``sidecar.vault.trust.read_mount_crls`` does."""


class CrlFault(Fault):
    """A CRL can't be read."""


async def read_revoked(reader: CrlReader, mount: str) -> frozenset[int]:
    """Return the serials on the CRLs of a mount. Raises ``Fault``."""
    pems = await reader(mount)
    try:
        listed = [revoked_serials(load_crl(pem)) for pem in pems]
    except CertificateUnreadable:
        raise CrlFault("Vault's answer is not a CRL") from None
    return frozenset().union(*listed)


class RevocationWatch:
    """The revoked serials of one mount, from the CRLs of its issuers.

    It has no ``PollLoop``: each read is followed by a comparison, which is due even if the read
    failed, and the first read happens before the loop begins.
    """

    def __init__(
        self,
        settings: model.VaultPkiIssuer,
        reader: CrlReader,
        *,
        sleep: Callable[[float], Awaitable[None]],
        jitter: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._pace = PollPace(lambda: settings.crl_poll_seconds, jitter)
        self._reader = reader
        self._sleep = sleep
        self._serials: frozenset[int] = frozenset()
        self.issuer: str = settings.name
        self.status = PollStatus(
            f"crl/{settings.name}",
            f"the CRLs of Vault PKI {settings.mount!r}",
            _log,
            kept="the serials known to be revoked stay revoked",
        )

    def is_revoked(self, serial: str) -> bool:
        """Tell whether a serial (hexadecimal) is on one of the CRLs that were read last."""
        return int(serial, 16) in self._serials

    async def refresh(self) -> None:
        """Read the CRLs. If that fails, the last ones stay in force: a CRL only grows."""
        with self.status.poll():
            self._serials = await read_revoked(self._reader, self._settings.mount)

    async def read(self) -> None:
        """Read the CRLs for the first time, for a reload. Raises ``CrlFault``."""
        await self.refresh()
        if self.status.problem:
            raise CrlFault(self.status.problem)

    async def run(self, manager: CertificateManager) -> None:
        """Poll the CRLs, until cancelled."""
        while True:
            await self.refresh()
            call_each([self.compare], manager)
            await self._sleep(self._pace.pause_seconds(self.status))

    def compare(self, manager: CertificateManager) -> None:
        """Stop serving the certificates that are on a CRL."""
        for managed in manager:
            material = managed.material if managed.issuer.name == self.issuer else None
            if material is not None and self.is_revoked(material.serial):
                manager.revoked(managed.name)
