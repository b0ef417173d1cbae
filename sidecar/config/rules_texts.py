"""Rules of every text in the file: variables that nobody replaces, and paths of sockets."""

import os
import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from sidecar.config.problem import Path, Problem

MAX_SOCKET_BYTES = 107
"""A Unix socket's path: ``sun_path`` of unix(7) without its last byte, which is zero."""
_VARIABLE = re.compile(
    r"\$\{[A-Za-z_][^{}]*\}|\$\([A-Za-z_][A-Za-z0-9_]*\)|\{\{.*?\}\}|<%.*?%>"
    r"|^\$[A-Z][A-Z0-9_]*$|^%[A-Z][A-Z0-9_]*%$"
)
"""As shells, Compose, Kubernetes, Helm, Jinja, ERB and Windows write one."""


_CREDENTIALS = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#@\s]*@", re.IGNORECASE)


def text_problems(value: Any, path: Path = ()) -> Iterator[Problem]:
    """Yield the problems of every text of a tree, without regard to which setting it is."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from text_problems(item, (*path, key))
    elif isinstance(value, list):
        for at, item in enumerate(value):
            yield from text_problems(item, (*path, at))
    elif isinstance(value, str):
        if found := _VARIABLE.search(value):
            yield Problem(
                path,
                f"has {found.group()[:64]}, which is taken letter by letter: nothing is replaced "
                "in this file; write the value itself, or fill the file in before it is read",
            )
        if _CREDENTIALS.match(value):
            yield Problem(
                path,
                "has a user or a password in the URL, and no secret may stand in this file: "
                "leave out what is before @",
            )
        if value.startswith("unix:"):
            yield from socket_problems(value, path)


def socket_problems(address: str, path: Path, added: int = 0, why: str = "") -> Iterator[Problem]:
    """Yield the problem of a Unix socket that names a folder, or is too long.

    ``added`` are the bytes that the sidecar appends to the path, and ``why``.
    """
    if address.endswith("/") or PurePosixPath(address.removeprefix("unix:")).name in {"", ".."}:
        yield Problem(path, "names a folder: write the path of a socket in it")
    size = len(os.fsencode(address.removeprefix("unix:")))
    if size + added > MAX_SOCKET_BYTES:
        most = MAX_SOCKET_BYTES - added
        yield Problem(
            path,
            f"has a path of {size} bytes, and a Unix socket's has at most {most}{why}: "
            "write a shorter one, like unix:/run/septem/name.sock",
        )
