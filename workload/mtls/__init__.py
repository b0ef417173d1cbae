"""mTLS for Python services without Envoy (SECURITY-MODEL §5, the non-sidecar helpers).

``Workload`` gets certificate and trust from Vault and keeps them fresh; its
``server_context``, ``client_context``, ``grpc_guard`` and ``grpc_tunnel`` follow rotation.
``WorkloadIdentity`` is the same without Vault: give it what you have. See ``docs/mtls.md``.
"""

from workload.errors import Fault
from workload.mtls.context import FollowingContext
from workload.mtls.identity import WorkloadIdentity
from workload.mtls.peers import MtlsFault, NothingToShow, PeerPolicy, PeerRefused
from workload.mtls.workload import Workload
from workload.settings import (
    AppRoleLogin,
    CertLogin,
    JwtLogin,
    KubernetesLogin,
    KvRoots,
    PkiRole,
    PkiRoots,
    SettingsFault,
    TokenFileLogin,
    Trust,
    VaultServer,
)

__all__ = [
    "AppRoleLogin",
    "CertLogin",
    "Fault",
    "FollowingContext",
    "JwtLogin",
    "KubernetesLogin",
    "KvRoots",
    "MtlsFault",
    "NothingToShow",
    "PeerPolicy",
    "PeerRefused",
    "PkiRole",
    "PkiRoots",
    "SettingsFault",
    "TokenFileLogin",
    "Trust",
    "VaultServer",
    "Workload",
    "WorkloadIdentity",
]
