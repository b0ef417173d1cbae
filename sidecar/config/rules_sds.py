"""The rules of the SDS listener: who is given private keys must be named."""

from collections.abc import Iterator

from sidecar.config.model import Config
from sidecar.config.network import is_loopback
from sidecar.config.problem import Path, Problem
from sidecar.config.secrets import PkiTrust, TrustBundle

_WHERE: Path = ("listen", "sds")
_MTLS: Path = (*_WHERE, "mtls")


def check_sds(config: Config) -> Iterator[Problem]:
    """Yield what would hand private keys to somebody who is not named."""
    sds = config.listen.sds
    if sds is None:
        return
    on_unix = sds.address.startswith("unix:")
    if not on_unix:
        for name in ("peer_uids", "peer_gids"):
            if getattr(sds, name):
                why = "is only for a Unix socket: over TCP the kernel names no peer"
                yield Problem((*_WHERE, name), why)
    if sds.mtls is None:
        if not is_loopback(sds.address):
            yield Problem(
                (*_WHERE, "address"),
                "must be on loopback or a Unix socket, for it hands out private keys; for the "
                "Envoys of other hosts set listen.sds.mtls, a certificate and a trust bundle with "
                "peers",
            )
        return
    if on_unix:
        yield Problem(
            _MTLS, "is only for TCP: on a Unix socket the kernel names the peer (peer_uids)"
        )
    yield from named_problems(config, _MTLS, sds.mtls.certificate, sds.mtls.trust_bundle)
    bundle = bundle_of(config, sds.mtls.trust_bundle)
    if bundle is not None and not bundle.peers:
        yield Problem(
            ("trust_bundles", config.trust_bundles.index(bundle), "peers"),
            "must list who may fetch private keys, because listen.sds.mtls.trust_bundle names it: "
            "without a list everybody with a certificate of its roots could",
        )


def named_problems(
    config: Config, where: Path, certificate: str, trust_bundle: str
) -> Iterator[Problem]:
    """Yield a certificate and a trust bundle that a listener names and that are none."""
    certificates = sorted(each.name for each in config.certificates)
    if certificate not in certificates:
        known = ", ".join(certificates) or "none"
        yield Problem(
            (*where, "certificate"),
            f"is not the name of an entry of certificates; there are: {known}",
        )
    if bundle_of(config, trust_bundle) is None:
        known = ", ".join(sorted(each.name for each in config.trust_bundles)) or "none"
        yield Problem(
            (*where, "trust_bundle"),
            f"is not the name of an entry of trust_bundles; there are: {known}",
        )


def sds_warnings(config: Config) -> Iterator[Problem]:
    """Yield what a trust bundle for SDS hardly means."""
    mtls = config.listen.sds.mtls if config.listen.sds is not None else None
    bundle = bundle_of(config, mtls.trust_bundle) if mtls is not None else None
    if bundle is None:
        return
    at: Path = ("trust_bundles", config.trust_bundles.index(bundle))
    for index, peer in enumerate(bundle.peers):
        domain, _, path = peer.removeprefix("spiffe://").partition("/")
        if peer.startswith("spiffe://") and path == "*":
            yield Problem(
                (*at, "peers", index),
                f"every service of {domain} may fetch private keys over listen.sds: list the "
                "Envoys, or a path that only they have",
            )
    roots = bundle.roots
    if not (roots.crl if isinstance(roots, PkiTrust) else roots.crl_field):
        yield Problem(
            (*at, "roots"),
            "has no CRLs, and listen.sds.mtls uses it: an Envoy whose certificate was revoked "
            "would be given private keys until that certificate ends; set crl (or crl_field)",
        )


def bundle_of(config: Config, name: str) -> TrustBundle | None:
    """Return the trust bundle of a name, if there is one."""
    return next((each for each in config.trust_bundles if each.name == name), None)
