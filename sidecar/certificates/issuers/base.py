"""One interface of everything that issues certificates, and the table of those there are."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple, Protocol, runtime_checkable

from sidecar.common.errors import Fault
from workload.x509.material import Material


class Order(NamedTuple):
    """What is wanted of an issuer.

    ``name`` is what the certificate is served as. ``dns_names`` are in normal form (lower
    case, A-labels, no trailing dot; a wildcard is ``*.`` and a name), the first is the
    common name too. ``uri_sans`` are URIs beside them, such as a SPIFFE ID. ``replaces`` is
    what is held now, if this is a renewal: an issuer never returns that one again.
    ``account`` is the registered domain on whose budget it is ordered (``certs.rate_limiter``);
    empty for what the configuration names.
    """

    name: str
    dns_names: tuple[str, ...]
    uri_sans: tuple[str, ...] = ()
    replaces: Material | None = None
    account: str = ""


class Issuer(Protocol):
    """Issues certificates: Vault PKI, Vault KV, ACME, or one of them shared by a fleet."""

    @property
    def name(self) -> str:
        """What the configuration calls it; for messages and labels."""

    async def issue(self, order: Order) -> Material:
        """Return a certificate that was checked (``workload.x509.material``), for this order.

        Raises ``Fault``: ``retryable`` where the same order may succeed later, not before
        ``retry_after_seconds`` where the issuer said so.
        """


class RenewalAdvice(NamedTuple):
    """When an issuer wants a certificate renewed, and when it wants to be asked again.

    Unix seconds; ``renew_at`` is ``None`` where it has no opinion.
    """

    renew_at: float | None
    ask_again_at: float


@runtime_checkable
class AdvisesRenewal(Protocol):
    """An issuer that knows when to renew: ACME with ARI (RFC 9773)."""

    async def advise(self, material: Material) -> RenewalAdvice | None:
        """Return its advice for a certificate; ``None`` where there is none. Raises ``Fault``."""


async def advise(issuer: Issuer, material: Material) -> RenewalAdvice | None:
    """Ask an issuer when to renew; ``None`` from one that gives no advice. Raises ``Fault``."""
    return await issuer.advise(material) if isinstance(issuer, AdvisesRenewal) else None


@runtime_checkable
class FindsExisting(Protocol):
    """An issuer that can look for what was ordered before, without ordering."""

    @property
    def edge_seconds(self) -> float:
        """How long to wait with a first order until our edge is up; 0 where no CA looks at it."""

    async def find(self, order: Order) -> Material | None:
        """Return a certificate that is there and may be served. Raises ``Fault``."""


class IssuerFault(Fault):
    """An issuer can't do what is asked of it."""


class Issuers:
    """Every issuer of the configuration, by name."""

    def __init__(self, by_name: Mapping[str, Issuer]) -> None:
        self._by_name = dict(by_name)

    def __getitem__(self, name: str) -> Issuer:
        """Return an issuer; raises ``IssuerFault`` for a name that is none's."""
        try:
            return self._by_name[name]
        except KeyError:
            raise IssuerFault(f"there is no issuer {name!r}") from None

    def __iter__(self) -> Iterator[Issuer]:
        return iter(self._by_name.values())
