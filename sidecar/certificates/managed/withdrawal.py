"""What is served of a certificate that its CA has revoked, until there is another.

**Envoy does not forget.** A certificate that SDS serves no more Envoy goes on serving, until it is
given another one or starts anew (tried with the real one). So a certificate that is revoked is
ordered again at once; where the order fails, the setting ``when_revoked`` decides:

- ``keep``: Envoy goes on serving the revoked certificate. Most clients do not check revocation, so
  the host stays up for them.
- ``self_signed``: a certificate that nobody issued is served in its place. Every client refuses it,
  and the revoked key proves nothing any more.

Either is said by an alert, once, and so is the replacement.
"""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from sidecar.certificates.issuers.base import Order
from sidecar.certificates.managed.certificate import ManagedCertificate, RevocationStep
from sidecar.certificates.managed.store import CertificateStore
from sidecar.common.clock import Now
from sidecar.observability.alerts import Alert, Alerts, Severity
from workload.x509.material import Material

_LIFE = timedelta(days=30)
_SKEW = timedelta(minutes=5)


class Withdrawal:
    """Serves, of revoked certificates, what the settings say. ``self_signed`` are names."""

    def __init__(
        self, store: CertificateStore, alerts: Alerts, now: Now, self_signed: Collection[str]
    ) -> None:
        self._store = store
        self._alerts = alerts
        self._now = now
        self._not_replaced: set[str] = set()
        self.use(self_signed)

    def use(self, self_signed: Collection[str]) -> None:
        """Serve a self-signed certificate in place of these from now on."""
        self._self_signed = frozenset(self_signed)

    def handle(self, managed: ManagedCertificate, what: RevocationStep) -> None:
        """Do what is to be done about a revoked certificate, and say it once."""
        name = managed.name
        match what:
            case RevocationStep.FOUND:
                self._say(
                    Severity.CRITICAL, managed, "revoked",
                    "it was revoked; another is ordered, and Envoy serves it until that is issued",
                )  # fmt: skip
            case RevocationStep.NOT_REPLACED:
                served = self._serve_instead(managed.order)
                if name not in self._not_replaced:
                    self._not_replaced.add(name)
                    self._say(
                        Severity.CRITICAL, managed, "revoked",
                        f"it was revoked, and no other is issued ({managed.last_fault}): {served}",
                    )  # fmt: skip
            case RevocationStep.REPLACED:
                self._not_replaced.discard(name)
                self._say(Severity.INFO, managed, "replaced", "another is served in its place")

    def is_self_signed(self, name: str) -> bool:
        """Return whether a self-signed certificate is served under a name."""
        return name in self._self_signed and name in self._not_replaced

    def _serve_instead(self, order: Order) -> str:
        """Return what clients get now, in words."""
        if order.name not in self._self_signed:
            return (
                "Envoy goes on serving the revoked one; end its listener, or set "
                "certificates[].when_revoked: self_signed"
            )
        if self._store.get(order.name) is None:
            self._store.put(order.name, self_signed(order, self._now()))
        return "a self-signed certificate is served, which every client rejects"

    def _say(
        self, severity: Severity, managed: ManagedCertificate, state: str, message: str
    ) -> None:
        self._alerts.say(Alert(severity, f"certificate/{managed.name}", state, message))


def self_signed(order: Order, now: float) -> Material:
    """Return a certificate for an order's names that no client takes, with a new key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "revoked and not replaced")])
    sans = (
        *map(x509.DNSName, order.dns_names),
        *map(x509.UniformResourceIdentifier, order.uri_sans),
    )
    moment = datetime.fromtimestamp(now, UTC)
    begin, end = moment - _SKEW, moment + _LIFE
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(sans), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Material(
        chain_pem=certificate.public_bytes(Encoding.PEM),
        key_pem=key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        names=order.dns_names,
        serial=f"{certificate.serial_number:x}",
        not_before=begin.timestamp(),
        not_after=end.timestamp(),
        uris=order.uri_sans,
    )
