"""What a route requires beyond a valid token: tenant, roles, scopes, the client's identity."""

from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import unquote

from cryptography import x509

from sidecar.authz.routes import Route
from sidecar.common.errors import Denied
from sidecar.common.reasons import Reason
from sidecar.tokens.claims import Claims
from workload.x509.identities import matches, names_of


def check_tenant(claims: Claims, route: Route, host_owner: str | None) -> None:
    """Deny another tenant's token on a tenant's route or host (SECURITY-MODEL §7, §10)."""
    if route.tenant is not None and claims.tenant_id != route.tenant:
        raise Denied(Reason.TENANT_MISMATCH, "the route belongs to another tenant")
    if host_owner is not None and claims.tenant_id != host_owner:
        raise Denied(Reason.TENANT_MISMATCH, "the host belongs to another tenant")


def check_grants(claims: Claims, route: Route) -> None:
    """Require one of the route's roles and all of its scopes."""
    if route.roles and route.roles.isdisjoint(claims.roles):
        raise Denied(Reason.ROLE_MISSING, "none of the route's roles is in the token")
    if missing := route.scopes.difference(claims.scopes):
        raise Denied(Reason.SCOPE_MISSING, f"the token lacks {', '.join(sorted(missing))}")


def check_client(principal: str, certificate: str, allowed: Iterable[str]) -> None:
    """Require a verified client certificate of an allowed name (SECURITY-MODEL §5).

    ``principal`` is what Envoy found first in the certificate it verified: a URI SAN, else
    a DNS SAN, else the subject. ``certificate``, where Envoy sends it, is the whole certificate,
    and every name in it counts. A subject contains ``=`` and never matches.
    """
    if not principal and not certificate:
        raise Denied(Reason.CLIENT_CERTIFICATE_MISSING, "no verified client certificate was sent")
    names = {principal, *(_names_in(certificate) if certificate else ())}
    patterns = tuple(allowed)
    if not any(matches(name, pattern) for name in names for pattern in patterns):
        raise Denied(Reason.CLIENT_NOT_ALLOWED, "the client's names are not on the route's list")


@lru_cache(maxsize=1024)
def _names_in(certificate: str) -> tuple[str, ...]:
    """Return the URI and DNS names of a URL-encoded PEM; cached, as clients are few services."""
    try:
        parsed = x509.load_pem_x509_certificate(unquote(certificate).encode("ascii"))
    except ValueError:
        return ()
    names = names_of(parsed)
    return (*names.uris, *names.dns_names)
