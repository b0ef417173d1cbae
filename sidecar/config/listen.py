"""The settings of every socket that the sidecar opens, and of how they are closed."""

from typing import Annotated, Literal

from msgspec import Meta

from sidecar.config.base import Address, ClientName, FilePath, Seconds, Settings, Text, UnixId
from sidecar.config.decision_cache import DecisionCacheSettings
from sidecar.config.reports import ReportsListen


class AuthzListen(Settings, frozen=True):
    """Where Envoy sends its Checks.

    A single worker is this process. Several are separate processes, each with its own address
    (``sidecar.config.endpoints``).
    """

    address: Address = "127.0.0.1:9100"
    max_message_bytes: Annotated[int, Meta(ge=4096, le=67_108_864)] = 4_194_304
    engine: Literal["h2", "grpcio"] = "h2"
    workers: Annotated[int, Meta(ge=1, le=64)] = 1
    decision_cache: DecisionCacheSettings | None = None


class SdsMtls(Settings, frozen=True):
    """Mutual TLS, with which SDS may be served to other hosts.

    ``certificate`` is the name of an entry of ``certificates``, which is shown; ``trust_bundle`` of
    one of ``trust_bundles``, whose roots, CRLs and ``peers`` say who may fetch private keys.
    """

    certificate: Text
    trust_bundle: Text


class SdsListen(Settings, frozen=True):
    """Where Envoy asks for certificates. A Unix socket keeps them off the network.

    On a Unix socket the peer's user or one of its groups must be among these; if none are
    given, the peer's user must be the sidecar's own. Beyond this machine ``mtls`` names the peer.
    """

    address: Address = "127.0.0.1:9101"
    peer_uids: Annotated[tuple[UnixId, ...], Meta(max_length=64)] = ()
    peer_gids: Annotated[tuple[UnixId, ...], Meta(max_length=64)] = ()
    mtls: SdsMtls | None = None


class AdminListen(Settings, frozen=True):
    """Metrics and health over HTTP. Loopback only: it has no authentication of its own."""

    address: Address = "127.0.0.1:9102"


class ProbesListen(Settings, frozen=True):
    """Liveness and readiness for an orchestrator: two paths and no detail, on any address."""

    address: Address = "0.0.0.0:9104"


TlsVersion = Literal["1.2", "1.3"]


class ManagedTls(Settings, frozen=True, tag_field="source", tag="managed"):
    """TLS by what the sidecar obtains and renews itself, as ``listen.sds.mtls``.

    ``certificate`` is the name of an entry of ``certificates``; ``trust_bundle`` of one of
    ``trust_bundles``: its roots and CRLs say who is a client, and its ``peers``, where it has any,
    which clients may come in.
    """

    certificate: Text
    trust_bundle: Text
    min_version: TlsVersion = "1.3"


class FilesTls(Settings, frozen=True, tag_field="source", tag="files"):
    """TLS by files in PEM, which are read again when they change.

    ``clients`` are names of a client's certificate, of which it must have one; without them every
    client comes in to whom a CA of ``client_ca_file`` gave a certificate.
    """

    certificate_file: FilePath
    key_file: FilePath
    client_ca_file: FilePath
    client_crl_file: FilePath | None = None
    clients: Annotated[tuple[ClientName, ...], Meta(max_length=256)] = ()
    min_version: TlsVersion = "1.3"


class MetricsListen(Settings, frozen=True):
    """``/metrics`` alone, for who scrapes from another host: over mutual TLS."""

    tls: ManagedTls | FilesTls
    address: Address = "0.0.0.0:9105"


class Listen(Settings, frozen=True):
    """Every socket the sidecar opens, and how they are closed.

    After SIGTERM calls are still accepted for ``drain_notice_seconds``, while readiness and the
    gRPC health already report the end; then calls in flight have ``drain_seconds``.
    """

    authz: AuthzListen = AuthzListen()
    sds: SdsListen | None = None
    admin: AdminListen = AdminListen()
    reports: ReportsListen | None = None
    probes: ProbesListen | None = None
    metrics: MetricsListen | None = None
    drain_notice_seconds: Annotated[float, Meta(ge=0, le=300)] = 0.25
    drain_seconds: Seconds = 5.0
