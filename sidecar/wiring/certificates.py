"""From the configuration to issuers, and to what is ordered of each of them."""

from collections.abc import Iterator

from sidecar.certs.allowance import Allowance, MeteredIssuer
from sidecar.certs.issuer import Issuer, Issuers, Order
from sidecar.certs.kv_issuer import KvIssuer
from sidecar.certs.pki_issuer import PkiIssuer
from sidecar.clock import wall_seconds
from sidecar.config import model
from sidecar.vault.client import VaultClient


def make_issuers(
    config: model.Config, vault: VaultClient, allowance: Allowance | None = None
) -> Issuers:
    """Build every issuer of the configuration; the CAs among them ask the allowance."""
    return Issuers(
        {settings.name: _issuer(settings, vault, allowance) for settings in config.issuers}
    )


def _issuer(
    settings: model.IssuerSettings, vault: VaultClient, allowance: Allowance | None
) -> Issuer:
    match settings:
        case model.VaultPkiIssuer():
            return _metered(PkiIssuer(settings, vault, wall_seconds), allowance)
        case model.VaultKvIssuer():
            return KvIssuer(settings, vault, wall_seconds)


def _metered(issuer: Issuer, allowance: Allowance | None) -> Issuer:
    return issuer if allowance is None else MeteredIssuer(issuer, allowance)


def wanted_certificates(config: model.Config, issuers: Issuers) -> Iterator[tuple[Order, Issuer]]:
    """Yield the order of each configured certificate, beside who is to issue it."""
    for each in config.certificates:
        names = tuple(dict.fromkeys((each.common_name, *each.alt_names)))
        yield Order(each.name, names), issuers[each.issuer]
