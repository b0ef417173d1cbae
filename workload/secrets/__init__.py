"""Secrets for Python services, from Vault and from files (SECURITY-MODEL §8).

``Secrets`` (``BlockingSecrets`` without an event loop) reads and follows entries of Vault KV and
keeps database users leased; ``SecretFile`` follows a file. See ``docs/secrets.md``.
"""

from workload.secrets.blocking import BlockingSecrets
from workload.secrets.client import Secrets
from workload.secrets.database import DatabaseCredentials, DatabaseUser
from workload.secrets.entry import EntryVersion, FollowedEntry
from workload.secrets.errors import SecretsAway, SecretsFault
from workload.secrets.files import SecretFile
from workload.secrets.secret import Secret
from workload.settings import DatabaseRole, KvEntry, VaultServer

__all__ = [
    "BlockingSecrets",
    "DatabaseCredentials",
    "DatabaseRole",
    "DatabaseUser",
    "EntryVersion",
    "FollowedEntry",
    "KvEntry",
    "Secret",
    "SecretFile",
    "Secrets",
    "SecretsAway",
    "SecretsFault",
    "VaultServer",
]
