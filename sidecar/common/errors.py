"""The two roots of errors. Nothing else crosses a module boundary.

``Denied`` is the request's fault: an answer, counted and audited, never logged as an
error. ``Fault`` is the sidecar's or a dependency's: logged, and retried where that can help. It is
defined in ``workload.errors``, which the application's library shares.
"""

from sidecar.common.reasons import Reason
from workload.errors import Fault

__all__ = ["ConfigFault", "Denied", "Fault"]


class Denied(Exception):
    """A request is denied.

    ``detail`` is for the audit log and for ``sidecar token verify``. It names claims
    and settings, and never repeats a value of the request's credential.
    """

    __slots__ = ("detail", "reason")

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        """Return the reason, with its detail where there is one."""
        return f"{self.reason}: {self.detail}" if self.detail else str(self.reason)


class ConfigFault(Fault):
    """The configuration cannot be used; ``problems`` lists everything wrong with it."""

    def __init__(self, source: str, problems: tuple[str, ...]) -> None:
        super().__init__(f"{source}: {len(problems)} problem(s)")
        self.source = source
        self.problems = problems
