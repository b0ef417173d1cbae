"""What a route requires beyond a valid token: tenant, roles, scopes, the client's identity."""

from collections.abc import Callable, Iterable
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from sidecar.authz.routes import Route
from sidecar.common.errors import Denied
from sidecar.common.reasons import Reason
from sidecar.tokens.claims import Claims

if TYPE_CHECKING:
    from sidecar.authz.client_certificate import ClientCertificate
    from workload.x509.identities import PeerNames


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


def check_client(principal: str, certificate: str, allowed: Iterable[str], now: float) -> None:
    """Require a verified client certificate of an allowed identity (SECURITY-MODEL §5).

    ``certificate`` is what Envoy verified and forwards, URL-encoded PEM; who it identifies is for
    ``workload.x509.identities`` to say. Its chain and CRLs were checked by Envoy, at the
    handshake. ``principal`` is the one name that Envoy picked from it, and admits nobody by
    itself: it does not tell a URI SAN from a DNS SAN that is spelt like one, nor whether there is
    a second one. ``now`` is in Unix seconds: a connection may outlive its certificate.
    """
    if not certificate:
        raise Denied(
            Reason.CLIENT_CERTIFICATE_MISSING,
            "Envoy sent the client's name without its certificate: set include_peer_certificate"
            if principal
            else "no verified client certificate was sent",
        )
    shown = _read(certificate)
    if isinstance(shown, str):
        raise Denied(Reason.CLIENT_NOT_ALLOWED, shown)
    if not shown.not_before <= now < shown.not_after:
        raise Denied(Reason.CLIENT_NOT_ALLOWED, "the client's certificate is not valid now")
    check_names(shown.names, allowed)


def check_names(names: "PeerNames", allowed: Iterable[str]) -> None:
    """Require that a client's names are on a route's list."""
    if names.admitted_by(allowed) is None:
        raise Denied(Reason.CLIENT_NOT_ALLOWED, "the client's names are not on the route's list")


def client_names(certificate: str) -> tuple[str, ...]:
    """Return the names of a client's certificate, as ``check_client`` reads it; none for none."""
    shown = _read(certificate)
    if isinstance(shown, str):
        return ()
    names = shown.names
    return (*((names.spiffe_id,) if names.spiffe_id else ()), *names.dns_names, *names.addresses)


def _read(certificate: str) -> "ClientCertificate | str":
    read: Callable[[str], ClientCertificate | str] = load().read_certificate
    return read(certificate)


def load() -> ModuleType:
    """Import what reads certificates; at the start, where a route reads one."""
    return import_module("sidecar.authz.client_certificate")
