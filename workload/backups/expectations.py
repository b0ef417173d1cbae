"""What an archive must be to be taken: an older one of the same key is authentic too. Pure."""

import argparse
from dataclasses import dataclass
from datetime import UTC, datetime

from workload.backups.errors import ArchiveUnexpected
from workload.backups.header import ArchiveLabel


@dataclass(frozen=True, slots=True)
class Expectations:
    """What is compared with an authentic label; ``None`` is anything."""

    name: str | None = None
    tenant: str | None = None
    newer_than: float | None = None
    """Unix seconds."""

    def require(self, label: ArchiveLabel) -> None:
        """Raise ``ArchiveUnexpected`` for another archive."""
        if self.name is not None and label.name != self.name:
            raise ArchiveUnexpected(f"the archive is a backup of {label.name}, not of {self.name}")
        if self.tenant is not None and label.tenant != self.tenant:
            raise ArchiveUnexpected(
                f"the archive is of {_whose(label.tenant)}, not of {_whose(self.tenant)}"
            )
        if self.newer_than is not None and label.created <= self.newer_than:
            raise ArchiveUnexpected(
                f"the archive was made at {shown_time(label.created)}, and a newer one than "
                f"{shown_time(self.newer_than)} is asked for"
            )


def shown_time(seconds: float) -> str:
    """Return Unix seconds in RFC 3339."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def time_of(text: str) -> float:
    """Read an argument: RFC 3339."""
    try:
        parsed = datetime.fromisoformat(text)
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no time such as 2026-11-26T12:00:00Z"
        ) from None


def _whose(tenant: str) -> str:
    return f"tenant {tenant}" if tenant else "all tenants"
