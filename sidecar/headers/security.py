"""The security headers of all responses that the sidecar controls (SECURITY-MODEL §6, §9).

Other responses (Envoy's own 404, or 503 while the sidecar is down) get their fallback from
``header_mutation`` in ``envoy/edge.yaml``.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sidecar.common.registered_domains import NO_DOMAINS, RegisteredDomains
from sidecar.csp.language.overlay import apply_overlay
from sidecar.headers.cors import Cors
from sidecar.headers.csp import ENFORCED, NOTHING, CompiledProfile
from sidecar.headers.field import How, ResponseHeader

_NEVER_STORED = (
    ResponseHeader("cache-control", b"no-store"),
    # Shared caches that support these prefer them (RFC 9213 §2.2).
    ResponseHeader("cdn-cache-control", b"no-store", How.REPLACE_IF_PRESENT),
    ResponseHeader("surrogate-control", b"no-store", How.REPLACE_IF_PRESENT),
)

Overlay = Mapping[str, Sequence[str]]
"""Directives that replace a profile's, as they are written."""


class Profile(NamedTuple):
    """The headers of one kind of response."""

    policies: CompiledProfile
    fixed: tuple[ResponseHeader, ...]
    """The headers that are the same for every tenant and response."""
    csp_how: How = How.REPLACE
    frames_how: How = How.REPLACE
    allow_additions: frozenset[str] = frozenset()


class Page(NamedTuple):
    """The tenant of a response's page. ``overlaid`` names it if profiles differ for it."""

    domain: str | None
    overlaid: str | None = None


class SecurityHeaders(NamedTuple):
    """The compiled settings of response headers."""

    profiles: Mapping[str, Profile]
    on_refusal: tuple[ResponseHeader, ...]
    """The headers of the sidecar's own denials, without their policy."""
    tenant_domains: Mapping[str, str]
    """A tenant's own domain by tenant id."""
    domain_owners: Mapping[str, str]
    """The owner of each tenant's domain, as it is configured."""
    overlays: Mapping[str, Mapping[str, Overlay]] = {}
    """The tenants' own profiles, by tenant id and profile."""
    cors: Mapping[str, Cors] = {}
    registered: RegisteredDomains = NO_DOMAINS
    """The domains of the registry: a tenant may have any number of them."""

    def owner_of(self, host: str) -> str | None:
        """Return the owner of a host; a page there is that tenant's, with or without a token."""
        return self.domain_owners.get(host) or self.registered.owner_of(host)

    def domain_of(self, host: str, tenant_id: str | None) -> str | None:
        """Return the tenant's own domain that a page of this host and tenant may name."""
        owner = self.owner_of(host)
        whose = owner if tenant_id is None else tenant_id
        domain = self.tenant_domains.get(whose) if whose is not None else None
        return host if domain is None and owner is not None else domain

    def page_of(self, host: str, tenant_id: str | None) -> Page:
        """Return the page of a response: the token's tenant's, else the host's owner's."""
        domain = self.domain_of(host, tenant_id)
        owner = self.owner_of(domain) if domain is not None else None
        return Page(domain, owner if owner in self.overlays else None)

    def on_allowed(self, profile: str, page: Page, nonce: str | None) -> list[ResponseHeader]:
        """Return the headers to set on the application's response.

        With a ``nonce`` (or its slot) the response is one that no cache may keep.
        """
        chosen = self.profiles[profile]
        policies = self._policies_for(page, profile)
        headers = [*chosen.fixed]
        headers += [
            ResponseHeader(name, value, chosen.csp_how)
            for name, value in policies.render(page.domain, nonce)
        ]
        frames = policies.frame_options()
        if frames is not None:
            headers.append(ResponseHeader("x-frame-options", frames, chosen.frames_how))
        if nonce is not None:
            headers += _NEVER_STORED
        return headers

    def on_denied(self) -> list[ResponseHeader]:
        """Return the headers of a denial: nothing may load, frame or cache it."""
        return [
            *self.on_refusal,
            ResponseHeader(ENFORCED, NOTHING),
            ResponseHeader("x-frame-options", b"DENY"),
            ResponseHeader("cache-control", b"no-store"),
        ]

    def on_cross_origin(self, cors: str, origin: str) -> list[ResponseHeader]:
        """Return the headers that let ``origin`` read an answer; for none (empty) only ``vary``."""
        return self.cors[cors].on_answer(origin) if cors else []

    def on_preflight(self, cors: str, origin: str) -> list[ResponseHeader]:
        """Return the headers of a preflight's answer that allow pages of ``origin``."""
        policy = self.cors[cors]
        return [*policy.on_answer(origin), *policy.on_preflight()]

    def reader(self, cors: str, origin: bytes, host: str, tenant_id: str | None) -> str:
        """Return the origin that may read an answer (``*`` for any), or nothing."""
        policy = self.cors[cors]
        if policy.admits(origin):
            return policy.spoken(origin)
        if not policy.tenant_domains:
            return ""
        domain = policy.domain_in(origin)
        owner = self.owner_of(domain)
        if owner is None:
            return ""
        host_owner = self.owner_of(host)
        whose = tenant_id if tenant_id is not None else host_owner
        return policy.spoken(origin) if whose in {None, owner} else ""

    def _policies_for(self, page: Page, profile: str) -> CompiledProfile:
        chosen = self.profiles[profile]
        overlay = self.overlays[page.overlaid].get(profile) if page.overlaid else None
        if overlay is None or page.domain is None:
            return chosen.policies
        policies = chosen.policies.enforced, chosen.policies.report_only
        made, _ = apply_overlay(policies, overlay, chosen.allow_additions, page.domain)
        return CompiledProfile(*made)
