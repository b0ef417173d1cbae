"""What Vault KV v2 tells of an entry's versions: when they were written, which are gone. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple


class KvVersion(NamedTuple):
    """One version of an entry. Times are Vault's, Unix seconds."""

    number: int
    written_at: float
    deleted_at: float | None = None
    """When it was, or by ``delete_version_after`` will be, deleted."""
    is_destroyed: bool = False

    def is_gone(self, now: float) -> bool:
        """Tell whether it was deleted or destroyed: somebody wants it to be read no more."""
        return self.is_destroyed or (self.deleted_at is not None and self.deleted_at <= now)


class KvHistory(NamedTuple):
    """The versions that Vault still knows, oldest first, and the number of the latest.

    Versions beyond ``max_versions`` are not among them: they were pushed out, not deleted.
    """

    current: int
    versions: tuple[KvVersion, ...]

    @property
    def latest(self) -> KvVersion | None:
        """The latest version, if there is one."""
        return self.find(self.current)

    def find(self, number: int) -> KvVersion | None:
        """Return a version by its number."""
        return next((each for each in self.versions if each.number == number), None)


NO_HISTORY = KvHistory(0, ())


def read_history(data: Mapping[str, Any]) -> KvHistory:
    """Read the ``data`` of ``GET <mount>/metadata/<path>``."""
    versions = [
        KvVersion(
            int(number),
            moment(each["created_time"]),
            moment(each["deletion_time"]) if each["deletion_time"] else None,
            bool(each["destroyed"]),
        )
        for number, each in (data["versions"] or {}).items()
    ]
    versions.sort(key=lambda each: each.number)
    return KvHistory(int(data["current_version"]), tuple(versions))


def moment(text: str) -> float:
    """Read Vault's RFC 3339 time, of nanoseconds, as Unix seconds."""
    return datetime.fromisoformat(text).timestamp()
