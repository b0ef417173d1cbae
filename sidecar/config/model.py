"""The settings: names, types, bounds and defaults. Units are in the names.

The defaults are those of SECURITY-MODEL §3, §6 and §9. A configuration holds no secret: where
one is needed, the setting is the path of a file or of an entry in Vault.
``docs/configuration.md`` and ``config.example.yaml`` document every setting.
"""

from typing import Annotated, Literal

from msgspec import Meta, field

from sidecar.config.base import (
    Address,
    ClientName,
    DomainName,
    FilePath,
    HostPattern,
    Label,
    MediaType,
    Method,
    RoutePath,
    Seconds,
    Settings,
    Text,
    TokenPlace,
    UnixId,
    Uuid,
    VaultPath,
)
from sidecar.config.certificates import (
    AcmeIssuerSettings,
    Certificate,
    CertificateStoreSettings,
    VaultKvIssuer,
    VaultPkiIssuer,
)
from sidecar.config.headers import CorsPolicy, CspDirectives, CspProfile, HeaderName, Headers
from sidecar.config.on_demand import OnDemandSettings
from sidecar.config.reports import ReportsListen
from sidecar.config.secrets import GenericSecret, SessionTicketKeys, TrustBundle

__all__ = ["CorsPolicy", "CspDirectives", "CspProfile", "Headers", "Settings"]


class AuthzListen(Settings, frozen=True):
    """Where Envoy sends its Checks.

    A single worker is this process. Several are separate processes, each with its own address
    (``sidecar.config.endpoints``).
    """

    address: Address = "127.0.0.1:9100"
    max_message_bytes: Annotated[int, Meta(ge=4096, le=67_108_864)] = 4_194_304
    engine: Literal["h2", "grpcio"] = "h2"
    workers: Annotated[int, Meta(ge=1, le=64)] = 1


class SdsListen(Settings, frozen=True):
    """Where Envoy asks for certificates. A Unix socket keeps them off the network.

    On a Unix socket the peer's user or one of its groups must be among these; if none are
    given, the peer's user must be the sidecar's own.
    """

    address: Address = "127.0.0.1:9101"
    peer_uids: Annotated[tuple[UnixId, ...], Meta(max_length=64)] = ()
    peer_gids: Annotated[tuple[UnixId, ...], Meta(max_length=64)] = ()


class AdminListen(Settings, frozen=True):
    """Metrics and health over HTTP. Loopback only: it has no authentication of its own."""

    address: Address = "127.0.0.1:9102"


class Listen(Settings, frozen=True):
    """Every socket the sidecar opens, and how they are closed.

    After SIGTERM calls are still accepted for ``drain_notice_seconds``, while readiness and the
    gRPC health already report the end; then calls in flight have ``drain_seconds``.
    """

    authz: AuthzListen = AuthzListen()
    sds: SdsListen | None = None
    admin: AdminListen = AdminListen()
    reports: ReportsListen | None = None
    drain_notice_seconds: Annotated[float, Meta(ge=0, le=300)] = 0.25
    drain_seconds: Seconds = 5.0


class TokenFileAuth(Settings, frozen=True, tag_field="method", tag="token_file"):
    """A Vault token in a file that a Vault agent keeps up to date (its sink)."""

    path: FilePath


class AppRoleAuth(Settings, frozen=True, tag_field="method", tag="approle"):
    """AppRole: both ids from files, so that neither is in the configuration or environment."""

    role_id_file: FilePath
    secret_id_file: FilePath
    secret_id_wrapped: bool = False
    mount: VaultPath = "approle"


class KubernetesAuth(Settings, frozen=True, tag_field="method", tag="kubernetes"):
    """The pod's service account."""

    role: Text
    jwt_file: FilePath = "/var/run/secrets/kubernetes.io/serviceaccount/token"
    mount: VaultPath = "kubernetes"


class JwtAuth(Settings, frozen=True, tag_field="method", tag="jwt"):
    """A JWT in a file that an orchestrator keeps up to date (SPIFFE, OIDC workload identity)."""

    role: Text
    jwt_file: FilePath
    mount: VaultPath = "jwt"


class CertAuth(Settings, frozen=True, tag_field="method", tag="cert"):
    """A TLS client certificate."""

    certificate_file: FilePath
    key_file: FilePath
    role: Text | None = None
    mount: VaultPath = "cert"


VaultAuth = TokenFileAuth | AppRoleAuth | KubernetesAuth | JwtAuth | CertAuth


class Vault(Settings, frozen=True):
    """The only source of secrets: HashiCorp Vault or OpenBao."""

    address: Annotated[str, Meta(pattern=r"^(https?://[^\s/]+/?|unix:/[^\s]+)$")]
    auth: VaultAuth
    ca_file: FilePath | None = None
    namespace: Text | None = None
    timeout_seconds: Annotated[float, Meta(gt=0, le=60)] = 5.0


class VaultKvKeys(Settings, frozen=True, tag_field="source", tag="vault_kv"):
    """A signing key in Vault KV v2. A private key found there is reduced to its public half."""

    path: VaultPath = "iam/jwt-signing-key"
    mount: VaultPath = "secret"
    field: Text = "value"


class VaultTransitKeys(Settings, frozen=True, tag_field="source", tag="vault_transit"):
    """An ``ecdsa-p256`` key of Vault transit: every version that may still verify."""

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,128}$")]
    mount: VaultPath = "transit"


class JwksKeys(Settings, frozen=True, tag_field="source", tag="jwks"):
    """A JWK Set over HTTPS."""

    url: Annotated[str, Meta(pattern=r"^https://[^\s]+$", max_length=2048)]
    ca_file: FilePath | None = None
    timeout_seconds: Annotated[float, Meta(gt=0, le=60)] = 5.0


KeySourceSettings = VaultKvKeys | VaultTransitKeys | JwksKeys


class TokenIssuerSettings(Settings, frozen=True):
    """Who may sign tokens, for whom, and where their keys are."""

    issuer: Text
    audiences: Annotated[tuple[Text, ...], Meta(min_length=1, max_length=64)]
    keys: KeySourceSettings = VaultKvKeys()


class Pii(Settings, frozen=True):
    """The handling of personal data in claims: e-mail addresses, phone numbers, IP addresses."""

    by_name: Literal["deny", "warn", "off"] = "deny"
    by_value: Literal["deny", "warn", "off"] = "warn"


class Tokens(Settings, frozen=True):
    """The rules for access tokens (SECURITY-MODEL §3)."""

    issuers: Annotated[tuple[TokenIssuerSettings, ...], Meta(min_length=1, max_length=32)]
    max_token_bytes: Annotated[int, Meta(ge=256, le=65_536)] = 8192
    max_lifetime_seconds: Seconds = 900.0
    leeway_seconds: Annotated[float, Meta(ge=0, le=300)] = 30.0
    require_nbf: bool = True
    cache_entries: Annotated[int, Meta(ge=0, le=16_777_216)] = 65_536
    pii: Pii = Pii()

    @property
    def token_seconds(self) -> float:
        """How long a token can matter, in seconds: its longest life and the leeway."""
        return self.max_lifetime_seconds + self.leeway_seconds


class RevocationsSettings(Settings, frozen=True):
    """Revocations: an entry of Vault KV v2, and all the entries below it.

    With ``spread: false`` only the entry at ``path``. ``max_age_seconds`` is as for keys.
    """

    path: VaultPath = "iam/revocations"
    mount: VaultPath = "secret"
    spread: bool = True
    poll_seconds: Annotated[float, Meta(ge=0.1, le=3600)] | None = None
    max_age_seconds: Seconds | None = None


class Keys(Settings, frozen=True):
    """How keys are refreshed, and when they stop verifying."""

    max_age_seconds: Seconds = 604_800.0
    poll_seconds: Annotated[float, Meta(ge=0.1, le=3600)] = 10.0
    dual_key_seconds: Annotated[float, Meta(ge=0, le=31_536_000)] | None = None
    when_degraded: Literal["verify", "refuse"] = "verify"
    denied_kids: Annotated[tuple[Text, ...], Meta(max_length=1024)] = ()
    revocations: RevocationsSettings | None = None


class WebhookSettings(Settings, frozen=True):
    """The receiver of alerts: CloudEvents, signed with the secret in a file."""

    url: Annotated[str, Meta(pattern=r"^https?://[^\s]+$", max_length=2048)]
    secret_file: FilePath
    ca_file: FilePath | None = None
    timeout_seconds: Annotated[float, Meta(gt=0, le=60)] = 5.0


class AlertsSettings(Settings, frozen=True):
    """Where ``system.health`` alerts go, besides the log and the metrics."""

    webhook: WebhookSettings | None = None


class RouteSettings(Settings, frozen=True):
    """The requirements of a request. The first route that matches decides; none means 403.

    ``path`` matches exactly and ``path_prefix`` by whole segments (``/a`` holds ``/a``
    and ``/a/b``, not ``/ab``), both against the canonical path. Empty ``methods`` are
    all methods; GET includes HEAD (RFC 9110 §9.3.2) unless ``head_with_get`` is false. With
    ``path_reading`` ``lenient`` a request is refused that a server which ignores case or a
    slash at the end may take for one of a stricter route; ``exact`` says that the
    application tells such paths apart.
    """

    name: Label
    auth: Literal["required", "optional", "none"] = "required"
    hosts: Annotated[tuple[HostPattern, ...], Meta(min_length=1, max_length=1024)] = ("*",)
    methods: Annotated[tuple[Method, ...], Meta(max_length=16)] = ()
    head_with_get: bool = True
    path: RoutePath | None = None
    path_prefix: RoutePath | None = None
    path_reading: Literal["lenient", "exact"] = "lenient"
    csp: Label = "shell"
    nonce: Literal["off", "no-store"] = "off"
    cors: Label | None = None
    tenant: Uuid | None = None
    roles: Annotated[tuple[Text, ...], Meta(max_length=64)] = ()
    scopes: Annotated[tuple[Text, ...], Meta(max_length=64)] = ()
    token_from: Annotated[tuple[TokenPlace, ...], Meta(min_length=1, max_length=4)] = ("header",)
    clients: Annotated[tuple[ClientName, ...], Meta(max_length=256)] = ()
    shadow: bool = False
    keep_overrides: Annotated[tuple[HeaderName, ...], Meta(max_length=64)] = ()
    module: Literal["signed", "unsigned_by_owner"] | None = None
    end_streams_with_token: bool = False


class Modules(Settings, frozen=True):
    """Bundles of modules, verified when they are installed (SECURITY-MODEL §6).

    ``path`` is the entry of Vault KV v2 that lists the publishers' keys; it is read every
    ``keys.poll_seconds``. A bundle is part of one message from Envoy, so its limit is below
    ``listen.authz.max_message_bytes``.
    """

    path: VaultPath = "modules/publishers"
    mount: VaultPath = "secret"
    max_bundle_bytes: Annotated[int, Meta(ge=1024, le=67_108_864)] = 4_000_000
    max_waiting: Annotated[int, Meta(ge=1, le=256)] = 8
    owner_roles: Annotated[tuple[Text, ...], Meta(max_length=16)] = ()
    content_types: Annotated[tuple[MediaType, ...], Meta(min_length=1, max_length=16)] = (
        "application/javascript",
        "application/octet-stream",
        "text/javascript",
    )


class Tenant(Settings, frozen=True):
    """A tenant's own domain, and its own directives of policies.

    ``csp`` has, by profile, the directives that replace the profile's on this tenant's pages:
    narrower ones, or additions where the profile allows them.
    """

    tenant_id: Uuid
    domain: DomainName
    csp: Annotated[dict[Label, CspDirectives], Meta(max_length=32)] = field(default_factory=dict)


IssuerSettings = VaultPkiIssuer | VaultKvIssuer | AcmeIssuerSettings


class StdoutAudit(Settings, frozen=True, tag_field="sink", tag="stdout"):
    """Audit lines on standard output."""


class FileAudit(Settings, frozen=True, tag_field="sink", tag="file"):
    """Audit lines appended to a file.

    Above ``max_bytes`` it is renamed to ``<path>.1`` and so on, ``keep`` of them. With 0 it is
    not rotated; rotate it with another tool and send SIGHUP.
    """

    path: FilePath
    max_bytes: Annotated[int, Meta(ge=0, le=1_099_511_627_776)] = 0
    keep: Annotated[int, Meta(ge=1, le=1000)] = 5


class OtlpAudit(Settings, frozen=True, tag_field="sink", tag="otlp"):
    """Audit lines as OpenTelemetry logs, OTLP over HTTP with JSON."""

    url: Annotated[str, Meta(pattern=r"^https?://[^\s]+$", max_length=2048)]
    ca_file: FilePath | None = None
    timeout_seconds: Annotated[float, Meta(gt=0, le=60)] = 5.0


class Audit(Settings, frozen=True):
    """Where decisions are recorded. A Check never waits for it: a full queue drops and counts."""

    to: StdoutAudit | FileAudit | OtlpAudit = StdoutAudit()
    sample_allowed: Annotated[float, Meta(ge=0, le=1)] = 1.0
    queue_lines: Annotated[int, Meta(ge=16, le=1_048_576)] = 16_384
    queue_bytes: Annotated[int, Meta(ge=1_048_576, le=4_294_967_296)] = 67_108_864


class Log(Settings, frozen=True):
    """The process's own log: JSON lines on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"


class Config(Settings, frozen=True):
    """The whole file."""

    vault: Vault
    tokens: Tokens
    routes: Annotated[tuple[RouteSettings, ...], Meta(min_length=1, max_length=10_000)]
    listen: Listen = Listen()
    keys: Keys = Keys()
    alerts: AlertsSettings = AlertsSettings()
    headers: Headers = Headers()
    modules: Modules | None = None
    tenants: Annotated[tuple[Tenant, ...], Meta(max_length=100_000)] = ()
    issuers: Annotated[tuple[IssuerSettings, ...], Meta(max_length=64)] = ()
    certificate_store: CertificateStoreSettings | None = None
    certificates: Annotated[tuple[Certificate, ...], Meta(max_length=10_000)] = ()
    trust_bundles: Annotated[tuple[TrustBundle, ...], Meta(max_length=1000)] = ()
    session_ticket_keys: Annotated[tuple[SessionTicketKeys, ...], Meta(max_length=100)] = ()
    generic_secrets: Annotated[tuple[GenericSecret, ...], Meta(max_length=1000)] = ()
    on_demand: OnDemandSettings | None = None
    audit: Audit = Audit()
    log: Log = Log()
