"""The trusted headers: of whom they are believed, and what they may say. Pure.

A header is only as good as who wrote it. ``Edge`` names the one way by which Envoy reaches the
application; whatever comes another way is refused before a header is read, and without a
setting nothing is believed. Reasons and statuses:

=====================  ======  =====================================================
``edge_untrusted``     403     the connection is not the edge's
``tenant_missing``     401     there is no ``x-tenant-id`` (a public route of the edge)
``tenant_ambiguous``   400     a trusted header stands twice, or in another spelling
``tenant_malformed``   400     a value is not what the edge would send
=====================  ======  =====================================================
"""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from cryptography import x509

from workload.errors import Fault
from workload.settings import SettingsFault
from workload.tenancy.context import TenantContext
from workload.x509.identities import SPIFFE, NoIdentity, is_id_pattern, read_peer

TENANT_ID = "x-tenant-id"
USER_ID = "x-user-id"
ROLES = "x-roles"
TOKEN_ID = "x-token-id"  # noqa: S105 - a header's name
TRUSTED = (TENANT_ID, USER_ID, ROLES, TOKEN_ID)
_STATUS = {
    "edge_untrusted": 403,
    "tenant_missing": 401,
    "tenant_ambiguous": 400,
    "tenant_malformed": 400,
}
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
_TEXT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@|/-]{0,127}", re.ASCII)
_VALUE = re.compile(r"[\x21-\x7e]{1,1024}", re.ASCII)
_FOLDED = re.compile(r"[^a-z0-9]+")
_SHAPES = {"uuid": _UUID, "text": _TEXT}


class TenantDenied(Fault):
    """A request that may not run; ``reason`` and ``status`` are what its sender is told."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.status = _STATUS[reason]


class Peer(NamedTuple):
    """How a connection came: over a Unix socket, from an address, with a certificate.

    ``certificate`` is one that the server has verified in the handshake.
    """

    unix: bool = False
    address: str | None = None
    certificate: x509.Certificate | None = None


@dataclass(frozen=True, slots=True)
class Edge:
    """Whose headers are believed; at least one of the first three must be set.

    ``unix_socket``: whoever reaches our Unix socket; its file's mode says who can.
    ``loopback``: whoever connects from 127.0.0.0/8 or ::1, which is *every* process of the host
    or pod. ``spiffe_ids``: who shows a client certificate with one of these IDs (whole, or down
    to a slash and ``*``). ``tenant_ids`` is the shape of a tenant's identifier.
    """

    unix_socket: bool = False
    loopback: bool = False
    spiffe_ids: tuple[str, ...] = ()
    tenant_ids: Literal["uuid", "text"] = "uuid"

    def __post_init__(self) -> None:
        given: object = self.spiffe_ids
        if isinstance(given, str) or any(not is_id_pattern(each) for each in self.spiffe_ids):
            raise SettingsFault(f"spiffe_ids is a tuple of {SPIFFE}… IDs, and is {given!r}")
        if self.unix_socket is False and self.loopback is False and not self.spiffe_ids:
            raise SettingsFault(
                "Edge() believes nobody: set unix_socket, loopback or spiffe_ids, by the way "
                "Envoy reaches this application"
            )
        if {type(self.unix_socket), type(self.loopback)} != {bool}:
            raise SettingsFault("unix_socket and loopback are True or False")
        if self.tenant_ids not in _SHAPES:
            raise SettingsFault(f"tenant_ids {self.tenant_ids!r} is neither 'uuid' nor 'text'")

    def read(self, peer: Peer, headers: Iterable[tuple[str, str]]) -> TenantContext:
        """Return a request's tenant. Raises ``TenantDenied``.

        ``headers`` are all of the request, apart where they came apart, in any case.
        """
        if not self.admits(peer):
            raise TenantDenied("edge_untrusted", "the connection is not the edge's")
        found = _trusted(headers)
        tenant_id = found.get(TENANT_ID)
        if tenant_id is None:
            raise TenantDenied("tenant_missing", f"the request has no {TENANT_ID}")
        if not _SHAPES[self.tenant_ids].fullmatch(tenant_id):
            raise TenantDenied("tenant_malformed", f"{TENANT_ID} is no {self.tenant_ids}")
        for name, value in found.items():
            if not _VALUE.fullmatch(value):
                raise TenantDenied("tenant_malformed", f"{name} is no text of visible ASCII")
        roles = found.get(ROLES)
        return TenantContext(
            tenant_id.lower() if self.tenant_ids == "uuid" else tenant_id,
            found.get(USER_ID, ""),
            tuple(roles.split(",")) if roles else (),
            found.get(TOKEN_ID, ""),
        )

    def admits(self, peer: Peer) -> bool:
        """Whether a connection is the edge's."""
        if peer.unix:
            return self.unix_socket
        if self.loopback and peer.address is not None and _is_loopback(peer.address):
            return True
        if not self.spiffe_ids or peer.certificate is None:
            return False
        try:
            names = read_peer(peer.certificate)
        except (NoIdentity, ValueError):
            return False
        admitted = names.admitted_by(self.spiffe_ids)
        return admitted is not None and admitted.startswith(SPIFFE)


def _trusted(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the trusted headers; one that stands twice, or nearly, is refused.

    Nearly: in a spelling that some server folds into the same name. The edge lets none pass.
    """
    found: dict[str, str] = {}
    for given, value in headers:
        name = given.lower()
        folded = _FOLDED.sub("-", name)
        if folded not in TRUSTED:
            continue
        if name != folded or name in found:
            raise TenantDenied("tenant_ambiguous", f"{folded} stands twice, or is misspelt")
        found[name] = value
    return found


def _is_loopback(address: str) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return bool((mapped or parsed).is_loopback)
