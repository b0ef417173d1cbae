"""The security headers of every response the sidecar has a say in (SECURITY-MODEL §6, §9).

Responses it has no say in (Envoy's own 404, or 503 while the sidecar is down) get their
fallback from ``header_mutation`` in ``envoy/edge.yaml``.
"""

from collections.abc import Mapping
from typing import NamedTuple

from sidecar.headers.csp import ENFORCED, NOTHING, CompiledProfile, HeaderValues


class SecurityHeaders(NamedTuple):
    """The compiled policy: the headers that never vary and the CSP profiles by name."""

    fixed: tuple[tuple[str, bytes], ...]
    profiles: Mapping[str, CompiledProfile]
    tenant_domains: Mapping[str, str]
    """A tenant's own domain by tenant id."""
    domain_owners: Mapping[str, str]
    """The owner of each tenant's domain: a page there is that tenant's, token or no token."""

    def domain_of(self, host: str, tenant_id: str | None) -> str | None:
        """Return the tenant's own domain that a page of this host and tenant may name."""
        domain = self.tenant_domains.get(tenant_id) if tenant_id is not None else None
        return host if domain is None and host in self.domain_owners else domain

    def on_allowed(self, profile: str, tenant_domain: str | None) -> HeaderValues:
        """Return what to set on the application's response."""
        return [*self.fixed, *self.profiles[profile].render(tenant_domain)]

    def on_denied(self) -> HeaderValues:
        """Return what goes with a refusal of ours: nothing may load, frame or cache it."""
        return [*self.fixed, (ENFORCED, NOTHING), ("cache-control", b"no-store")]
