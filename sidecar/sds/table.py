"""Every secret that is served, encoded, by the name Envoy asks for."""

from collections.abc import Callable, Container
from typing import Protocol

from sidecar.certificates.on_demand.on_demand import Obtaining
from sidecar.sds.resources import tls_certificate
from sidecar.sds.subscription import PENDING, Pending, Resource
from workload.x509.material import Material

Changed = Callable[[str], None]
"""Called with the name that changed, on the event loop; must not wait."""


class CertificateSource(Protocol):
    """Where certificates are; ``sidecar.certificates.managed.store.CertificateStore`` is one."""

    def get(self, name: str) -> Material | None:
        """Return the certificate of a name, unless it has expired."""

    def watch(self, changed: Changed) -> Callable[[], None]:
        """Call ``changed`` on every change; returns what ends that."""


class OnDemandSource(Protocol):
    """Certificates of names that are not configured; ``certificates.on_demand`` has one."""

    def lookup(self, name: str, *, waits: bool) -> Material | Obtaining | None:
        """Return a certificate, that it is being obtained, or a refusal.

        Only for a client that ``waits`` is anything set in motion.
        """

    def refuses(self, name: str) -> bool:
        """Tell whether the name can't be had, as far as that is known without asking anyone."""

    def could_serve_again(self, name: str) -> bool:
        """Tell whether a client that drops a name would have it again, as far as is known."""

    def watch(self, changed: Changed) -> Callable[[], None]:
        """Call ``changed`` when a name was obtained, renewed or refused; returns what ends that."""


class SecretTable:
    """Certificates as they are in their source, and what else was put here.

    A configured certificate is encoded when it is first asked for, and then once a change;
    one obtained on demand whenever it is sent, which is once a client and stay.
    ``configured`` are the names in ``certificates`` that are not had on demand.
    """

    def __init__(
        self,
        certificates: CertificateSource,
        on_demand: OnDemandSource | None = None,
        configured: Container[str] = (),
    ) -> None:
        self._certificates = certificates
        self._on_demand = on_demand
        self._configured = configured
        self._encoded: dict[str, tuple[Material, Resource]] = {}
        self._others: dict[str, Resource] = {}
        self._watchers: set[Changed] = set()
        certificates.watch(self._certificate_changed)
        if on_demand is not None:
            on_demand.watch(self._tell)

    def put(self, resource: Resource) -> None:
        """Serve a secret that is no certificate: a trust bundle, ticket keys, a generic one."""
        self._others[resource.name] = resource
        self._tell(resource.name)

    def remove(self, name: str) -> None:
        """Serve what ``put`` brought no more."""
        if self._others.pop(name, None) is not None:
            self._tell(name)

    def lookup(self, name: str, *, waits: bool) -> Resource | Pending | None:
        """Return the resource of a name; see ``sds.subscription.Lookup``."""
        if self._on_demand is None or self.is_configured(name):
            return self.lookup_configured(name)
        obtained = self._on_demand.lookup(name, waits=waits)
        if isinstance(obtained, Material):
            return _encoded(name, obtained)
        return None if obtained is None else PENDING

    def lookup_configured(self, name: str) -> Resource | None:
        """Return the resource of a name, if it is not one to be had on demand."""
        material = self._certificates.get(name) if self.is_configured(name) else None
        if material is None:
            return self._others.get(name)
        held = self._encoded.get(name)
        if held is not None and held[0] is material:
            return held[1]
        resource = _encoded(name, material)
        self._encoded[name] = (material, resource)
        return resource

    def is_configured(self, name: str) -> bool:
        """Tell whether a name is served by configuration, not on demand."""
        return self._on_demand is None or name in self._others or name in self._configured

    def is_withdrawn(self, name: str) -> bool:
        """Tell whether a name was to be had on demand and no longer is."""
        if self._on_demand is None or self.is_configured(name):
            return False
        return self._on_demand.refuses(name)

    def could_serve_again(self, name: str) -> bool:
        """Tell whether a client may be told to drop what it was given on demand."""
        return self._on_demand is None or self._on_demand.could_serve_again(name)

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


def _encoded(name: str, material: Material) -> Resource:
    return tls_certificate(name, material.version, material.chain_pem, material.key_pem)
