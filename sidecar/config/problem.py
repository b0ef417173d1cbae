"""One thing that is wrong with a configuration, and where."""

from typing import NamedTuple

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
