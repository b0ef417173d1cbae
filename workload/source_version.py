"""The version and the commit of a source tree, for the builds of both distributions.

hatchling evaluates ``version()`` of this file (``[tool.hatch.version]`` of both pyproject.toml),
and ``tools/hatch_build.py`` writes the commit into the sidecar's wheel and sdist. As a program it
prints both in one line, as ``SEPTEM_BUILD`` takes them. It is in no wheel, and imports nothing that
a build does not have. What is true of a tree is asked in this order:

1. An sdist says its version itself: hatchling reads it from ``PKG-INFO`` and asks nothing here.
2. git, where the tree is the top of a repository. A commit with a tag ``vX.Y.Z`` (or
   ``vX.Y.ZrcN``) has that version. Every other one has ``NEXT.devN+gCOMMIT``: N counts commits, so
   that a later one sorts behind an earlier one, and before the release. What is not committed adds
   ``.dirty``. Source: PEP 440.
3. The environment's ``SEPTEM_BUILD``, for a copy of the tree without git (the Dockerfile's).
4. ``NEXT.dev0``, without a commit.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

NEXT = "0.1.0"
"""The release that is worked on. It is above every tag but the one on a released commit."""
ROOT = Path(__file__).parents[1]
_RELEASE = re.compile(r"([0-9]{1,6})\.([0-9]{1,6})\.([0-9]{1,6})(?:rc([0-9]{1,6}))?")
_BUILD = re.compile(r"([0-9][0-9a-z.+]{0,99}) ([0-9a-f]{40})( modified)?")
_SHORT = 10
_GIT_SECONDS = 60


class Source(NamedTuple):
    """A source tree: its version by PEP 440, its commit in 40 hexadecimal digits or ``""``."""

    version: str
    commit: str
    modified: bool

    def __str__(self) -> str:
        """Return what ``SEPTEM_BUILD`` takes."""
        return f"{self.version} {self.commit}{' modified' if self.modified else ''}"


class GitState(NamedTuple):
    """What git knows of a tree; ``here`` are the commit's tags, ``tags`` its ancestors' too."""

    commit: str
    here: Iterable[str]
    tags: Iterable[str]
    commits: int
    modified: bool


def version() -> str:
    """Return the version of the tree that this file is in."""
    return source_of(ROOT, os.environ).version


def source_of(root: Path, environment: Mapping[str, str]) -> Source:
    """Ask git, then the environment. Raises ``ValueError`` where what they say can't be meant."""
    state = ask_git(root, environment)
    if state is not None:
        return Source(version_of(state, NEXT), state.commit, state.modified)
    given = environment.get("SEPTEM_BUILD", "")
    if not given:
        return Source(f"{NEXT}.dev0", "", modified=False)
    found = _BUILD.fullmatch(given)
    if found is None:
        raise ValueError("SEPTEM_BUILD is no version and commit: python workload/source_version.py")
    return Source(found[1], found[2], modified=found[3] is not None)


def version_of(state: GitState, upcoming: str) -> str:
    """Return the version by PEP 440. Raises ``ValueError`` where ``upcoming`` is released."""
    local = f"g{state.commit[:_SHORT]}{'.dirty' if state.modified else ''}"
    released = max(_releases(state.here), default=None)
    if released is not None:
        # A release with changes is that release with a local version, as distributors patch one.
        return f"{_text(released)}+{local}" if state.modified else _text(released)
    (planned,) = _releases([f"v{upcoming}"])
    last = max(_releases(state.tags), default=None)
    if last is not None and planned <= last:
        raise ValueError(f"v{_text(last)} is released: raise NEXT in workload/source_version.py")
    return f"{upcoming}.dev{state.commits}+{local}"


def _releases(tags: Iterable[str]) -> list[tuple[int, int, int, float]]:
    """Return what the tags name; a candidate sorts before its release."""
    found = (_RELEASE.fullmatch(tag.removeprefix("v")) for tag in tags if tag.startswith("v"))
    return [
        (
            int(each[1]),
            int(each[2]),
            int(each[3]),
            float("inf") if each[4] is None else int(each[4]),
        )
        for each in found
        if each is not None
    ]


def _text(release: tuple[int, int, int, float]) -> str:
    *numbers, candidate = release
    text = ".".join(map(str, numbers))
    return text if candidate == float("inf") else f"{text}rc{candidate}"


def ask_git(root: Path, environment: Mapping[str, str]) -> GitState | None:
    """Return what git knows, and ``None`` where the tree is not the top of a repository.

    A hook of another repository sets ``GIT_DIR`` and its like; they say nothing of this tree.
    """
    clean = {name: value for name, value in environment.items() if not name.startswith("GIT_")}
    clean |= {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0"}

    def git(*arguments: str) -> str:
        command = ["git", "-c", "core.fsmonitor=false", "-C", str(root), *arguments]
        done = subprocess.run(
            command, env=clean, capture_output=True, text=True, timeout=_GIT_SECONDS, check=True
        )
        return done.stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")).resolve() != root.resolve():
            return None
        commit = git("rev-parse", "--verify", "HEAD^{commit}")
        shallow = git("rev-parse", "--is-shallow-repository") == "true"
        return GitState(
            commit,
            git("tag", "--points-at", commit).split(),
            git("tag", "--merged", commit).split(),
            0 if shallow else int(git("rev-list", "--count", commit)),
            git("status", "--porcelain") != "",
        )
    except (OSError, subprocess.CalledProcessError):
        return None


if __name__ == "__main__":
    sys.stdout.write(f"{source_of(ROOT, os.environ)}\n")
