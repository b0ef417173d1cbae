"""What the certificates of one configuration are made of; a reload builds it beside the running.

What is built of the same settings is taken over: issuers with their slots and accounts, the
watches of CRLs with what they have read.
"""

from collections.abc import Callable, Hashable, Iterator
from typing import NamedTuple

from sidecar.certificates.challenges.distributed_solver import DistributedSolver
from sidecar.certificates.issuers.base import Issuer, Issuers, Order
from sidecar.certificates.issuers.factory import IssuerFactory
from sidecar.certificates.issuers.vault_kv import KvIssuer
from sidecar.certificates.issuers.vault_kv_watch import KvWatch
from sidecar.certificates.managed.probe import Target
from sidecar.certificates.managed.revocation import RevocationWatch
from sidecar.config import model
from sidecar.vault.client import VaultClient
from workload.x509.addresses import read_addresses

MakeWatch = Callable[[model.VaultPkiIssuer], RevocationWatch]
MakeKvWatch = Callable[[KvIssuer], KvWatch]


class CertificateParts(NamedTuple):
    """The issuers of a configuration, what watches them, and what is said of each certificate."""

    config: model.Config
    factory: IssuerFactory
    issuers: Issuers
    watches: dict[model.VaultPkiIssuer, RevocationWatch]
    stored: dict[KvIssuer, KvWatch]

    @property
    def configured(self) -> frozenset[str]:
        """The names of the configured certificates."""
        return frozenset(each.name for each in self.config.certificates)

    @property
    def self_signed(self) -> list[str]:
        """The names in whose place a self-signed certificate is served when they are revoked."""
        return [
            each.name for each in self.config.certificates if each.when_revoked == "self_signed"
        ]

    @property
    def targets(self) -> dict[str, Target]:
        """What is probed, by name."""
        return {
            each.name: _target(each, each.probe)
            for each in self.config.certificates
            if each.probe is not None
        }

    def watch_of(self, issuer: str) -> RevocationWatch | None:
        """Return what watches the CRLs of an issuer, by its name."""
        return next((each for each in self.watches.values() if each.issuer == issuer), None)

    def mount_of(self, issuer: str) -> str | None:
        """Return the mount of a Vault PKI issuer, by its name."""
        found = (each for each in self.config.issuers if each.name == issuer)
        return next((each.mount for each in found if isinstance(each, model.VaultPkiIssuer)), None)


def _target(certificate: model.Certificate, probe: model.Probe) -> Target:
    """Return where a certificate is probed, and by the name or address of its clients."""
    known = (certificate.common_name, *certificate.ip_addresses)
    name = next(filter(None, known), None)
    return Target(probe, (name or "probe").replace("*", "probe", 1), has_name=name is not None)


def make_parts(
    config: model.Config,
    vault: VaultClient,
    solver: DistributedSolver | None,
    is_revoked: Callable[[str, str], bool],
    *,
    watch: MakeWatch,
    watch_stored: MakeKvWatch,
    before: CertificateParts | None = None,
) -> CertificateParts:
    """Build the parts of a configuration; what those ``before`` have of the same settings stays.

    Raises ``IssuerFault``.
    """
    factory = IssuerFactory(
        config, vault, solver, is_revoked, None if before is None else before.factory
    )
    issuers = factory.make()
    watches = {} if before is None else before.watches
    stored = {} if before is None else before.stored
    return CertificateParts(
        config,
        factory,
        issuers,
        {
            each: watches.get(each) or watch(each)
            for each in config.issuers
            if isinstance(each, model.VaultPkiIssuer) and each.crl_poll_seconds
        },
        {each: stored.get(each) or watch_stored(each) for each in factory.kv},
    )


def wanted_certificates(config: model.Config, issuers: Issuers) -> Iterator[tuple[Order, Issuer]]:
    """Yield the order and the issuer of each configured certificate."""
    for each in config.certificates:
        first = [each.common_name] if each.common_name is not None else []
        names = tuple(dict.fromkeys((*first, *each.alt_names)))
        uris = (each.spiffe_id,) if each.spiffe_id is not None else ()
        addresses = tuple(map(str, read_addresses(each.ip_addresses)))
        yield Order(each.name, names, uris, ip_sans=addresses), issuers[each.issuer]


def signed_by(config: model.Config, issuer: str) -> Hashable:
    """Return by whom and how an issuer's certificates are signed.

    Two configurations in which that is the same need no other certificates: how long they live,
    how often the issuer is asked, and who is told of it shows with the next renewal.
    """
    settings = next(each for each in config.issuers if each.name == issuer)
    match settings:
        case model.VaultPkiIssuer():
            return settings.mount, settings.role, settings.key
        case model.VaultKvIssuer():
            return (
                settings.mount, settings.prefix, settings.certificate_field, settings.key_field,
            )  # fmt: skip
        case model.AcmeIssuerSettings():
            return settings.directory, settings.profile, settings.key
