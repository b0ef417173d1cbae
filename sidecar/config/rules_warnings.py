"""Warnings: what a configuration may say, and hardly anybody means. They stop no start."""

from collections.abc import Iterator

from sidecar.config.model import Config
from sidecar.config.network import is_loopback
from sidecar.config.problem import Problem
from sidecar.config.rules_audit import audit_warnings
from sidecar.config.rules_metrics import metrics_warnings
from sidecar.config.rules_routes import pattern_warnings
from sidecar.config.rules_sds import sds_warnings
from sidecar.config.rules_tokens import token_issuer_warnings


def config_warnings(config: Config) -> Iterator[Problem]:
    """Yield the warnings of a configuration that breaks no rule."""
    yield from pattern_warnings(config)
    yield from token_issuer_warnings(config)
    yield from sds_warnings(config)
    yield from metrics_warnings(config)
    yield from audit_warnings(config)
    yield from _proofs_of_pages(config)
    address = config.listen.authz.address
    if not is_loopback(address):
        yield Problem(
            ("listen", "authz", "address"),
            f"Checks carry access tokens, and cross the network to {address} in the clear: write "
            "an address on loopback (127.0.0.1:9100, unix:/run/septem/authz.sock), with Envoy "
            "beside the sidecar",
        )


def _proofs_of_pages(config: Config) -> Iterator[Problem]:
    """Yield the routes whose proofs no page of another origin can send (Fetch §3.2.3)."""
    for index, route in enumerate(config.routes):
        policy = config.headers.cors.get(route.cors or "")
        if "dpop" in route.bound_by and policy and "dpop" not in policy.request_headers:
            yield Problem(
                ("routes", index, "cors"),
                "takes DPoP proofs, which no page of another origin can send: add dpop to "
                f"request_headers of headers.cors.{route.cors}, and dpop-nonce to its "
                "expose_headers if nonces are required",
            )
