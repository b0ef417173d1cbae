"""The certificates held, by the name Envoy asks for. In memory, and only there."""

from collections.abc import Callable, Iterator

from sidecar.certs.material import Material
from sidecar.clock import Now
from sidecar.sds.resources import tls_certificate
from sidecar.sds.subscription import Resource


class CertificateStore:
    """What SDS serves. Each certificate is encoded once, when it is put here."""

    def __init__(self, now: Now) -> None:
        self._now = now
        self._held: dict[str, tuple[Material, Resource]] = {}
        self._watchers: set[Callable[[], None]] = set()

    def put(self, name: str, material: Material) -> None:
        """Serve this certificate under this name from now on."""
        resource = tls_certificate(name, material.version, material.chain_pem, material.key_pem)
        self._held[name] = (material, resource)
        for changed in tuple(self._watchers):
            changed()

    def lookup(self, name: str) -> Resource | None:
        """Return the resource of a name. One that has expired is not served."""
        held = self._held.get(name)
        if held is None or held[0].not_after <= self._now():
            return None
        return held[1]

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Call ``changed`` on every change; returns what ends that."""
        self._watchers.add(changed)
        return lambda: self._watchers.discard(changed)

    def __iter__(self) -> Iterator[tuple[str, Material]]:
        """Walk names and certificates."""
        for name, (material, _) in self._held.items():
            yield name, material
