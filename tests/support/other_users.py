"""Programs of the user nobody, for what another user meets."""

import os
import shutil
import subprocess
import sys
from functools import cache

import pytest

NOBODY = 65_534


def as_nobody(*groups: str) -> list[str]:
    """What starts this Python as nobody, in these groups alone; skips where that can't be."""
    command = _command(*groups)
    if not _can_run():
        pytest.skip("only root can be nobody, who must be able to read this Python's libraries")
    return command


def _command(*groups: str) -> list[str]:
    setpriv = shutil.which("setpriv") or "setpriv"
    who = ["--reuid", str(NOBODY), "--regid", str(NOBODY)]
    who += ["--groups", ",".join(groups)] if groups else ["--clear-groups"]
    return [setpriv, *who, sys.executable]


@cache
def _can_run() -> bool:
    if os.geteuid() != 0:
        return False
    command = [*_command(), "-S", "-c", ""]
    return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0
