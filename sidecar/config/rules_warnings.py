"""Warnings: what a configuration may say, and hardly anybody means. They stop no start."""

from collections.abc import Iterator

from sidecar.config.model import Config
from sidecar.config.network import is_loopback
from sidecar.config.problem import Problem
from sidecar.config.rules_routes import pattern_warnings
from sidecar.config.rules_sds import sds_warnings
from sidecar.config.rules_tokens import token_issuer_warnings


def config_warnings(config: Config) -> Iterator[Problem]:
    """Yield the warnings of a configuration that breaks no rule."""
    yield from pattern_warnings(config)
    yield from token_issuer_warnings(config)
    yield from sds_warnings(config)
    address = config.listen.authz.address
    if not is_loopback(address):
        yield Problem(
            ("listen", "authz", "address"),
            f"Checks carry access tokens, and cross the network to {address} in the clear: write "
            "an address on loopback (127.0.0.1:9100, unix:/run/septem/authz.sock), with Envoy "
            "beside the sidecar",
        )
