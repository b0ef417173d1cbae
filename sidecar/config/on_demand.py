"""The settings of certificates on demand (SECURITY-MODEL §9): which domains, how many, how fast."""

from typing import Annotated

from msgspec import Meta

from sidecar.config.base import CallSeconds, FilePath, Label, Seconds, Settings, VaultPath, text

Poll = Annotated[float, Meta(ge=0.1, le=3600)]


class FileRegistry(Settings, frozen=True, tag_field="source", tag="file"):
    """Domains in a file, JSON or YAML, read again when it changes."""

    path: FilePath
    poll_seconds: Poll = 1.0


class VaultKvRegistry(Settings, frozen=True, tag_field="source", tag="vault_kv"):
    """Domains in one entry of Vault KV v2."""

    path: VaultPath
    mount: VaultPath = "secret"
    poll_seconds: Poll = 10.0


class VaultKvPrefixRegistry(Settings, frozen=True, tag_field="source", tag="vault_kv_prefix"):
    """Domains in Vault KV v2, one entry each below a prefix, named like the domain.

    A wildcard's entry is ``_wildcard.<rest>``. The names are listed; an entry is read when its
    domain is first asked for.
    """

    prefix: VaultPath
    mount: VaultPath = "secret"
    poll_seconds: Poll = 10.0
    entry_ttl_seconds: Seconds = 300.0


class HttpRegistry(Settings, frozen=True, tag_field="source", tag="http"):
    """A Domain Resolver: GET ``url``, where ``{name}`` is replaced by the name."""

    url: Annotated[
        str,
        text(
            r"^https?://[^\s{}]+\{name\}[^\s{}]*$",
            "an http:// or https:// URL in which {name} stands once",
            2048,
        ),
    ]
    ca_file: FilePath | None = None
    timeout_seconds: CallSeconds = 2.0
    positive_ttl_seconds: Seconds = 300.0
    negative_ttl_seconds: Annotated[float, Meta(gt=0, le=3600)] = 10.0
    queries_per_second: Annotated[float, Meta(gt=0, le=10_000)] = 50.0


RegistrySettings = FileRegistry | VaultKvRegistry | VaultKvPrefixRegistry | HttpRegistry


class OnDemandSettings(Settings, frozen=True):
    """Certificates for names that Envoy learns from a handshake.

    ``issuer`` is the default issuer of domains. ``ttl_seconds`` is how long an Envoy holds a
    certificate before it has to ask again.
    """

    registry: RegistrySettings
    issuer: Label
    max_names: Annotated[int, Meta(ge=1, le=90_000)] = 20_000
    max_labels: Annotated[int, Meta(ge=2, le=32)] = 8
    ttl_seconds: Annotated[float, Meta(ge=1, le=86_400)] = 3600.0
    retry_seconds: Annotated[float, Meta(ge=0.1, le=3600)] = 5.0
    max_retry_seconds: Annotated[float, Meta(ge=1, le=86_400)] = 3600.0
    orders_per_minute: Annotated[float, Meta(gt=0, le=60_000)] = 60.0
    orders_burst: Annotated[int, Meta(ge=1, le=100_000)] = 60
    orders_waiting: Annotated[int, Meta(ge=1, le=10_000)] = 256
    orders_per_domain: Annotated[int, Meta(ge=1, le=100_000)] = 50
    domain_window_seconds: Seconds = 604_800.0
