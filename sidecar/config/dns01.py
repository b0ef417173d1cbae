"""The settings of dns-01: who writes the challenge's TXT record, and how it is watched."""

from typing import Annotated

from msgspec import Meta

from sidecar.config.base import FilePath, HttpUrl, Settings, text
from sidecar.config.vault import VaultEntry, VaultFolder

_HOST_PORT = r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}"
_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?"
HostPort = Annotated[str, text(rf"^{_HOST_PORT}$", "host:port or [IPv6]:port", 512)]
ZoneName = Annotated[
    str,
    text(
        rf"^{_LABEL}(\.{_LABEL})*$",
        "the name of a DNS zone in lower case, without a dot at the end",
        253,
    ),
]
"""Unlike a host name it may have ``_``: ``_acme-challenge.a.example`` can be a zone of its own."""


class Rfc2136Update(Settings, frozen=True, tag_field="type", tag="rfc2136"):
    """Dynamic updates (RFC 2136) at ``server``, signed with a TSIG key (RFC 8945).

    ``tsig`` is the entry with the fields ``name``, ``algorithm`` and ``secret``. Nothing outside
    ``zones`` is written.
    """

    server: HostPort
    zones: Annotated[tuple[ZoneName, ...], Meta(min_length=1, max_length=64)]
    tsig: VaultEntry


class AcmeDnsUpdate(Settings, frozen=True, tag_field="type", tag="acme_dns"):
    """A server of acme-dns; ``accounts`` has an entry for each domain, by its name.

    Its fields are ``username``, ``password``, ``subdomain`` and ``fulldomain``, as acme-dns
    returns them for a registration.
    """

    url: HttpUrl
    accounts: VaultFolder
    ca_file: FilePath | None = None


UpdateSettings = Rfc2136Update | AcmeDnsUpdate


class Dns01Settings(Settings, frozen=True):
    """How names are proved over dns-01 (RFC 8555 §8.4).

    ``resolvers`` (addresses with ports) are by default those of ``/etc/resolv.conf``.
    ``nameserver_port`` is where authoritative servers are asked.
    """

    update: UpdateSettings
    resolvers: Annotated[tuple[HostPort, ...], Meta(max_length=8)] = ()
    propagation_seconds: Annotated[float, Meta(ge=1, le=1800)] = 60.0
    nameserver_port: Annotated[int, Meta(ge=1, le=65_535)] = 53
