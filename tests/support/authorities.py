"""Certificate authorities for tests: roots, intermediates, leaves with SPIFFE IDs, CRLs."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from workload.x509.material import Material, check_material

HOUR = timedelta(hours=1)
CA_USAGE = x509.KeyUsage(
    digital_signature=True, content_commitment=False, key_encipherment=False,
    data_encipherment=False, key_agreement=False, key_cert_sign=True, crl_sign=True,
    encipher_only=False, decipher_only=False,
)  # fmt: skip
"""From Python 3.13 on, a CA's certificate without a usage is not accepted (RFC 5280 §4.2.1.3)."""


def common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def pem(*objects: x509.Certificate | x509.CertificateRevocationList) -> str:
    return "".join(each.public_bytes(Encoding.PEM).decode() for each in objects)


class Ca:
    """A CA that signs whatever it is asked to; ``parent`` makes it an intermediate."""

    def __init__(
        self, name: str, *, parent: "Ca | None" = None, now: datetime | None = None, hours: int = 24
    ) -> None:
        self.now = now or datetime.now(UTC)
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = common_name(name)
        issuer = parent or self
        self.chain: list[x509.Certificate] = []
        self.certificate = issuer._certify(self.name, self.key, (), (), hours * HOUR, ca=True)
        self.chain = [self.certificate, *(parent.chain if parent else [])]

    def _certify(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        dns_names: Sequence[str],
        uris: Sequence[str],
        life: timedelta,
        *,
        ca: bool,
        addresses: Sequence[str] = (),
    ) -> x509.Certificate:
        names: list[x509.GeneralName] = [
            *map(x509.DNSName, dns_names), *map(x509.UniformResourceIdentifier, uris),
            *(x509.IPAddress(ip_address(each)) for each in addresses),
        ]  # fmt: skip
        builder = (
            x509.CertificateBuilder()
            .issuer_name(self.name)
            .subject_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.now - 24 * HOUR)
            .not_valid_after(self.now + life)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()),
                critical=False,
            )
        )
        if ca:
            builder = builder.add_extension(CA_USAGE, critical=True)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def leaf(
        self,
        *uris: str,
        dns_names: Sequence[str] = (),
        hours: float = 12.0,
        addresses: Sequence[str] = (),
    ) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = common_name(dns_names[0] if dns_names else "a service")
        return self._certify(subject, key, dns_names, uris, hours * HOUR, ca=False,
                             addresses=addresses), key  # fmt: skip

    def material(self, *uris: str, dns_names: Sequence[str] = (), hours: float = 12.0) -> Material:
        """What the sidecar would hold; one that has expired too, as nobody there may."""
        certificate, key = self.leaf(*uris, dns_names=dns_names, hours=hours)
        then = min(self.now, self.now + (hours - 1) * HOUR).timestamp()
        return check_material(pem(certificate, *self.chain), key, dns_names, then)

    def crl(
        self,
        revoked: Sequence[int] = (),
        hours: float | None = 24.0,
        *,
        delta: bool = False,
        restored: Sequence[int] = (),
    ) -> x509.CertificateRevocationList:
        """A CRL; or a delta CRL, which lists as ``restored`` what is revoked no more."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.name)
            .last_update(self.now - 48 * HOUR)
            .next_update(self.now + (hours or 1) * HOUR)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()),
                critical=False,
            )
            .add_extension(x509.CRLNumber(1), critical=False)
        )
        if delta:
            builder = builder.add_extension(x509.DeltaCRLIndicator(1), critical=True)
        for serial in (*revoked, *restored):
            entry = (
                x509.RevokedCertificateBuilder()
                .serial_number(serial)
                .revocation_date(self.now - HOUR)
            )
            if serial in restored:
                reason = x509.CRLReason(x509.ReasonFlags.remove_from_crl)
                entry = entry.add_extension(reason, critical=False)
            builder = builder.add_revoked_certificate(entry.build())
        return builder.sign(self.key, hashes.SHA256())
