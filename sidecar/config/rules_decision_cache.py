"""The rules of the decision cache that span settings."""

from collections.abc import Iterator

from sidecar.config.endpoints import other_listeners
from sidecar.config.model import Config
from sidecar.config.problem import Problem

_WHERE = ("listen", "authz", "decision_cache")
MAX_WORKERS = 16
"""As many words the memory has that it shares with Envoy."""


def check_decision_cache(config: Config) -> Iterator[Problem]:
    """Yield the broken rules of ``listen.authz.decision_cache``."""
    listen = config.listen
    settings = listen.authz.decision_cache
    if settings is None:
        return
    if listen.authz.workers > MAX_WORKERS:
        yield Problem(
            ("listen", "authz", "workers"),
            f"must be at most {MAX_WORKERS} where there is a decision_cache",
        )
    size = settings.ring_bytes
    if size & (size - 1):
        yield Problem(
            (*_WHERE, "ring_bytes"),
            f"must be a power of two, such as {1 << (size.bit_length() - 1)}",
        )
    for name, address in {"authz": listen.authz.address, **other_listeners(listen)}.items():
        if address == f"unix:{settings.socket}":
            yield Problem((*_WHERE, "socket"), f"is also that of listen.{name}")
