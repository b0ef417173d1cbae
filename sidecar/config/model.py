"""The configuration as a whole, and every setting's type by one name.

Each component's settings have a file of their own beside this one; names, types, bounds and
defaults are there, and units are in the names. The defaults are those of SECURITY-MODEL §3, §6
and §9. A configuration holds no secret: where one is needed, the setting is the path of a file
or of an entry in Vault. ``docs/configuration.md`` and ``config.example.yaml`` document every
setting.
"""

from typing import Annotated

from msgspec import Meta

from sidecar.config.audit import (
    Audit,
    AuditSink,
    AuditSpool,
    CheckpointSettings,
    ClickHouseAudit,
    FileAudit,
    KafkaAudit,
    KafkaSasl,
    KvSpoolKey,
    NetworkAudit,
    OtlpAudit,
    PseudonymSettings,
    SecretEntry,
    SecretFile,
    StdoutAudit,
    TransitSpoolKey,
)
from sidecar.config.base import Settings
from sidecar.config.certificates import (
    AcmeIssuerSettings,
    Certificate,
    CertificateKey,
    CertificateStoreSettings,
    IssuerSettings,
    Probe,
    VaultKvIssuer,
    VaultPkiIssuer,
)
from sidecar.config.claims import ClaimsSettings, NamesClaim, TenantClaim, TenantTableEntry
from sidecar.config.decision_cache import DecisionCacheSettings
from sidecar.config.dns01 import AcmeDnsUpdate, Dns01Settings, Rfc2136Update
from sidecar.config.dpop import DpopSettings
from sidecar.config.headers import CorsPolicy, CspDirectives, CspProfile, Headers
from sidecar.config.keys import (
    JwksKeys,
    Keys,
    KeySourceSettings,
    OidcKeys,
    RevocationsSettings,
    VaultKvKeys,
    VaultTransitKeys,
)
from sidecar.config.limits import (
    LimitsSettings,
    LoginSettings,
    RateSettings,
    RedisSettings,
    RouteLimitSettings,
    TenantLimitEntry,
)
from sidecar.config.listen import (
    AdminListen,
    AuthzListen,
    FilesTls,
    Listen,
    ManagedTls,
    MetricsListen,
    ProbesListen,
    SdsListen,
    SdsMtls,
)
from sidecar.config.modules import Modules
from sidecar.config.observability import AlertsSettings, Log, Tracing, WebhookSettings
from sidecar.config.on_demand import (
    FileRegistry,
    HttpRegistry,
    OnDemandSettings,
    RegistrySettings,
    VaultKvPrefixRegistry,
    VaultKvRegistry,
)
from sidecar.config.reports import FileForward, HttpsForwardSettings, Reports, ReportsListen
from sidecar.config.routes import BindingSettings, RouteSettings
from sidecar.config.secrets import GenericSecret, KvTrust, PkiTrust, SessionTicketKeys, TrustBundle
from sidecar.config.tenants import Tenant
from sidecar.config.tokens import IssuerPii, Pii, TokenIssuerSettings, Tokens
from sidecar.config.vault import (
    AppRoleAuth,
    CertAuth,
    JwtAuth,
    KubernetesAuth,
    TokenFileAuth,
    Vault,
    VaultAuth,
    VaultEntry,
    VaultFolder,
)

__all__ = [
    "AcmeDnsUpdate",
    "AcmeIssuerSettings",
    "AdminListen",
    "AlertsSettings",
    "AppRoleAuth",
    "Audit",
    "AuditSink",
    "AuditSpool",
    "AuthzListen",
    "BindingSettings",
    "CertAuth",
    "Certificate",
    "CertificateKey",
    "CertificateStoreSettings",
    "CheckpointSettings",
    "ClaimsSettings",
    "ClickHouseAudit",
    "Config",
    "CorsPolicy",
    "CspDirectives",
    "CspProfile",
    "DecisionCacheSettings",
    "Dns01Settings",
    "DpopSettings",
    "FileAudit",
    "FileForward",
    "FileRegistry",
    "FilesTls",
    "GenericSecret",
    "Headers",
    "HttpRegistry",
    "HttpsForwardSettings",
    "IssuerPii",
    "IssuerSettings",
    "JwksKeys",
    "JwtAuth",
    "KafkaAudit",
    "KafkaSasl",
    "KeySourceSettings",
    "Keys",
    "KubernetesAuth",
    "KvSpoolKey",
    "KvTrust",
    "LimitsSettings",
    "Listen",
    "Log",
    "LoginSettings",
    "ManagedTls",
    "MetricsListen",
    "Modules",
    "NamesClaim",
    "NetworkAudit",
    "OidcKeys",
    "OnDemandSettings",
    "OtlpAudit",
    "Pii",
    "PkiTrust",
    "Probe",
    "ProbesListen",
    "PseudonymSettings",
    "RateSettings",
    "RedisSettings",
    "RegistrySettings",
    "Reports",
    "ReportsListen",
    "RevocationsSettings",
    "Rfc2136Update",
    "RouteLimitSettings",
    "RouteSettings",
    "SdsListen",
    "SdsMtls",
    "SecretEntry",
    "SecretFile",
    "SessionTicketKeys",
    "Settings",
    "StdoutAudit",
    "Tenant",
    "TenantClaim",
    "TenantLimitEntry",
    "TenantTableEntry",
    "TokenFileAuth",
    "TokenIssuerSettings",
    "Tokens",
    "Tracing",
    "TransitSpoolKey",
    "TrustBundle",
    "Vault",
    "VaultAuth",
    "VaultEntry",
    "VaultFolder",
    "VaultKvIssuer",
    "VaultKvKeys",
    "VaultKvPrefixRegistry",
    "VaultKvRegistry",
    "VaultPkiIssuer",
    "VaultTransitKeys",
    "WebhookSettings",
]


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
    limits: LimitsSettings | None = None
    tenants: Annotated[tuple[Tenant, ...], Meta(max_length=100_000)] = ()
    issuers: Annotated[tuple[IssuerSettings, ...], Meta(max_length=64)] = ()
    certificate_store: CertificateStoreSettings | None = None
    certificates: Annotated[tuple[Certificate, ...], Meta(max_length=10_000)] = ()
    trust_bundles: Annotated[tuple[TrustBundle, ...], Meta(max_length=1000)] = ()
    session_ticket_keys: Annotated[tuple[SessionTicketKeys, ...], Meta(max_length=100)] = ()
    generic_secrets: Annotated[tuple[GenericSecret, ...], Meta(max_length=1000)] = ()
    on_demand: OnDemandSettings | None = None
    audit: Audit = Audit()
    tracing: Tracing | None = None
    log: Log = Log()
    config_watch_seconds: Annotated[float, Meta(ge=0.1, le=3600)] | None = None
    config_watch_allow_restart: bool = False
