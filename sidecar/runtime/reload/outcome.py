"""What a reload came to: one word for metrics, the admin port and the exit code, and why."""

from enum import StrEnum
from typing import Any, NamedTuple

from sidecar.config.reloading import Change

MAX_LISTED = 100
"""The most changes and problems that are listed; all of them are counted."""


class ReloadResult(StrEnum):
    """How a reload ended: the label of ``septem_config_reloads_total``."""

    APPLIED = "applied"
    """The new configuration is in force in every process."""
    RESTARTED = "restarted"
    """The same, by an overlapping restart, which was allowed."""
    UNCHANGED = "unchanged"
    """The file says what is in force already."""
    INVALID = "invalid"
    """The file has mistakes, or can't be read; nothing was changed."""
    RESTART_REQUIRED = "restart_required"
    """It changes what no reload can; nothing was changed."""
    RESTART_FAILED = "restart_failed"
    """The sidecar with the new configuration did not become ready; the old one goes on."""
    UNPREPARED = "unprepared"
    """Something new could not be made ready, such as an issuer's keys; nothing was changed."""
    UNACKNOWLEDGED = "unacknowledged"
    """It is in force, except in workers that did not say so in time."""


STATUSES = {
    ReloadResult.APPLIED: 200,
    ReloadResult.RESTARTED: 200,
    ReloadResult.UNCHANGED: 200,
    ReloadResult.INVALID: 422,
    ReloadResult.RESTART_REQUIRED: 409,
    ReloadResult.RESTART_FAILED: 502,
    ReloadResult.UNPREPARED: 502,
    ReloadResult.UNACKNOWLEDGED: 504,
}
"""The status with which the admin port answers."""
_REFUSED = frozenset(
    {
        ReloadResult.INVALID,
        ReloadResult.RESTART_REQUIRED,
        ReloadResult.RESTART_FAILED,
        ReloadResult.UNPREPARED,
    }
)


class ReloadOutcome(NamedTuple):
    """The result of one reload. ``problems`` are sentences that say what to do."""

    result: ReloadResult
    source: str
    digest: str
    """Of the configuration in force after it."""
    changes: tuple[Change, ...] = ()
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    """Of the configuration in force after it: what hardly anybody means."""

    @property
    def refused(self) -> bool:
        """Whether the configuration before it is still in force."""
        return self.result in _REFUSED

    @property
    def message(self) -> str:
        """Say it in one sentence, the first problem included."""
        if not self.problems:
            count = len(self.changes)
            settings = "no setting has" if not count else f"{count} setting{'s' * (count > 1)}"
            return f"{self.source}: {self.result}, {settings} changed"
        first, more = self.problems[0], len(self.problems) - 1
        others = f" (and {more} more)" if more else ""
        kept = "; the configuration before it stays in force" if self.refused else ""
        return f"{self.source}: {first}{others}{kept}"

    def document(self) -> dict[str, Any]:
        """Return it as the admin port shows it."""
        return {
            "result": self.result,
            "source": self.source,
            "sha256": self.digest,
            "changes": [
                {"setting": each.path, "old": each.old, "new": each.new}
                for each in self.changes[:MAX_LISTED]
            ],
            "changes_total": len(self.changes),
            "problems": list(self.problems[:MAX_LISTED]),
            "problems_total": len(self.problems),
            "warnings": list(self.warnings[:MAX_LISTED]),
            "warnings_total": len(self.warnings),
            **({"error": self.message} if self.problems else {}),
        }
