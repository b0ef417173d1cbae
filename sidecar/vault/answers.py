"""What the calls to Vault return."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from sidecar.vault.history import moment


class TransitKey(NamedTuple):
    """The public halves of a transit key, by version."""

    kind: str
    public_pems: Mapping[int, str]
    min_version: int
    latest_version: int


class KvSecret(NamedTuple):
    """One version of an entry in KV v2."""

    data: Mapping[str, Any]
    version: int
    written_at: float = 0.0
    """When it was written, by Vault's clock (Unix seconds)."""

    def __repr__(self) -> str:
        """Show the names and the version, never a value."""
        return f"KvSecret(fields={sorted(self.data)}, version={self.version})"


def secret_of(entry: Mapping[str, Any]) -> KvSecret:
    """Return the version of an entry that Vault's answer has."""
    metadata = entry["metadata"]
    return KvSecret(entry["data"], int(metadata["version"]), moment(metadata["created_time"]))


def transit_key_of(data: Mapping[str, Any]) -> TransitKey:
    """Read the ``data`` of ``GET <mount>/keys/<name>`` of transit."""
    return TransitKey(
        kind=str(data["type"]),
        public_pems={int(v): str(key["public_key"]) for v, key in data["keys"].items()},
        min_version=int(data["min_decryption_version"]),
        latest_version=int(data["latest_version"]),
    )
