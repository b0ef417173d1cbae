"""The certificates held, by the name Envoy asks for. In memory, and only there."""

from collections.abc import Callable, Iterator

from sidecar.common.clock import Now
from sidecar.common.faults import tell_each
from workload.x509.material import Material


class CertificateStore:
    """The current certificate of each name, and who is told when it changes."""

    def __init__(self, now: Now) -> None:
        self._now = now
        self._held: dict[str, Material] = {}
        self._watchers: set[Callable[[str], None]] = set()

    def put(self, name: str, material: Material) -> None:
        """Serve this certificate under this name from now on."""
        self._held[name] = material
        self.announce(name)

    def get(self, name: str) -> Material | None:
        """Return the certificate of a name. One that has expired is not served."""
        material = self._held.get(name)
        return None if material is None or material.not_after <= self._now() else material

    def remove(self, name: str) -> None:
        """Serve nothing under this name any more."""
        if self._held.pop(name, None) is not None:
            self.announce(name)

    def announce(self, name: str) -> None:
        """Have everyone look at a name again: it was put here, or has just expired."""
        tell_each(self._watchers, name)

    def watch(self, changed: Callable[[str], None]) -> Callable[[], None]:
        """Call ``changed`` with the name, on every change; returns what ends that."""
        self._watchers.add(changed)
        return lambda: self._watchers.discard(changed)

    def __iter__(self) -> Iterator[tuple[str, Material]]:
        """Walk names and certificates, expired ones too: someone has to see them."""
        yield from self._held.items()
