"""Bubblewrap's arguments for a root folder in which nothing can be written, with mounts."""

import sys
from collections.abc import Collection
from pathlib import Path

ROOT = Path(__file__).parents[2]
CODE = (sys.base_prefix, sys.prefix, str(ROOT))
"""What programs of this environment need to be seen, wherever it is; to be bound after the root."""
_HIDDEN = {"home", "root"}


def folders_above(*paths: str) -> list[str]:
    """Return arguments for every folder above these, the outer ones first.

    Those that bubblewrap makes itself are root's alone.
    """
    above = {str(each) for path in paths for each in Path(path).parents} - {"/", "/tmp"}  # noqa: S108
    return [word for each in sorted(above) for word in ("--perms", "0755", "--dir", each)]


def read_only_root(above: Collection[str], without: Collection[str] = ()) -> list[str]:
    """Return the mounts of the machine's root, without homes.

    Folders with one of ``above`` in them are made of their parts, so that there is room for it.
    Files of /etc that ``without`` names are left out.
    """
    made = {"proc", "dev", "tmp", "run", "opt", *(Path(each).parts[1] for each in above)}
    made |= {Path(each).parts[1] for each in CODE}
    arguments: list[str] = []
    for entry in sorted(Path("/").iterdir()):
        if entry.name in made | _HIDDEN:
            if entry.name == "etc":
                for part in sorted(entry.iterdir()):
                    if part.exists() and str(part) not in without:
                        arguments += _bound(part)
        elif entry.is_symlink():
            arguments += ["--symlink", str(entry.readlink()), str(entry)]
        else:
            arguments += _bound(entry)
    return arguments


def _bound(path: Path) -> list[str]:
    return ["--ro-bind", str(path), str(path)]
