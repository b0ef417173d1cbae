"""One thing that is wrong with a configuration, and where."""

from typing import NamedTuple, Self

Path = tuple[str | int, ...]
"""Keys and list positions from the root."""


class Problem(NamedTuple):
    """What is wrong at ``path``; ``line`` if it is known without the path."""

    path: Path
    message: str
    line: int | None = None


def show_path(path: Path) -> str:
    """Return a path as text: ``routes[2].auth``."""
    shown = ""
    for step in path:
        shown += f"[{step}]" if isinstance(step, int) else f".{step}" if shown else step
    return shown or "(the file)"


class LocatedProblem(str):
    """A problem as one line of text, which knows its parts for those who want them apart."""

    __slots__ = ("line", "message", "path")

    line: int | None
    """The line in the file, from 1; ``None`` where there is none."""
    path: str
    message: str

    def __new__(cls, problem: Problem, line: int | None) -> Self:
        """Join the parts."""
        path = show_path(problem.path)
        where = f"line {line}: " if line else ""
        made = super().__new__(cls, f"{where}{path}: {problem.message}")
        made.line, made.path, made.message = line, path, problem.message
        return made
