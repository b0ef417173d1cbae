"""The secrets that are polled by configuration, and their encoding for SDS."""

import asyncio
import hashlib
import random
from collections.abc import Callable
from functools import partial
from typing import Any

from sidecar.common.clock import wall_seconds
from sidecar.config import model
from sidecar.config.secrets import TrustBundle
from sidecar.observability.alerts import Alert, Alerts, Severity
from sidecar.sds.resources import generic_secret, session_ticket_keys, validation_context
from sidecar.sds.secrets.generic import GenericSource
from sidecar.sds.secrets.poller import SecretPoller, SourceStatus, StatusChange
from sidecar.sds.secrets.session_ticket_source import TicketSource
from sidecar.sds.secrets.source import SecretSource, VersionedValue
from sidecar.sds.secrets.trust_bundle_source import BundleSource, VaultAnchors
from sidecar.sds.subscription import Resource
from sidecar.vault.client import VaultClient
from workload.x509.anchors import TrustAnchors
from workload.x509.identities import SPIFFE, id_regex


def make_poller(
    config: model.Config, vault: VaultClient, put: Callable[[Resource], None], alerts: Alerts
) -> SecretPoller:
    """Return the poller of all trust bundles, ticket keys and generic secrets."""
    read = VaultAnchors(vault)
    sources: list[SecretSource[Any]] = [
        *(BundleSource(each, read, wall_seconds) for each in config.trust_bundles),
        *(TicketSource(each, vault, wall_seconds) for each in config.session_ticket_keys),
        *(GenericSource(each, vault) for each in config.generic_secrets),
    ]
    return SecretPoller(
        sources,
        now=wall_seconds,
        sleep=asyncio.sleep,
        jitter=random.random,
        publish=lambda source, value: put(encode(source, value)),
        on_state=partial(alert_state, alerts),
    )


def encode(source: SecretSource[Any], value: VersionedValue[Any]) -> Resource:
    """Encode a value as the resource that Envoy asks for. Raises ``ResourceFault``."""
    match source:
        case BundleSource(settings=settings):
            return encode_bundle(settings, value.value)
        case TicketSource():
            return session_ticket_keys(source.name, value.version, value.value)
        case _:
            return generic_secret(source.name, value.version, {"": value.value})


def encode_bundle(settings: TrustBundle, anchors: TrustAnchors) -> Resource:
    """Encode anchors with the peers that are allowed under them.

    Peers and pins are part of the version: a new configuration makes a new context.
    """
    uris = [peer for peer in settings.peers if peer.startswith(SPIFFE)]
    exact = [uri for uri in uris if not uri.endswith("/*")]
    version = f"{anchors.version}.{config_digest(settings)}"
    return validation_context(
        settings.name,
        version,
        anchors.roots_pem,
        uris=exact,
        uri_patterns=[id_regex(uri) for uri in uris if uri.endswith("/*")],
        dns_names=[peer for peer in settings.peers if not peer.startswith(SPIFFE)],
        spki_pins=settings.spki_pins,
        crl_pem=anchors.crl_pem,
        only_leaf_crl=anchors.only_leaf_crl,
    )


def config_digest(settings: TrustBundle) -> str:
    """Return a digest of a bundle's rules for peers, besides its roots."""
    return hashlib.sha256(repr((settings.peers, settings.spki_pins)).encode()).hexdigest()[:8]


def alert_state(alerts: Alerts, change: StatusChange) -> None:
    """Send the alert for a change of a secret's state, if there is one."""
    what = f"{change.kind.replace('_', ' ')} {change.name!r}"
    match change.before, change.after:
        case _, SourceStatus.ENDED:
            severity, message = Severity.CRITICAL, f"{what} has ended: peers are refused"
        case _, SourceStatus.STALE:
            severity, message = Severity.WARNING, f"{what} can't be refreshed"
        case ((SourceStatus.STALE | SourceStatus.ENDED), SourceStatus.FRESH):
            severity, message = Severity.INFO, f"{what} is refreshed again"
        case _:
            return
    if change.why:
        message = f"{message}: {change.why}"
    alerts.say(Alert(severity, f"{change.kind}/{change.name}", change.after, message))
