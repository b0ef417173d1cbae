"""A systemd unit as its directives: what a file and its drop-ins say (systemd.syntax(7))."""

from collections.abc import Mapping, Sequence
from pathlib import Path

Unit = Mapping[tuple[str, str], Sequence[str]]
"""The values of each directive in the order of the files, by section and name."""


def read_unit(*paths: Path) -> Unit:
    """Read a unit and its drop-ins; an empty value stays, for those where it means something."""
    found: dict[tuple[str, str], list[str]] = {}
    for path in paths:
        section = ""
        for line in path.read_text().splitlines():
            stripped = line.strip()
            if not stripped or stripped[0] in "#;":
                continue
            if stripped[0] == "[":
                section = stripped.strip("[]")
                continue
            name, _, value = stripped.partition("=")
            found.setdefault((section, name), []).append(value)
    return found


def words(unit: Unit, name: str) -> list[str]:
    """Return all words of a directive of the section ``Service``."""
    return [word for value in unit.get(("Service", name), ()) for word in value.split()]
