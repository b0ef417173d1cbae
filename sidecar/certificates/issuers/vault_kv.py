"""Certificates stored in Vault KV v2 by someone else: read, checked, and read again on a change.

KV has no push, so the entry's metadata is polled: one small call that returns the version and
no secret.
"""

import re
from typing import Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from sidecar.certificates.issuers.base import Order
from sidecar.certificates.issuers.slots import OrderSlots
from sidecar.common.clock import Now
from sidecar.config import model
from sidecar.vault.ports import KvReader, KvVersionReader
from workload.x509.addresses import check_addresses
from workload.x509.material import Material, MaterialFault, check_material
from workload.x509.servable import is_servable_key

MAX_PEM_CHARACTERS = 65_536
_SEGMENT = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,253}")


class StoredCertificateReader(KvReader, KvVersionReader, Protocol):
    """What is asked of Vault."""


class KvIssuer:
    """Issues the certificate that is stored under ``<prefix>/<name>``."""

    def __init__(
        self, settings: model.VaultKvIssuer, vault: StoredCertificateReader, now: Now
    ) -> None:
        self._settings = settings
        self._vault = vault
        self._now = now
        self.name: str = settings.name
        self.poll_seconds: float = settings.poll_seconds
        self.slots = OrderSlots()
        self.read: dict[str, int] = {}
        """The version that was read last, valid or not, by the name it is served under."""

    async def issue(self, order: Order) -> Material:
        """Return the certificate that is stored now, checked.

        Raises ``VaultFault``, or ``MaterialFault`` if it can't be served or is the same
        certificate that the order replaces.
        """
        settings = self._settings
        path = f"{settings.prefix}/{kv_segment(order.name)}"
        async with self.slots.hold(order):
            secret = await self._vault.read_kv(settings.mount, path)
        self.read[order.name] = secret.version
        try:
            material = read_material(
                secret.data.get(settings.certificate_field),
                secret.data.get(settings.key_field),
                order,
                self._now(),
            )
        except MaterialFault as fault:
            raise MaterialFault(f"Vault entry {settings.mount}/{path}: {fault}") from None
        if order.replaces is not None and material.version == order.replaces.version:
            raise NotChanged(f"Vault entry {settings.mount}/{path} is as it was")
        return material

    async def version(self, order: Order) -> int:
        """Return the latest version of the entry; 0 if there is none."""
        settings = self._settings
        return await self._vault.read_kv_version(
            settings.mount, f"{settings.prefix}/{kv_segment(order.name)}"
        )


class NotChanged(MaterialFault):
    """The stored certificate is the one that is served already; a renewed one is not there yet."""

    retryable = True


def read_material(chain: object, key: object, order: Order, now: float) -> Material:
    """Check a stored chain and its key (PEM) as if a CA had just issued them."""
    if not isinstance(chain, str) or not isinstance(key, str):
        raise MaterialFault("has no text in the field of the certificate or of the key")
    if max(len(chain), len(key)) > MAX_PEM_CHARACTERS:
        raise MaterialFault(f"holds more than {MAX_PEM_CHARACTERS} characters")
    try:
        private = load_pem_private_key(key.encode("ascii", "replace"), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise MaterialFault("the key is not an unencrypted private key in PEM") from None
    if not is_servable_key(private):
        raise MaterialFault("the key must be EC on P-256 or P-384, or RSA of 2048 bits or more")
    material = check_material(chain, private, order.dns_names, now, uri_sans=order.uri_sans)
    return check_addresses(material, order.ip_sans)


def kv_segment(name: str) -> str:
    """Return a certificate's name as a segment of a KV path. Raises ``MaterialFault``."""
    segment = f"_wildcard.{name[2:]}" if name.startswith("*.") else name
    if not _SEGMENT.fullmatch(segment):
        raise MaterialFault("the certificate's name can't be part of a path in Vault KV")
    return segment
