"""Of what a release is made: a commit, cloned, so that nothing else in a checkout gets into it."""

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from tools.release.errors import ReleaseFault
from workload.source_version import NEXT, source_of

_GIT_SECONDS = 300


class Source(NamedTuple):
    """A commit. ``epoch`` is its date in Unix seconds; ``uri`` is public, or empty."""

    version: str
    commit: str
    epoch: int
    tag: str
    uri: str


def read_source(root: Path, environment: Mapping[str, str] = os.environ) -> Source:
    """Return the checkout's commit. Raises ``ReleaseFault`` where there is more than a commit."""
    found = source_of(root, environment)
    if not found.commit or not (root / ".git").exists():
        raise ReleaseFault(f"{root} is no checkout of git: a release is made of a commit")
    if found.modified:
        raise ReleaseFault(
            "the tree has changes that are not committed, and would not be in the release:"
            " commit them, or remove them (git status)"
        )
    epoch = int(git(root, "show", "--no-patch", "--format=%ct", found.commit))
    tag = "" if "+" in found.version else f"v{found.version}"
    return Source(found.version, found.commit, epoch, tag, _origin(root))


def clone(source: Source, root: Path, into: Path, umask: int) -> Path:
    """Clone the commit into a new folder, and return it."""
    git(root, "clone", "--quiet", "--no-checkout", str(root), str(into), umask=umask)
    git(into, "checkout", "--quiet", "--detach", source.commit, umask=umask)
    if source_of(into, {**os.environ, "SEPTEM_BUILD": ""}).version != source.version:
        raise ReleaseFault("a clone has another version than the checkout: git tag, git status")
    return into


def problems_of(source: Source, tree: Path, upcoming: str = NEXT) -> list[str]:
    """Return what speaks against this commit as a release; nothing for a development version."""
    if not source.tag:
        return []
    found = []
    if source.version != upcoming:
        found.append(f"workload/source_version.py: NEXT is {upcoming}, the tag is {source.tag}")
    changes = (tree / "CHANGELOG.md").read_text(encoding="utf-8")
    if not re.search(
        rf"^## {re.escape(source.version)} - \d{{4}}-\d\d-\d\d$", changes, re.MULTILINE
    ):
        found.append(f"CHANGELOG.md: no heading '## {source.version} - YEAR-MONTH-DAY'")
    chart = (tree / "deploy/kubernetes/chart/Chart.yaml").read_text(encoding="utf-8")
    if not re.search(rf'^appVersion: "?{re.escape(source.version)}"?$', chart, re.MULTILINE):
        found.append(f"deploy/kubernetes/chart/Chart.yaml: appVersion is not {source.version}")
    return found


def public_uri(remote: str) -> str:
    """Return a remote's address without credentials, and nothing for a folder of this machine."""
    parts = urlsplit(remote)
    if parts.scheme in {"https", "ssh"} and parts.hostname:
        port = f":{parts.port}" if parts.port else ""
        return f"git+{parts.scheme}://{parts.hostname}{port}{parts.path}"
    scp = re.fullmatch(r"(?:[\w.-]+@)?([\w-]+\.[\w.-]+):(?!/)([\w./~-]+)", remote)
    return f"git+ssh://{scp[1]}/{scp[2]}" if scp else ""


def _origin(root: Path) -> str:
    try:
        return public_uri(git(root, "remote", "get-url", "origin"))
    except (ReleaseFault, ValueError):  # no remote, or no address
        return ""


def git(folder: Path, *arguments: str, umask: int = 0o022) -> str:
    """Run git in a folder. Raises ``ReleaseFault`` with what it says."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(
        ["git", "-C", str(folder), "-c", "advice.detachedHead=false", *arguments],
        env=clean,
        umask=umask,
        capture_output=True,
        text=True,
        timeout=_GIT_SECONDS,
        check=False,
    )
    if done.returncode:
        raise ReleaseFault(f"git {arguments[0]}: {done.stderr.strip()}")
    return done.stdout.strip()
