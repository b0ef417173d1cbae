"""Which source the settings of an issuer or of the revocations name, and which are the same."""

from sidecar.common.clock import monotonic_seconds, wall_seconds
from sidecar.config import model
from sidecar.config.keys import KeySourceSettings
from sidecar.keys.jwks_https import JwksKeySource
from sidecar.keys.kv_source import KvKeySource
from sidecar.keys.oidc_source import OidcKeySource
from sidecar.keys.refresher import window_seconds
from sidecar.keys.revocation_source import KvRevocationSource
from sidecar.keys.sources import KeySource, TransitKeySource
from sidecar.tokens.algorithms import ALGORITHMS
from sidecar.vault.client import VaultClient

SourceKey = tuple[str, KeySourceSettings, tuple[str, ...], float]
"""Two sources of the same issuer, settings, algorithms and retention are one, with its keys."""


def make_key_source(
    config: model.Config, issuer: model.TokenIssuerSettings, vault: VaultClient
) -> KeySource:
    """Return the source that an issuer's settings name."""
    algorithms = tuple(ALGORITHMS[name] for name in issuer.algorithms)
    match issuer.keys:
        case model.VaultKvKeys():
            return KvKeySource(
                issuer.keys,
                issuer.issuer,
                vault,
                now=wall_seconds,
                retention_seconds=_retention_seconds(config, issuer),
                algorithms=algorithms,
            )
        case model.VaultTransitKeys():
            return TransitKeySource(issuer.keys, issuer.issuer, vault, algorithms)
        case model.JwksKeys():
            return JwksKeySource(issuer.keys, issuer.issuer, algorithms, clock=monotonic_seconds)
        case model.OidcKeys():
            return OidcKeySource(issuer.keys, issuer.issuer, algorithms, clock=monotonic_seconds)


def source_key(config: model.Config, issuer: model.TokenIssuerSettings) -> SourceKey:
    """Return what the source of an issuer's keys is known by: with the same, it goes on."""
    keeps_history = isinstance(issuer.keys, model.VaultKvKeys)
    retention = _retention_seconds(config, issuer) if keeps_history else 0.0
    return issuer.issuer, issuer.keys, issuer.algorithms, retention


def seconds_of_tokens(config: model.Config) -> dict[str, float]:
    """Return how long a token can be valid, by issuer, in seconds."""
    tokens = config.tokens
    return {issuer.issuer: tokens.issuer_seconds(issuer) for issuer in tokens.issuers}


def _retention_seconds(config: model.Config, issuer: model.TokenIssuerSettings) -> float:
    """Return how long a key of an issuer that was replaced may still be needed, in seconds."""
    seconds = config.tokens.issuer_seconds(issuer)
    return config.keys.poll_seconds + window_seconds(config.keys, seconds)


def revocation_key(config: model.Config) -> tuple[object, ...]:
    """Return what a source of revocations is known by: with the same, it goes on."""
    settings = config.keys.revocations
    if settings is None:
        return ()
    return settings.mount, settings.path, settings.spread, config.tokens.token_seconds


def revocation_times(config: model.Config) -> tuple[float, float]:
    """Return the poll and the maximum age of revocations, in seconds."""
    keys, settings = config.keys, config.keys.revocations
    if settings is None:
        return keys.poll_seconds, keys.max_age_seconds
    max_age_seconds = settings.max_age_seconds
    return (
        settings.poll_seconds or keys.poll_seconds,
        keys.max_age_seconds if max_age_seconds is None else max_age_seconds,
    )


def close_source(source: object) -> None:
    """Close a source that has connections or threads of its own."""
    if isinstance(source, JwksKeySource | OidcKeySource | KvRevocationSource):
        source.close()
