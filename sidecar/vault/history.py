"""The versions of an entry in Vault KV v2: when they were written, which are deleted. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple


class KvVersion(NamedTuple):
    """One version of an entry. Times are Vault's, Unix seconds."""

    number: int
    written_at: float
    deleted_at: float | None = None
    """When it was deleted, or will be by ``delete_version_after``."""
    is_destroyed: bool = False

    def is_gone(self, now: float) -> bool:
        """Tell whether it was deleted or destroyed, so that it must not be used any more."""
        return self.is_destroyed or (self.deleted_at is not None and self.deleted_at <= now)


class KvHistory(NamedTuple):
    """The versions that Vault still has, oldest first, and the number of the latest.

    Versions beyond ``max_versions`` are not included: they were dropped, not deleted.
    """

    current: int
    versions: tuple[KvVersion, ...]

    @property
    def latest(self) -> KvVersion | None:
        """Return the latest version, if there is one."""
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


def read_histories(data: Mapping[str, Any]) -> dict[str, KvHistory | None]:
    """Read the ``data`` of ``LIST <mount>/detailed-metadata/<path>``.

    By name; ``None`` for a folder, and for whatever else Vault tells nothing more of.
    """
    details = data["key_info"] or {}
    return {
        str(key): read_history(details[key]) if details.get(key) else None for key in data["keys"]
    }


def moment(text: str) -> float:
    """Return Unix seconds of Vault's RFC 3339 time with nanoseconds."""
    return datetime.fromisoformat(text).timestamp()
