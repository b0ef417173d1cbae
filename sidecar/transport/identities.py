"""What a listener of this process shows and believes: certificates and trust bundles, by name.

They are obtained where SDS is; a listener with mutual TLS asks here, and nothing is shown and
nobody believed before there is anything.
"""

from collections.abc import Callable
from typing import NamedTuple

from workload.x509.anchors import TrustAnchors
from workload.x509.material import Material


class Trusted(NamedTuple):
    """Whom a listener believes, and who of these may come in.

    ``anchors`` is ``None`` until they have been read.
    """

    anchors: TrustAnchors | None
    peers: tuple[str, ...]
    spki_pins: tuple[str, ...] = ()


class Identities:
    """The certificates and trust bundles of the configuration, as they are now."""

    def __init__(self) -> None:
        self._material: Callable[[str], Material | None] = lambda _name: None
        self._trusted: Callable[[str], Trusted] = lambda _bundle: Trusted(None, ())

    def served_by(
        self, material: Callable[[str], Material | None], trusted: Callable[[str], Trusted]
    ) -> None:
        """Have both answered by those who hold them, from now on."""
        self._material, self._trusted = material, trusted

    def material(self, name: str) -> Material | None:
        """Return the certificate of a name; ``None`` if there is none that is valid."""
        return self._material(name)

    def trusted(self, bundle: str) -> Trusted:
        """Return whom a trust bundle names. Raises ``LookupError`` for the name of none."""
        return self._trusted(bundle)
