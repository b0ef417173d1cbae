"""The metrics of the sidecar's own token of Vault."""

from collections.abc import Iterator

from prometheus_client.core import Metric

from sidecar.observability.metrics import gauge


def vault_families(expires_at: float | None, now: float) -> Iterator[Metric]:
    """Yield how long our own token of Vault still lives, if that is known."""
    if expires_at is not None:
        yield gauge(
            "septem_vault_token_expires_in_seconds", "Life left of our token", expires_at - now
        )
