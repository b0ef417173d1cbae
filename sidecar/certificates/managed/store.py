"""The current certificates, by the name Envoy asks for. They exist in memory only."""

from collections.abc import Callable, Iterable, Iterator

from sidecar.common.clock import Now
from sidecar.common.observers import Observers
from workload.x509.material import Material


class CertificateStore:
    """The current certificate of each name, and the watchers of changes."""

    def __init__(self, now: Now) -> None:
        self._now = now
        self._held: dict[str, Material] = {}
        self._expected: set[str] = set()
        self._observers: Observers[str] = Observers()

    def expect(self, names: Iterable[str]) -> None:
        """Note that these names are being obtained for the first time: who asks may wait."""
        self._expected.update(names)

    def expect_no_more(self) -> None:
        """End that: a name that is not there does not exist."""
        missing, self._expected = self._expected, set()
        for name in missing:
            self.announce(name)

    def is_expected(self, name: str) -> bool:
        """Tell whether a name is not served yet, but is being obtained."""
        return name in self._expected

    def put(self, name: str, material: Material) -> None:
        """Serve this certificate under this name from now on."""
        self._held[name] = material
        self._expected.discard(name)
        self.announce(name)

    def get(self, name: str) -> Material | None:
        """Return the certificate of a name; ``None`` if there is none or it has expired."""
        material = self._held.get(name)
        return None if material is None or material.not_after <= self._now() else material

    def remove(self, name: str) -> None:
        """Stop serving a certificate under this name."""
        if self._held.pop(name, None) is not None:
            self.announce(name)

    def announce(self, name: str) -> None:
        """Notify the watchers of a name: it changed, or has just expired."""
        self._observers.notify(name)

    def watch(self, changed: Callable[[str], None]) -> Callable[[], None]:
        """Call ``changed`` with the name on every change; return a function that ends this."""
        return self._observers.watch(changed)

    def __iter__(self) -> Iterator[tuple[str, Material]]:
        """Iterate over names and certificates, expired ones included."""
        yield from self._held.items()
