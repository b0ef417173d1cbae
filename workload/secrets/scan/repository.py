"""The files of a folder, and every version of them that Git still has."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from workload.secrets.scan.sources import Source, Unread
from workload.secrets.scan.texts import MAX_FILE_BYTES
from workload.settings import SettingsFault

_GIT = (
    "git",
    "--no-replace-objects",
    "-c",
    "core.fsmonitor=false",
    "-c",
    "core.hooksPath=/dev/null",
)
"""A repository that is looked at may be anybody's: none of its settings runs a program."""
_BLOB = "blob"


def read_folder(folder: Path) -> Iterator[Source | Unread]:
    """Yield the files of a folder: in Git's work tree those that it tracks or might."""
    for path in _tracked(folder) or _walk(folder):
        file = folder / path
        if file.is_symlink() or not file.is_file():
            continue
        yield read_file(file, path)


def read_file(file: Path, path: str) -> Source | Unread:
    """Read one file, which is shown as ``path``."""
    try:
        with file.open("rb") as opened:
            raw = opened.read(MAX_FILE_BYTES + 1)
    except OSError as exc:
        return Unread(path, exc.strerror or "can't be read")
    if len(raw) > MAX_FILE_BYTES:
        return Unread(path, f"more than {MAX_FILE_BYTES} bytes")
    return Source(path, path, raw)


def read_history(folder: Path) -> Iterator[Source | Unread]:
    """Yield every blob that a ref or the reflog reaches, once. Raises ``SettingsFault``."""
    listed = _git(folder, "rev-list", "--objects", "--all", "--reflog")
    paths: dict[str, str] = {}
    for line in listed.decode("utf-8", "replace").splitlines():
        digest, _, path = line.partition(" ")
        if path:
            paths.setdefault(digest, path)
    with subprocess.Popen(  # noqa: S603 - git itself
        [*_GIT, "cat-file", "--batch"],
        cwd=folder, env=_environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as git:  # fmt: skip
        assert git.stdin is not None  # noqa: S101 - they are pipes
        assert git.stdout is not None  # noqa: S101
        for digest, path in paths.items():
            git.stdin.write(f"{digest}\n".encode())
            git.stdin.flush()
            kind, raw = _read_object(git.stdout)
            if kind != _BLOB:
                continue
            if len(raw) > MAX_FILE_BYTES:
                yield Unread(f"{path} (blob {digest[:12]})", f"more than {MAX_FILE_BYTES} bytes")
            else:
                yield Source(f"history:{digest}", path, raw)
        git.stdin.close()


def commit_of(folder: Path, where: str) -> str:
    """Return the first commit with a blob of the history, as a place; else ``where``."""
    digest = where.removeprefix("history:")
    found = _git(
        folder, "log", "--all", "--reflog", "--format=%h %as", f"--find-object={digest}"
    ).split(b"\n")
    commits = [each for each in found if each]
    return f"commit {commits[-1].decode()}" if commits else f"blob {digest[:12]}"


def _tracked(folder: Path) -> Sequence[str]:
    """Return what Git tracks or would add; nothing where the folder is no work tree."""
    try:
        listed = _git(folder, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    except SettingsFault:
        return ()
    return [os.fsdecode(each) for each in dict.fromkeys(listed.split(b"\0")) if each]


def _walk(folder: Path) -> Iterator[str]:
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(each for each in folders if each != ".git")
        for name in sorted(files):
            yield str((Path(parent) / name).relative_to(folder))


def _read_object(stream: IO[bytes]) -> tuple[str, bytes]:
    """Read one answer of ``git cat-file --batch``; of a large one its first bytes."""
    head = stream.readline().split()
    if len(head) != 3:  # noqa: PLR2004 - "<digest> missing"
        return "missing", b""
    kind, size = head[1].decode(), int(head[2])
    raw = stream.read(min(size, MAX_FILE_BYTES + 1))
    left = size - len(raw) + 1  # a line feed ends it
    while left:
        left -= len(stream.read(min(left, 65_536)))
    return kind, raw


def _git(folder: Path, *arguments: str) -> bytes:
    try:
        ended = subprocess.run(  # noqa: S603 - git itself
            [*_GIT, *arguments], cwd=folder, env=_environment(), check=False, capture_output=True
        )
    except OSError as exc:
        raise SettingsFault(f"git can't be started: {exc.strerror}") from None
    if ended.returncode:
        said = ended.stderr.decode("utf-8", "replace").strip().splitlines() or ["it failed"]
        raise SettingsFault(f"git {arguments[0]} in {folder}: {said[0]}")
    return ended.stdout


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return {**kept, "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
