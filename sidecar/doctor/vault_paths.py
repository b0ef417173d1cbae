"""The paths of Vault's engines, as a policy spells them, each with its mount. Pure."""

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import NamedTuple

from sidecar.doctor.entry_texts.text import EntryText

_ONE_BY_ONE = "entries are asked for one by one, as on HashiCorp Vault, which has no such list"


class VaultEngine(StrEnum):
    """The secrets engines that the sidecar uses, by their names in Vault."""

    KV = "kv"
    PKI = "pki"
    TRANSIT = "transit"


class VaultNeed(NamedTuple):
    """One path of Vault, as a policy spells it; ``/*`` at its end means what is below."""

    path: str
    capabilities: frozenset[str]
    setting: str
    """The setting that it is for, such as ``tokens.issuers[0].keys``."""
    text: EntryText
    """What operators are told about what is there."""
    without: str = ""
    """What is so without it, where the sidecar serves all the same; empty where it can't."""
    mount: str = ""
    engine: VaultEngine | None = None
    """What must be mounted there; ``None`` for paths that every Vault has."""


class VaultMount(NamedTuple):
    """A secrets engine that must be mounted, and the first setting that names it."""

    path: str
    engine: VaultEngine
    setting: str


class KvPaths:
    """The paths of KV v2 below a mount, for one setting and one kind of entry."""

    def __init__(self, text: EntryText, setting: str, mount: str) -> None:
        self._text, self._setting, self._mount = text, setting, mount

    def data(self, path: str, *capabilities: str) -> VaultNeed:
        """Return the need of an entry itself."""
        return self._need("data", path, capabilities)

    def metadata(self, path: str, *capabilities: str, without: str = "") -> VaultNeed:
        """Return the need of an entry's versions, or of the list of what is below it."""
        return self._need("metadata", path, capabilities, without)

    def versions(self, path: str) -> VaultNeed:
        """Return the need of a list of entries with their versions."""
        return self._need("detailed-metadata", path, ("list",), _ONE_BY_ONE)

    def written(self, path: str) -> Iterator[VaultNeed]:
        """Yield what an entry needs that is read and written, and keeps no older version."""
        yield self.data(path, "create", "read", "update")
        yield self.metadata(path, "create", "update")

    def _need(self, kind: str, path: str, names: Iterable[str], without: str = "") -> VaultNeed:
        return VaultNeed(
            f"{self._mount}/{kind}/{path}",
            frozenset(names),
            self._setting,
            self._text,
            without,
            self._mount,
            VaultEngine.KV,
        )


class TransitPaths:
    """The paths of a transit key, for one setting and one use of it."""

    def __init__(self, text: EntryText, setting: str, mount: str, key: str) -> None:
        self._text, self._setting, self._mount, self._key = text, setting, mount, key

    def read(self) -> VaultNeed:
        """Return the need of the key's public halves."""
        return self._need("keys", "read")

    def call(self, operation: str) -> VaultNeed:
        """Return the need of something done with the key, such as ``sign``."""
        return self._need(operation, "update")

    def _need(self, kind: str, capability: str) -> VaultNeed:
        return VaultNeed(
            f"{self._mount}/{kind}/{self._key}",
            frozenset({capability}),
            self._setting,
            self._text,
            mount=self._mount,
            engine=VaultEngine.TRANSIT,
        )


class PkiPaths:
    """The paths of a PKI mount, for one setting and one kind of call."""

    def __init__(self, text: EntryText, setting: str, mount: str) -> None:
        self._text, self._setting, self._mount = text, setting, mount

    def sign(self, role: str) -> VaultNeed:
        """Return the need of certificates by a role."""
        return self._need(f"sign/{role}", "update")

    def role(self, role: str) -> VaultNeed:
        """Return the need of a role's parameters."""
        return self._need(f"roles/{role}", "read")

    def revoke(self) -> VaultNeed:
        """Return the need of revoking a certificate."""
        return self._need("revoke", "update")

    def _need(self, path: str, capability: str) -> VaultNeed:
        return VaultNeed(
            f"{self._mount}/{path}",
            frozenset({capability}),
            self._setting,
            self._text,
            mount=self._mount,
            engine=VaultEngine.PKI,
        )
