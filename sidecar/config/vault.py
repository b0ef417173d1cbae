"""The settings of Vault: its address, and how the sidecar logs in."""

from typing import Annotated

from sidecar.config.base import CallSeconds, FilePath, Settings, Text, VaultPath, text


class VaultEntry(Settings, frozen=True):
    """One entry of Vault KV v2."""

    path: VaultPath
    mount: VaultPath = "secret"


class VaultFolder(Settings, frozen=True):
    """The entries of Vault KV v2 below a prefix."""

    prefix: VaultPath
    mount: VaultPath = "secret"


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

    address: Annotated[
        str,
        text(
            r"^(https?://[^\s/]+/?|unix:/[^\s]+)$",
            "https://host:port, http://host:port on loopback, or unix:/path",
            512,
        ),
    ]
    auth: VaultAuth
    ca_file: FilePath | None = None
    namespace: Text | None = None
    timeout_seconds: CallSeconds = 5.0
