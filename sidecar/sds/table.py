"""Every secret that is served, encoded, by the name Envoy asks for."""

from collections.abc import Callable, Container
from typing import Protocol

from sidecar.certificates.on_demand.on_demand import Obtaining
from sidecar.common.observers import Observers
from sidecar.sds.resources import tls_certificate
from sidecar.sds.subscription import PENDING, Pending, Resource
from workload.x509.material import Material

Changed = Callable[[str], None]
"""Called with the name that changed, on the event loop; it must not block."""


class CertificateSource(Protocol):
    """The certificates; ``sidecar.certificates.managed.store.CertificateStore`` implements it."""

    def get(self, name: str) -> Material | None:
        """Return the certificate of a name, unless it has expired."""

    def is_expected(self, name: str) -> bool:
        """Tell whether a name is not served yet, but is being obtained."""

    def watch(self, changed: Changed) -> Callable[[], None]:
        """Call ``changed`` on every change; return a function that ends this."""


class OnDemandSource(Protocol):
    """Certificates of names that are not configured; ``certificates.on_demand`` implements it."""

    def lookup(self, name: str, *, waits: bool) -> Material | Obtaining | None:
        """Return a certificate, ``OBTAINING``, or ``None`` for a refusal.

        A certificate is only obtained for a client that ``waits``.
        """

    def refuses(self, name: str) -> bool:
        """Tell whether the name is refused, as far as that is known from memory."""

    def could_serve_again(self, name: str) -> bool:
        """Tell whether a client that drops a name could get it again, as far as is known."""

    def watch(self, changed: Changed) -> Callable[[], None]:
        """Call ``changed`` when a name was obtained, renewed or refused; return what ends this."""


class SecretTable:
    """The certificates of their sources, and the secrets that were put here.

    A configured certificate is encoded when it is first asked for, and once per change. A
    certificate on demand is encoded whenever it is sent, which is once per client and TTL.
    ``configured`` are the names in ``certificates`` that are not obtained on demand.
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
        self._observers: Observers[str] = Observers()
        certificates.watch(self._certificate_changed)
        if on_demand is not None:
            on_demand.watch(self._notify)

    def use_configured(self, configured: Container[str]) -> None:
        """Take these as the names that are not obtained on demand, from now on."""
        self._configured = configured

    def put(self, resource: Resource) -> None:
        """Serve a trust bundle, session-ticket keys, or a generic secret."""
        self._others[resource.name] = resource
        self._notify(resource.name)

    def remove(self, name: str) -> None:
        """Stop serving a secret that ``put`` added."""
        if self._others.pop(name, None) is not None:
            self._notify(name)

    def lookup(self, name: str, *, waits: bool) -> Resource | Pending | None:
        """Return the resource of a name; see ``sds.subscription.Lookup``."""
        if self._on_demand is None or self.is_configured(name):
            return self.lookup_configured(name)
        obtained = self._on_demand.lookup(name, waits=waits)
        if isinstance(obtained, Material):
            return _encoded(name, obtained)
        return None if obtained is None else PENDING

    def lookup_configured(self, name: str) -> Resource | Pending | None:
        """Return the resource of a name that is not served on demand."""
        material = self._certificates.get(name) if self.is_configured(name) else None
        if material is None:
            pending = PENDING if self._certificates.is_expected(name) else None
            return self._others.get(name) or pending
        held = self._encoded.get(name)
        if held is not None and held[0] is material:
            return held[1]
        resource = _encoded(name, material)
        self._encoded[name] = (material, resource)
        return resource

    def is_configured(self, name: str) -> bool:
        """Tell whether a name is configured, rather than served on demand."""
        return self._on_demand is None or name in self._others or name in self._configured

    def is_withdrawn(self, name: str) -> bool:
        """Tell whether a name was served on demand and is now refused."""
        if self._on_demand is None or self.is_configured(name):
            return False
        return self._on_demand.refuses(name)

    def could_serve_again(self, name: str) -> bool:
        """Tell whether a name that a client obtained on demand may be evicted."""
        return self._on_demand is None or self._on_demand.could_serve_again(name)

    def watch(self, changed: Changed) -> Callable[[], None]:
        """Call ``changed`` on every change; returns what ends that."""
        return self._observers.watch(changed)

    def _certificate_changed(self, name: str) -> None:
        self._encoded.pop(name, None)
        self._notify(name)

    def _notify(self, name: str) -> None:
        self._observers.notify(name)


def _encoded(name: str, material: Material) -> Resource:
    return tls_certificate(name, material.version, material.chain_pem, material.key_pem)
