"""What can go wrong with a sealed archive."""

from workload.errors import Fault


class ArchiveAltered(Fault):
    """An archive is not what was sealed; the message says at which byte or chunk it differs."""


class ArchiveUnexpected(Fault):
    """An archive is whole, and another one than was asked for: its name, tenant, age or key."""


class BackupFault(Fault):
    """A file, an argument or a key is not there or can't be used."""


class KeyRefused(Fault):
    """Vault understood a request for a key and will not do it: another key, version or type."""
