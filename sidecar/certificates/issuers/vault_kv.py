"""Certificates that somebody stored in Vault KV v2: read, checked, and read again on a change.

There is no push in KV, so the entry's metadata is polled: one small call that shows the
version, and no secret.
"""

import re
from typing import Any, Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from sidecar.certificates.issuers.base import Order
from sidecar.common.clock import Now
from sidecar.config import model
from workload.x509.material import Material, MaterialFault, check_material, is_servable_key

MAX_PEM_CHARACTERS = 65_536
_SEGMENT = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,253}")


class StoredCertificateReader(Protocol):
    """What is asked of Vault; ``sidecar.vault.client.VaultClient`` answers it."""

    async def read_kv(self, mount: str, path: str) -> Any:
        """Return the latest version of an entry: ``data`` by field, ``version``."""

    async def read_kv_version(self, mount: str, path: str) -> int:
        """Return the number of the latest version, 0 where there is none."""


class KvIssuer:
    """Issues what is stored under ``<prefix>/<name>``."""

    def __init__(
        self, settings: model.VaultKvIssuer, vault: StoredCertificateReader, now: Now
    ) -> None:
        self._settings = settings
        self._vault = vault
        self._now = now
        self.name: str = settings.name
        self.poll_seconds: float = settings.poll_seconds
        self.read: dict[str, int] = {}
        """The version that was read last, good or bad, by what it is served as."""

    async def issue(self, order: Order) -> Material:
        """Read and check the certificate that is stored now.

        Raises ``VaultFault``, or ``MaterialFault`` for what can't be served, and for what is
        the very certificate that the order replaces.
        """
        settings = self._settings
        path = f"{settings.prefix}/{kv_segment(order.name)}"
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
        if order.replaces is not None and material.serial == order.replaces.serial:
            raise NotChanged(f"Vault entry {settings.mount}/{path} is as it was")
        return material

    async def version(self, order: Order) -> int:
        """Return the version of the entry there is now, 0 where there is none."""
        settings = self._settings
        return await self._vault.read_kv_version(
            settings.mount, f"{settings.prefix}/{kv_segment(order.name)}"
        )


class NotChanged(MaterialFault):
    """What is stored is what is served already: there is nothing to renew it with yet."""

    retryable = True


def read_material(chain: object, key: object, order: Order, now: float) -> Material:
    """Read a stored chain and its key, PEM, and check them as if a CA had just sent them."""
    if not isinstance(chain, str) or not isinstance(key, str):
        raise MaterialFault("has no text in the field of the certificate or of the key")
    if max(len(chain), len(key)) > MAX_PEM_CHARACTERS:
        raise MaterialFault(f"holds more than {MAX_PEM_CHARACTERS} characters")
    try:
        private = load_pem_private_key(key.encode("ascii", "replace"), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise MaterialFault("the key is no PEM of an unencrypted private key") from None
    if not is_servable_key(private):
        raise MaterialFault("the key is neither EC on P-256 or P-384, nor RSA of 2048 bits or more")
    return check_material(chain, private, order.dns_names, now, uri_sans=order.uri_sans)


def kv_segment(name: str) -> str:
    """Return the segment of a KV path for a certificate's name; raises ``MaterialFault``."""
    segment = f"_wildcard.{name[2:]}" if name.startswith("*.") else name
    if not _SEGMENT.fullmatch(segment):
        raise MaterialFault("the certificate's name can't stand in a path of Vault KV")
    return segment
