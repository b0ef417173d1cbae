"""What a scan finds, and what somebody allowed. Pure.

A finding names kind and place. It holds neither the secret nor a hash of it: of a short password
the hash is the password, to whoever can guess.
"""

import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

from workload.settings import SettingsFault

ALLOWED_HERE = re.compile(r"septem: *allow-secret +\S")
"""In a line, with a reason behind it: what is found in this line or the next is meant so."""
MAX_ALLOWED = 1000


class Piece(NamedTuple):
    """A text to look at: a file, a blob of Git's history, a file of an image's layer."""

    where: str
    path: str
    """As its kind of file is told by; of an image or a commit the path in there."""
    text: str


class SecretFinding(NamedTuple):
    """One secret in one place."""

    kind: str
    where: str
    path: str
    line: int
    """From 1; 0 where the place has no lines."""
    mend: str


class AllowedSecret(NamedTuple):
    """What somebody says is none: findings of a kind in paths of a pattern."""

    pattern: str
    kind: str
    reason: str


def read_allowed(text: str, where: str) -> tuple[AllowedSecret, ...]:
    """Read a list: in each line a pattern of paths, a kind or ``*``, and the reason.

    ``#`` begins a comment. Raises ``SettingsFault`` naming the line.
    """
    allowed = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        parts = line.split(maxsplit=2)
        if len(parts) != 3:  # noqa: PLR2004 - pattern, kind, reason
            raise SettingsFault(
                f"{where}, line {number}: a pattern of paths, a kind or *, and a reason are due"
            )
        allowed.append(AllowedSecret(*parts))
    if len(allowed) > MAX_ALLOWED:
        raise SettingsFault(f"{where} has more than {MAX_ALLOWED} lines")
    return tuple(allowed)


def without_allowed(
    findings: Iterable[SecretFinding], allowed: Sequence[AllowedSecret]
) -> tuple[list[SecretFinding], list[AllowedSecret]]:
    """Return the findings that nobody allowed, and what is allowed and was not found."""
    left, used = [], set()
    for finding in findings:
        fitting = [each for each in allowed if _fits(each, finding)]
        used.update(fitting)
        if not fitting:
            left.append(finding)
    return left, [each for each in allowed if each not in used]


def _fits(allowed: AllowedSecret, finding: SecretFinding) -> bool:
    return allowed.kind in {"*", finding.kind} and fnmatchcase(finding.path, allowed.pattern)


def is_allowed_here(lines: Sequence[str], number: int) -> bool:
    """Return whether the line of this number (from 1), or the one before, says so."""
    return any(ALLOWED_HERE.search(each) for each in lines[max(0, number - 2) : number])
