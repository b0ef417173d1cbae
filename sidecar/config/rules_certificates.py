"""The rules of keys, services and addresses: what an issuer can't give is refused.

Those of host names are in ``rules``.
"""

from collections.abc import Iterator

from sidecar.config.certificates import (
    KEY_BITS,
    PUBLIC_ROOTS,
    AcmeIssuerSettings,
    Certificate,
    CertificateKey,
    IssuerSettings,
    VaultPkiIssuer,
)
from sidecar.config.dns01 import AcmeDnsUpdate
from sidecar.config.model import Config
from sidecar.config.network import LAST_PORT, host_and_port, in_the_clear, is_address
from sidecar.config.problem import Path, Problem


def check_certificates(config: Config) -> Iterator[Problem]:
    """Yield keys that do not exist, and names that an issuer can't prove."""
    for index, issuer in enumerate(config.issuers):
        key = issuer.key if isinstance(issuer, VaultPkiIssuer | AcmeIssuerSettings) else None
        if key is not None and (wrong := _wrong_bits(key)):
            yield Problem(("issuers", index, "key", "bits"), wrong)
        if isinstance(issuer, AcmeIssuerSettings):
            yield from _challenge(("issuers", index), issuer)
    issuers = {each.name: each for each in config.issuers}
    for index, certificate in enumerate(config.certificates):
        yield from _names(("certificates", index), certificate)
        yield from _probe(config, index, certificate)
        issuer_of_it = issuers.get(certificate.issuer)
        if wrong := _cannot_give(issuer_of_it, certificate):
            yield Problem(("certificates", index, "issuer"), wrong)


def _challenge(where: Path, issuer: AcmeIssuerSettings) -> Iterator[Problem]:
    """Check ``dns``, which is for dns-01 and for nothing else."""
    settings = issuer.dns
    if issuer.connects_to_edge or settings is None:
        if settings is not None:
            why = f"is for challenge: dns-01, and the challenge is {issuer.challenge}"
            yield Problem((*where, "dns"), why)
        elif not issuer.connects_to_edge:
            yield Problem(
                (*where, "dns"), "is missing: dns-01 needs dns.update, who writes the DNS"
            )
        return
    for index, resolver in enumerate(settings.resolvers):
        host, port = host_and_port(resolver)
        if not is_address(host) or not 0 < port <= LAST_PORT:
            why = f"must be an IP address with a port, like 192.0.2.53:53, and not {resolver}"
            yield Problem((*where, "dns", "resolvers", index), why)
    update = settings.update
    if isinstance(update, AcmeDnsUpdate):
        if in_the_clear(update.url):
            why = "must be https: the account's password would cross the network"
            yield Problem((*where, "dns", "update", "url"), why)
    elif not 0 < host_and_port(update.server)[1] <= LAST_PORT:
        yield Problem(
            (*where, "dns", "update", "server"), f"must have a port of at most {LAST_PORT}"
        )


def _names(where: Path, certificate: Certificate) -> Iterator[Problem]:
    names = (certificate.common_name, certificate.spiffe_id, *certificate.ip_addresses)
    if not any(names):
        yield Problem(where, "needs common_name, or spiffe_id, or ip_addresses")
    for address in certificate.ip_addresses:
        if not is_address(address):
            yield Problem((*where, "ip_addresses"), f"{address!r} is no IP address")


def _probe(config: Config, index: int, certificate: Certificate) -> Iterator[Problem]:
    roots = certificate.probe.roots if certificate.probe is not None else None
    if roots is None:
        return
    where: Path = ("certificates", index, "probe", "roots")
    bundles = sorted(each.name for each in config.trust_bundles)
    if roots == PUBLIC_ROOTS and PUBLIC_ROOTS in bundles:
        yield Problem(where, "may be the public CAs or the trust bundle of that name: rename it")
    elif roots != PUBLIC_ROOTS and roots not in bundles:
        known = ", ".join(bundles) or "none"
        yield Problem(
            where, f"must be {PUBLIC_ROOTS} or the name of a trust bundle; there are: {known}"
        )


def _wrong_bits(key: CertificateKey) -> str:
    sizes = KEY_BITS[key.type]
    if key.bits is None or key.bits in sizes:
        return ""
    return f"must be one of {', '.join(map(str, sizes))} for a key of type {key.type}"


def _cannot_give(issuer: IssuerSettings | None, certificate: Certificate) -> str:
    if not isinstance(issuer, AcmeIssuerSettings) or issuer.fallback is not None:
        return ""
    for field in ("spiffe_id", "ip_addresses"):
        if getattr(certificate, field):
            return f"is an ACME CA, which proves host names: {field} needs vault_pki or vault_kv"
    return ""
