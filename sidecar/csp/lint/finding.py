"""What a lint says: how bad, by which rule, about what, and why."""

from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple


class LintSeverity(IntEnum):
    """How bad it is: ``HIGH`` is a known way past the policy, ``INFO`` a thing to know."""

    INFO = 0
    LOW = 1
    MEDIUM = 2
    HIGH = 3

    @property
    def word(self) -> str:
        """The name in lower case."""
        return self.name.lower()


class Finding(NamedTuple):
    """One thing about one policy. ``directive`` and ``source`` are empty where it is the whole."""

    severity: LintSeverity
    rule: str
    message: str
    directive: str = ""
    source: str = ""


def worst(findings: Iterable[Finding]) -> LintSeverity | None:
    """Return the highest severity; ``None`` where there is no finding."""
    return max((finding.severity for finding in findings), default=None)
