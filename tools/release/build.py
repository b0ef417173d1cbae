"""Builds the artefacts of one clone, and compares two builds byte for byte.

The second build has another folder, umask, time zone, language and hash seed: what depends on one
of them differs.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from tools.release.errors import ReleaseFault
from tools.release.locks import read_lock

CROSS_COMPILER = "aarch64-linux-gnu-gcc"
_SECONDS = 600


class Surroundings(NamedTuple):
    """What may differ from machine to machine, and must not be seen in what is built."""

    umask: int
    variables: Mapping[str, str]


HERE = Surroundings(0o022, {"TZ": "UTC", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0"})
ELSEWHERE = Surroundings(
    0o077, {"TZ": "Pacific/Chatham", "LC_ALL": "C", "PYTHONHASHSEED": "4711", "USER": "somebody"}
)


def build(tree: Path, into: Path, epoch: int, where: Surroundings) -> None:
    """Build everything that a release ships of ``tree`` into a new folder.

    The wheels are made of the tree and of the sdists, and must be the same bytes. Raises
    ``ReleaseFault``.
    """
    into.mkdir(parents=True)
    run = _Runner(epoch, where)
    with tempfile.TemporaryDirectory(prefix="septem-sdist-") as folder:
        for name, source in (("sidecar", tree), ("workload", tree / "workload")):
            run.hatch(source, "sdist", into)
            run.hatch(source, "wheel", into)
            (sdist,) = into.glob(f"septem_{name}-*.tar.gz")
            unpacked = Path(folder) / name
            with tarfile.open(sdist) as archive:
                archive.extractall(unpacked, filter="data")
            (inner,) = unpacked.iterdir()
            run.hatch(inner, "wheel", Path(folder) / f"{name}-wheel")
            (again,) = (Path(folder) / f"{name}-wheel").iterdir()
            if not (into / again.name).exists() or digest(again) != digest(into / again.name):
                raise ReleaseFault(f"{again.name} of the sdist is not that of the tree")
    modules = tree / "envoy/decision_cache"
    run(["make", "-s", "-C", str(modules)], tree)
    if has_cross_compiler():
        run(["make", "-s", "-C", str(modules), f"CC={CROSS_COMPILER}"], tree)
    run([sys.executable, str(tree / "tools/decision_cache_wheels.py"), str(into)], tree)


def has_cross_compiler() -> bool:
    """Tell whether the module for aarch64 can be built here (Debian: gcc-aarch64-linux-gnu)."""
    return shutil.which(CROSS_COMPILER) is not None


class _Runner:
    """Runs what builds, with nothing of this machine's environment but where programs are."""

    def __init__(self, epoch: int, where: Surroundings) -> None:
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        dates = {"SOURCE_DATE_EPOCH": str(epoch), "PYTHONDONTWRITEBYTECODE": "1"}
        self._environment = {**kept, **dates, **where.variables}
        self._umask = where.umask

    def hatch(self, source: Path, kind: str, into: Path) -> None:
        self([sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(into)], source)

    def __call__(self, command: list[str], folder: Path) -> None:
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                env=self._environment,
                umask=self._umask,
                capture_output=True,
                text=True,
                timeout=_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as fault:
            raise ReleaseFault(f"{' '.join(command[:4])} in {folder.name}: {fault}") from None
        if done.returncode:
            said = (done.stdout + done.stderr).strip()[-2000:]
            raise ReleaseFault(f"{' '.join(command[:4])} in {folder.name}: {said}")


def digest(path: Path) -> str:
    """Return the SHA-256 in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file, by its name, in the order of the names."""
    return {path.name: digest(path) for path in sorted(folder.iterdir())}


def compare(first: Path, second: Path) -> None:
    """Raise ``ReleaseFault`` that names each file that differs or is in one build alone."""
    one, other = digests(first), digests(second)
    if one != other:
        differ = [name for name in sorted({*one, *other}) if one.get(name) != other.get(name)]
        raise ReleaseFault(f"two builds differ: {', '.join(differ)}")


def check_build_tools(lock: str) -> None:
    """Raise ``ReleaseFault`` unless each package of ``build.lock`` is here in its version."""
    for pin in read_lock(lock):
        if version(pin.name) != pin.version:
            raise ReleaseFault(
                f"{pin.name} {version(pin.name)} is installed, and {pin.version} locked:"
                " pip install --require-hashes -r requirements/dev.lock"
            )
