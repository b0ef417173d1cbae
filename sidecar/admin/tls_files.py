"""The certificate and the client CAs of a listener, from files that are replaced when renewed.

The files are read again every ``POLL_SECONDS``, and are put in force together, once all of them
are good: a certificate whose key is not there yet, or half a file, changes nothing.
"""

import asyncio
import logging
import os
import stat
from typing import NamedTuple

from sidecar.certificates.issuers.base import Order
from sidecar.certificates.issuers.vault_kv import read_material
from sidecar.common.blocking import BlockingRunner, BlockingRunnerBusy
from sidecar.common.clock import Now
from sidecar.common.errors import Fault
from sidecar.common.polling import PollLoop, PollStatus
from sidecar.config import model
from sidecar.transport.identities import Trusted
from workload.x509.anchors import TrustAnchors, read_anchors, read_chain
from workload.x509.crls import BundleFault, split_crls
from workload.x509.material import Material, MaterialFault

POLL_SECONDS = 10.0
MAX_FILE_BYTES = 4_194_304
_READ_SECONDS = 5.0
_SETTING = "listen.metrics.tls"
_log = logging.getLogger("sidecar.admin")


class TlsFileFault(Fault):
    """A file of ``listen.metrics.tls`` can't be used."""


class _Texts(NamedTuple):
    """The content of the files."""

    certificate: str
    key: str
    client_cas: str
    client_crls: str


class TlsFiles:
    """What a listener shows and believes, of ``FilesTls``."""

    def __init__(self, settings: model.FilesTls, now: Now) -> None:
        self._settings = settings
        self._now = now
        self._texts: _Texts | None = None
        self._material: Material | None = None
        self._anchors: TrustAnchors | None = None
        self._runner = BlockingRunner("tls-files", 1)
        self.status = PollStatus(
            "metrics_tls",
            f"{_SETTING} ({settings.certificate_file})",
            _log,
            kept="what was read before stays in force",
        )
        self.poll = PollLoop(self._poll, lambda: POLL_SECONDS)

    async def load(self) -> None:
        """Read the files for the first time. Raises ``TlsFileFault``."""
        await self._read()
        self.status.succeeded()

    def material(self) -> Material | None:
        """Return the certificate and its key; ``None`` if it has expired."""
        material = self._material
        return None if material is None or material.not_after <= self._now() else material

    def trusted(self) -> Trusted:
        """Return the client CAs, and which clients may come in."""
        return Trusted(self._anchors, self._settings.clients)

    async def _poll(self) -> None:
        with self.status.poll():
            await self._read()

    async def _read(self) -> None:
        try:
            texts = await self._runner.run(self._texts_now, _READ_SECONDS)
        except (BlockingRunnerBusy, TimeoutError):
            raise TlsFileFault(f"{_SETTING}: the files can't be read in time") from None
        if texts == self._texts:
            return
        # Off the event loop: a list of CRLs may have megabytes.
        material, anchors = await asyncio.to_thread(self._checked, texts)
        self._material, self._anchors, self._texts = material, anchors, texts

    def _texts_now(self) -> _Texts:
        settings = self._settings
        crl = settings.client_crl_file
        return _Texts(
            _read_file("certificate_file", settings.certificate_file),
            _read_file("key_file", settings.key_file),
            _read_file("client_ca_file", settings.client_ca_file),
            "" if crl is None else _read_file("client_crl_file", crl),
        )

    def _checked(self, texts: _Texts) -> tuple[Material, TrustAnchors]:
        now = self._now()
        try:
            material = read_material(
                texts.certificate, texts.key, Order(name=_SETTING, dns_names=()), now
            )
        except MaterialFault as fault:
            raise TlsFileFault(f"{_SETTING}.certificate_file and key_file: {fault}") from None
        try:
            # An operator wrote this list of roots: each is an anchor, whatever signed it.
            roots = [[each] for each in read_chain(texts.client_cas)]
            anchors = read_anchors(roots, split_crls(texts.client_crls), now)
        except BundleFault as fault:
            raise TlsFileFault(f"{_SETTING}.client_ca_file: {fault}") from None
        return material, anchors


def _read_file(setting: str, path: str) -> str:
    """Return the text of a file. Raises ``TlsFileFault``, which names it and never its content."""
    try:
        # O_NONBLOCK: a FIFO must not block before it is recognised.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise TlsFileFault(f"{_SETTING}.{setting}: {path} is not a regular file")
            raw = file.read(MAX_FILE_BYTES + 1)
    except OSError as exc:
        raise TlsFileFault(f"{_SETTING}.{setting}: {path}: {exc.strerror}") from None
    if len(raw) > MAX_FILE_BYTES:
        raise TlsFileFault(f"{_SETTING}.{setting}: {path} has more than {MAX_FILE_BYTES} bytes")
    return raw.decode("ascii", "replace")
