"""Which configured certificate covers a name that was not configured: by SAN or wildcard."""

from collections.abc import Collection

from sidecar.certificates.managed.store import CertificateStore
from workload.x509.wildcards import wildcard_of


class Coverage:
    """The names in the configured certificates, each with its certificate's key in the store."""

    def __init__(self, store: CertificateStore, configured: Collection[str]) -> None:
        self._store = store
        self._configured = configured
        self._by_name: dict[str, str] = {}
        for key in configured:
            self.learn(key)

    def learn(self, key: str) -> None:
        """Index a new or renewed certificate; names of other certificates are not taken over."""
        material = self._store.get(key) if key in self._configured else None
        if material is None:
            return
        for stale in [name for name, where in self._by_name.items() if where == key]:
            del self._by_name[stale]
        for name in material.names:
            self._by_name.setdefault(name, key)

    def find(self, name: str) -> str | None:
        """Return the key of the certificate that covers a canonical name now, if there is one."""
        for pattern in (name, wildcard_of(name)):
            key = self._by_name.get(pattern)
            if key is not None and self._store.get(key) is not None:
                return key
        return None
