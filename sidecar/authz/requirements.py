"""What a route asks for beyond a good token: the tenant, roles, scopes, the client's identity."""

from collections.abc import Iterable

from sidecar.authz.routes import Route
from sidecar.errors import Denied
from sidecar.reasons import Reason
from sidecar.tokens.claims import Claims


def check_tenant(claims: Claims, route: Route, host_owner: str | None) -> None:
    """Refuse another tenant's token on a tenant's route or host (SECURITY-MODEL §7, §10)."""
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


def check_client(principal: str, allowed: Iterable[str]) -> None:
    """Require a verified client certificate of an allowed name (SECURITY-MODEL §5).

    ``principal`` is what Envoy found in the certificate it verified: the URI SAN, else
    the DNS SAN, else the subject. A subject holds ``=``, and is no name here.
    """
    if not principal:
        raise Denied(Reason.CLIENT_CERTIFICATE_MISSING, "no verified client certificate came")
    if "=" in principal or not any(_matches(principal, pattern) for pattern in allowed):
        raise Denied(Reason.CLIENT_NOT_ALLOWED, "the client's name is not on the route's list")


def _matches(principal: str, pattern: str) -> bool:
    """Match exactly, or by a prefix that ends with a slash: ``spiffe://domain/ns/*``."""
    if pattern.endswith("/*"):
        return principal.startswith(pattern[:-1]) and "/../" not in principal
    return principal == pattern
