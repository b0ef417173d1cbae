"""The secrets that are polled by configuration, their reload, and their encoding for SDS."""

import asyncio
import hashlib
import random
from collections.abc import Callable
from functools import partial
from typing import Any

from sidecar.common.clock import wall_seconds
from sidecar.config import model
from sidecar.config.secrets import GenericSecret, SessionTicketKeys, TrustBundle
from sidecar.context import AppContext, PreparedPart
from sidecar.observability.alerts import Alert, Alerts, Severity
from sidecar.sds.resources import generic_secret, session_ticket_keys, validation_context
from sidecar.sds.secrets.generic import GenericSource
from sidecar.sds.secrets.metrics import polled_families
from sidecar.sds.secrets.poller import (
    PreparedSecrets,
    SecretPoller,
    SourceStatus,
    StatusChange,
)
from sidecar.sds.secrets.session_ticket_source import TicketSource
from sidecar.sds.secrets.source import SecretSource, VersionedValue
from sidecar.sds.secrets.trust_bundle_source import BundleSource, VaultAnchors
from sidecar.sds.subscription import Resource
from sidecar.transport.identities import Trusted
from sidecar.vault.client import VaultClient
from workload.x509.anchors import TrustAnchors
from workload.x509.identities import SPIFFE, address_of, id_regex

SecretSettings = TrustBundle | SessionTicketKeys | GenericSecret
Sources = dict[SecretSettings, SecretSource[Any]]
"""The source of each secret's settings: with the same settings it goes on through a reload."""


class PolledSecrets:
    """The trust bundles, ticket keys and generic secrets of the configuration.

    ``put`` serves a secret, and ``remove`` ends that.
    """

    def __init__(
        self,
        config: model.Config,
        vault: VaultClient,
        put: Callable[[Resource], None],
        alerts: Alerts,
        *,
        remove: Callable[[str], None] = lambda _name: None,
    ) -> None:
        self._vault = vault
        self._remove = remove
        self._sources = self._make_sources(config, {})
        self.poller = SecretPoller(
            tuple(self._sources.values()),
            now=wall_seconds,
            sleep=asyncio.sleep,
            jitter=random.random,
            publish=lambda source, value: put(encode(source, value)),
            on_state=partial(alert_state, alerts),
        )

    async def start(self, context: AppContext) -> None:
        """Read every secret once, and offer reloads. Raises ``Fault``."""
        secrets = self.poller.secrets
        for secret in secrets:
            context.watch(secret.status)
        context.metrics.add_source(partial(polled_families, self.poller, wall_seconds))
        if secrets:
            with context.waits.on(f"{len(secrets)} secrets for Envoy, from Vault"):
                await self.poller.load()
        context.reload_parts.append(partial(self._prepare, context))

    def trusted(self, bundle: str) -> Trusted:
        """Return a trust bundle as a reload has left it, with its anchors as they were read last.

        Raises ``LookupError`` for the name of none.
        """
        for each in self.poller.secrets:
            source = each.source
            if isinstance(source, BundleSource) and source.name == bundle:
                anchors = None if each.held is None else each.held.value
                return Trusted(anchors, source.settings.peers, source.settings.spki_pins)
        raise LookupError(bundle)  # the configuration's own rules name it

    async def _prepare(self, context: AppContext, config: model.Config) -> PreparedPart:
        """Read what is new, for a reload. Raises ``Fault``."""
        sources = self._make_sources(config, self._sources)
        prepared = await self.poller.prepare(tuple(sources.values()))
        for secret, value in prepared.read.items():
            encode(secret.source, value)  # what Envoy could not be given is refused now
        return PreparedPart(partial(self._adopt, context, sources, prepared))

    def _adopt(self, context: AppContext, sources: Sources, prepared: PreparedSecrets) -> None:
        before = self.poller.secrets
        for secret in before:
            context.unwatch(secret.status)
        self._sources = sources
        self.poller.adopt(prepared)
        for secret in self.poller.secrets:
            context.watch(secret.status)
        gone = {each.source.name for each in before}
        for name in gone - {each.source.name for each in self.poller.secrets}:
            self._remove(name)

    def _make_sources(self, config: model.Config, held: Sources) -> Sources:
        """Return the source of each secret; those that are ``held`` are not made again."""
        settings: tuple[SecretSettings, ...] = (
            *config.trust_bundles,
            *config.session_ticket_keys,
            *config.generic_secrets,
        )
        return {each: held.get(each) or self._make_source(each) for each in settings}

    def _make_source(self, settings: SecretSettings) -> SecretSource[Any]:
        match settings:
            case TrustBundle():
                return BundleSource(settings, VaultAnchors(self._vault), wall_seconds)
            case SessionTicketKeys():
                return TicketSource(settings, self._vault, wall_seconds)
            case GenericSecret():
                return GenericSource(settings, self._vault)


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
    others = [(peer, address_of(peer)) for peer in settings.peers if not peer.startswith(SPIFFE)]
    exact = [uri for uri in uris if not uri.endswith("/*")]
    version = f"{anchors.version}.{config_digest(settings)}"
    return validation_context(
        settings.name,
        version,
        anchors.roots_pem,
        uris=exact,
        uri_patterns=[id_regex(uri) for uri in uris if uri.endswith("/*")],
        dns_names=[peer for peer, address in others if address is None],
        addresses=[address for _, address in others if address is not None],
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
            severity, message = Severity.CRITICAL, f"{what} has ended: peers are denied"
        case _, SourceStatus.STALE:
            severity, message = Severity.WARNING, f"{what} can't be refreshed"
        case ((SourceStatus.STALE | SourceStatus.ENDED), SourceStatus.FRESH):
            severity, message = Severity.INFO, f"{what} is refreshed again"
        case _:
            return
    if change.why:
        message = f"{message}: {change.why}"
    alerts.say(Alert(severity, f"{change.kind}/{change.name}", change.after, message))
