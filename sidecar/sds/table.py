"""Every secret that is served, encoded, by the name Envoy asks for."""

from collections.abc import Callable
from typing import Protocol

from sidecar.certs.material import Material
from sidecar.sds.resources import tls_certificate
from sidecar.sds.subscription import Resource

Changed = Callable[[str], None]
"""Called with the name that changed, on the event loop; must not wait."""


class CertificateSource(Protocol):
    """Where certificates are; ``sidecar.certs.store.CertificateStore`` is one."""

    def get(self, name: str) -> Material | None:
        """Return the certificate of a name, unless it has expired."""

    def watch(self, changed: Changed) -> Callable[[], None]:
        """Call ``changed`` on every change; returns what ends that."""


class SecretTable:
    """Certificates as they are in their source, and what else was put here.

    A certificate is encoded when it is first asked for, and then once a change.
    """

    def __init__(self, certificates: CertificateSource) -> None:
        self._certificates = certificates
        self._encoded: dict[str, tuple[Material, Resource]] = {}
        self._others: dict[str, Resource] = {}
        self._watchers: set[Changed] = set()
        certificates.watch(self._certificate_changed)

    def put(self, resource: Resource) -> None:
        """Serve a secret that is no certificate: a trust bundle, ticket keys, a generic one."""
        self._others[resource.name] = resource
        self._tell(resource.name)

    def remove(self, name: str) -> None:
        """Serve what ``put`` brought no more."""
        if self._others.pop(name, None) is not None:
            self._tell(name)

    def lookup(self, name: str) -> Resource | None:
        """Return the resource of a name; see ``sds.subscription.Lookup``."""
        material = self._certificates.get(name)
        if material is None:
            return self._others.get(name)
        held = self._encoded.get(name)
        if held is not None and held[0] is material:
            return held[1]
        resource = tls_certificate(name, material.version, material.chain_pem, material.key_pem)
        self._encoded[name] = (material, resource)
        return resource

    def watch(self, changed: Changed) -> Callable[[], None]:
        """Call ``changed`` on every change; returns what ends that."""
        self._watchers.add(changed)
        return lambda: self._watchers.discard(changed)

    def _certificate_changed(self, name: str) -> None:
        self._encoded.pop(name, None)
        self._tell(name)

    def _tell(self, name: str) -> None:
        for changed in tuple(self._watchers):
            changed(name)
