"""A finding of the lint: severity, rule, subject and message."""

from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple


class LintSeverity(IntEnum):
    """The severity: ``HIGH`` is a known way past the policy, ``INFO`` is for information."""

    INFO = 0
    LOW = 1
    MEDIUM = 2
    HIGH = 3

    @property
    def word(self) -> str:
        """The name in lower case."""
        return self.name.lower()


class Finding(NamedTuple):
    """A finding about a policy. ``directive`` and ``source`` are empty if it is about all of it."""

    severity: LintSeverity
    rule: str
    message: str
    directive: str = ""
    source: str = ""


def worst(findings: Iterable[Finding]) -> LintSeverity | None:
    """Return the highest severity; ``None`` if there is no finding."""
    return max((finding.severity for finding in findings), default=None)
