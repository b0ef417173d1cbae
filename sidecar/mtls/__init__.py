"""mTLS for Python services without Envoy (SECURITY-MODEL §5, the non-sidecar helpers).

``Workload`` gets certificate and trust from Vault and keeps them fresh; its
``server_context``, ``client_context``, ``grpc_guard`` and ``grpc_tunnel`` follow rotation.
``WorkloadIdentity`` is the same without Vault: give it what you have. See ``docs/mtls.md``.
"""

from sidecar.config.certificates import VaultPkiIssuer
from sidecar.config.model import TokenFileAuth, Vault
from sidecar.config.secrets import PkiTrust, TrustBundle
from sidecar.mtls.context import FollowingContext
from sidecar.mtls.identity import WorkloadIdentity
from sidecar.mtls.peers import MtlsFault, NothingToShow, PeerPolicy, PeerRefused
from sidecar.mtls.workload import Workload

__all__ = [
    "FollowingContext",
    "MtlsFault",
    "NothingToShow",
    "PeerPolicy",
    "PeerRefused",
    "PkiTrust",
    "TokenFileAuth",
    "TrustBundle",
    "Vault",
    "VaultPkiIssuer",
    "Workload",
    "WorkloadIdentity",
]
