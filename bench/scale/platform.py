"""What the fleet lives on: one real OpenBao with keys, revocations, domains and a PKI.

The policy is what a sidecar needs and nothing beside it; every simulated sidecar logs in by
AppRole and has a token of its own.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from demo.openbao import OpenBao

TENANT = "7f1c9a52-3f0e-4c8e-9f3b-0d7a8f5d2c11"
EDGE = "edge"
ISSUER = "https://iam.example"
POLICY = """\
path "secret/data/iam/jwt-signing-key"     { capabilities = ["read"] }
path "secret/metadata/iam/jwt-signing-key" { capabilities = ["read"] }
path "secret/data/iam/revocations"         { capabilities = ["read"] }
path "secret/data/iam/revocations/*"       { capabilities = ["read"] }
path "secret/metadata/iam/revocations"     { capabilities = ["read", "list"] }
path "secret/metadata/iam/revocations/*"   { capabilities = ["read"] }
path "secret/detailed-metadata/iam/revocations" { capabilities = ["list"] }
path "secret/metadata/domains"             { capabilities = ["list"] }
path "secret/detailed-metadata/domains"    { capabilities = ["list"] }
path "secret/data/domains/*"               { capabilities = ["read"] }
path "secret/data/septem/certificates/*"     { capabilities = ["create", "read", "update"] }
path "secret/metadata/septem/certificates/*" { capabilities = ["create", "read", "update"] }
path "pki/sign/edge"                       { capabilities = ["update"] }
path "pki/issuers"                         { capabilities = ["list"] }
path "pki/issuer/*"                        { capabilities = ["read"] }
path "auth/token/renew-self"               { capabilities = ["update"] }
"""


class Size(NamedTuple):
    """How much the platform has."""

    revocation_entries: int
    domains: int
    """Entries below the prefix of the registry."""


class Platform:
    """The server and what is in it."""

    def __init__(self, size: Size) -> None:
        self.size = size
        self.openbao = OpenBao()
        self._kv = self.openbao.client.secrets.kv.v2
        try:
            self._fill()
        except BaseException:
            self.stop()
            raise

    def _fill(self) -> None:
        self.rotate_key()
        for number in range(self.size.revocation_entries):
            self.revoke(f"first-{number}", entry=f"day-{number:03}")
        self.openbao.enable_pki(["septemcore.com", "example"])
        for number in range(self.size.domains):
            self.register(domain_of(number))
        self.role_id, self.secret_id = self.openbao.approle_for(POLICY, ttl="1h")

    def stop(self) -> None:
        """End the server."""
        self.openbao.stop()

    def rotate_key(self) -> None:
        """Put a new key in place of the signing key."""
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        self.openbao.put_key(pem.decode())

    def revoke(self, jti: str, *, entry: str = "day-000") -> None:
        """Revoke a token, in an entry of the list; those that it had are revoked no more."""
        self._kv.create_or_update_secret(
            f"iam/revocations/{entry}", {"iss": ISSUER, "tokens": f"{jti} 4000000000"}
        )

    def register(self, domain: str) -> None:
        """Register a domain of the tenant."""
        self._kv.create_or_update_secret(
            f"domains/{domain}", {"domain": domain, "tenant_id": TENANT}
        )


def domain_of(number: int) -> str:
    """Return a registered domain."""
    return f"shop{number:06}.example"


def settings(vault_port: int, folder: Path, poll_seconds: float) -> dict[str, Any]:
    """Return the configuration of every sidecar of the fleet."""
    internal = {
        "name": "internal",
        "type": "vault_pki",
        "role": "edge",
        "share": True,
        "crl_poll_seconds": 300,
    }
    return {
        "vault": {
            "address": f"http://127.0.0.1:{vault_port}",
            "auth": {
                "method": "approle",
                "role_id_file": str(folder / "role-id"),
                "secret_id_file": str(folder / "secret-id"),
            },
        },
        "tokens": {"issuers": [{"issuer": ISSUER, "audiences": ["api"]}]},
        "keys": {"poll_seconds": poll_seconds, "revocations": {}},
        "routes": [{"name": "api", "path_prefix": "/"}],
        "listen": {"sds": {"address": "127.0.0.1:1"}},
        "issuers": [internal],
        "certificates": [{"name": EDGE, "issuer": "internal", "common_name": "a.septemcore.com"}],
        "certificate_store": {},
        "on_demand": {
            "registry": {
                "source": "vault_kv_prefix",
                "prefix": "domains",
                "poll_seconds": poll_seconds,
            },
            "issuer": "internal",
            "orders_per_minute": 60_000,
            "orders_burst": 100_000,
            "orders_waiting": 10_000,
            "max_names": 90_000,
        },
    }


def write_files(platform: Platform, folder: Path, config: Mapping[str, Any]) -> Path:
    """Write the credential and the configuration; return the configuration's path."""
    for name, text in (("role-id", platform.role_id), ("secret-id", platform.secret_id)):
        file = folder / name
        file.touch(mode=0o600)
        file.write_text(text)
    path = folder / "sidecar.yaml"
    path.write_text(yaml.safe_dump(dict(config), sort_keys=False))
    return path
