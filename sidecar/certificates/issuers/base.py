"""The interface of all issuers of certificates, and the table of configured issuers."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple, Protocol, runtime_checkable

from sidecar.common.errors import Fault
from workload.x509.material import Material


class Order(NamedTuple):
    """An order for an issuer.

    ``name`` is the name the certificate is served under. ``dns_names`` are in normal form (lower
    case, A-labels, no trailing dot; a wildcard is ``*.`` and a name), the first is also
    the common name. ``uri_sans`` are URIs, such as a SPIFFE ID; ``ip_sans`` are IP addresses.
    ``replaces`` is the current certificate, if this is a renewal: an issuer never returns that
    one again. ``account`` is the registered domain whose budget the order counts against
    (``on_demand.issuance_limits``); empty for configured certificates.
    """

    name: str
    dns_names: tuple[str, ...]
    uri_sans: tuple[str, ...] = ()
    replaces: Material | None = None
    account: str = ""
    ip_sans: tuple[str, ...] = ()


class Issuer(Protocol):
    """Issues certificates: Vault PKI, Vault KV, ACME, or one of them shared by a fleet."""

    @property
    def name(self) -> str:
        """Its name in the configuration; for messages and labels."""

    async def issue(self, order: Order) -> Material:
        """Return a certificate for this order that was checked (``workload.x509.material``).

        Raises ``Fault``: ``retryable`` if the same order may succeed later, not before
        ``retry_after_seconds`` if the issuer said so.
        """


class RenewalAdvice(NamedTuple):
    """When an issuer wants a certificate renewed, and when to ask it again.

    Unix seconds; ``renew_at`` is ``None`` if it gives no time.
    """

    renew_at: float | None
    ask_again_at: float


@runtime_checkable
class AdvisesRenewal(Protocol):
    """An issuer that advises when to renew: ACME with ARI (RFC 9773)."""

    async def advise(self, material: Material) -> RenewalAdvice | None:
        """Return its advice for a certificate; ``None`` if there is none. Raises ``Fault``."""


async def advise(issuer: Issuer, material: Material) -> RenewalAdvice | None:
    """Ask an issuer when to renew; return ``None`` if it gives no advice. Raises ``Fault``."""
    return await issuer.advise(material) if isinstance(issuer, AdvisesRenewal) else None


@runtime_checkable
class FindsExisting(Protocol):
    """An issuer that can look for an existing certificate without ordering one."""

    @property
    def edge_seconds(self) -> float:
        """How long a first order waits for our edge to start; 0 if no CA connects to it."""

    async def find(self, order: Order) -> Material | None:
        """Return an existing certificate that may be served. Raises ``Fault``."""


class IssuerFault(Fault):
    """An issuer can't process an order."""


class Issuers:
    """Every issuer of the configuration, by name."""

    def __init__(self, by_name: Mapping[str, Issuer]) -> None:
        self._by_name = dict(by_name)

    def __getitem__(self, name: str) -> Issuer:
        """Return the issuer of a name. Raises ``IssuerFault`` if there is none."""
        try:
            return self._by_name[name]
        except KeyError:
            raise IssuerFault(
                f"there is no issuer {name!r} in the configuration (issuers[].name)"
            ) from None

    def __iter__(self) -> Iterator[Issuer]:
        return iter(self._by_name.values())
