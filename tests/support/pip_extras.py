"""In place of ``pip install PATH[EXTRA,…]``: whether the project at PATH has these extras.

Called with the repository, then pip's arguments. That pip installs it is tested in
``tests/packaging``.
"""

import re
import sys
import tomllib
from pathlib import Path


def problem(root: Path, arguments: list[str]) -> str:
    """Return what is wrong with the arguments, or an empty text."""
    if len(arguments) != 2 or arguments[0] != "install":
        return f"is not 'install PROJECT': {arguments}"
    asked = re.fullmatch(r"(\./[\w/]+)(?:\[([\w,]+)\])?", arguments[1])
    if asked is None or not (root / asked[1] / "pyproject.toml").is_file():
        return f"is no project: {arguments[1]}"
    project = tomllib.loads((root / asked[1] / "pyproject.toml").read_text())["project"]
    absent = set((asked[2] or "").split(",")) - {"", *project["optional-dependencies"]}
    return f"has no extras {sorted(absent)}" if absent else ""


if __name__ == "__main__":
    sys.exit(problem(Path(sys.argv[1]), sys.argv[2:]) or None)
