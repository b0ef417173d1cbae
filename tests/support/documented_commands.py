"""Runs the commands of a page as its reader does: in their order, in one shell, at a terminal.

A command is run as it stands but for the names of places: what a page calls
``https://vault.internal:8200`` is the OpenBao of the test. What a command prints has these names
again when it is compared. In an output ``…`` stands for anything within a line, and on a line of
its own for any lines; times, identifiers and fractions are compared by their form, and runs of
spaces are one. A program that is not named in ``SYSTEMS`` or beside it is not found: nothing that
a page says is done to the machine of the tests.
"""

import contextlib
import os
import re
import select
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from tests.support.documents import Block

COMMAND_SECONDS = 60.0
OURS = ("sidecar", "septem", "bao", "envoy", "promtool")
SYSTEMS = ("cat", "chmod", "cp", "curl", "install", "jq", "openssl", "psql", "sh")
_END = "\x1eEND "
PASSPHRASE = "correct horse battery staple"
TYPED_FIRST = {"sidecar audit forget": "yes"}
"""What is typed for a command that asks on its output, which is no terminal here."""


class Command(NamedTuple):
    """One command, and what the page says that it prints."""

    line: int
    text: str
    output: str
    """Empty where the page shows none; then its status must be 0."""


class Ended(NamedTuple):
    """How a command ended."""

    status: int
    output: str


def commands_of(block: Block) -> list[Command]:
    """Return a block's commands; in ``console`` those behind ``$``, the rest is output."""
    return list(_commands(block))


def _commands(block: Block) -> Iterator[Command]:
    text, output = "", ""
    first = block.line + 1
    is_console = block.language == "console"
    for number, line in enumerate(block.text.splitlines(), block.line + 1):
        if text.endswith("\\\n"):
            text += f"{line}\n"
        elif not is_console or line.startswith("$ "):
            if text.strip():
                yield Command(first, text, output)
            text, output, first = f"{line.removeprefix('$ ') if is_console else line}\n", "", number
        else:
            assert text, f"{block.name}: an output without a command"
            output += f"{line}\n"
    if text.strip():
        yield Command(first, text, output)


_FORMS = (
    (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "<uuid>"),
    (r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|\+00:00)", "<time>"),
    (r"\b[0-9a-f]{10,}(?:\u2026|\b)", "<id>"),
    (r"\bpsn_[\w-]{16,}", "<pseudonym>"),
    (r"(?<![\d.])\d+\.\d+\b(?!\.)", "<number>"),
    (r"(?<=\.yaml:)\d+", "<line>"),
    (r", in the namespace [\w-]+", ""),  # each page has one of its own
    (r"[ \t]+", " "),
)


def by_form(text: str) -> str:
    """Return a text with the forms of what differs from run to run in place of it."""
    for form, name in _FORMS:
        text = re.sub(form, name, text)
    return "\n".join(line.strip() for line in text.strip().splitlines())


def fits(documented: str, printed: str) -> bool:
    """Whether this was printed, as far as the page says what is."""
    lines = by_form(documented).splitlines()
    pattern = "".join(
        "(?:.*\n)*?" if line == "\u2026" else f"{re.escape(line).replace(chr(0x2026), '.*')}\n"
        for line in lines
    )
    return re.fullmatch(pattern, f"{by_form(printed)}\n") is not None


class Terminal:
    """A terminal at which somebody types a passphrase whenever it is asked for."""

    def __init__(self) -> None:
        self._master, self._slave = os.openpty()
        self.name = os.ttyname(self._slave)
        threading.Thread(target=self._answer, name="terminal", daemon=True).start()

    def type(self, text: str) -> None:
        os.write(self._master, f"{text}\n".encode())

    def close(self) -> None:
        os.close(self._slave)  # and the thread's read ends

    def _answer(self) -> None:
        asked = ""
        with contextlib.suppress(OSError):
            while shown := os.read(self._master, 4096):
                asked += shown.decode(errors="replace")
                if re.search(r"phrase[^\n]*: ?$", asked):
                    self.type(PASSPHRASE)
                    asked = ""
        os.close(self._master)


class Shell:
    """One bash in a folder; ``places`` are real names by those that the page has."""

    def __init__(
        self, folder: Path, environment: Mapping[str, str], places: Mapping[str, str]
    ) -> None:
        self._places = places
        self._folder = folder
        self._number = 0
        self._terminal = Terminal()
        self._process = subprocess.Popen(
            ["/bin/bash", "--noprofile", "--norc", "-s"],
            cwd=folder, env=dict(environment), text=True, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self._say(f"exec 9<>{self._terminal.name}")  # the first that a session opens is its own

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()
        self._terminal.close()

    def run(self, text: str) -> Ended:
        """Run a command; ``TimeoutError`` if it does not end."""
        self._number += 1
        command = self._folder / f".command-{self._number}"
        output = self._folder / f".output-{self._number}"
        command.write_text(self._really(text))
        for beginning, typed in TYPED_FIRST.items():
            if text.startswith(beginning):
                self._terminal.type(typed)
        self._say(f". ./{command.name} <&9 >{output.name} 2>&1; echo '{_END}'$?")
        return Ended(self._status(text), self._documented(output.read_text()))

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def _status(self, text: str) -> int:
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], COMMAND_SECONDS)
        if not ready:
            raise TimeoutError(f"does not end: {text}")
        line = self._process.stdout.readline()
        assert line.startswith(_END), f"the shell ended, or printed {line!r}: {text}"
        return int(line.removeprefix(_END))

    def _really(self, text: str) -> str:
        for name in sorted(self._places, key=len, reverse=True):
            text = text.replace(name, self._places[name])
        return text

    def _documented(self, text: str) -> str:
        for name in sorted(self._places, key=lambda name: len(self._places[name]), reverse=True):
            text = text.replace(self._places[name], name)
        return text


def programs(folder: Path, root: Path, venv: Path) -> Path:
    """Make a folder of the programs that pages run; ``vault`` is OpenBao's ``bao``.

    ``make`` is asked what it would do (``-n``), and ``pip`` whether it knows the extras: what they
    do is tested elsewhere, and takes minutes.
    """
    folder.mkdir()
    found = {name: venv / name for name in OURS if (venv / name).exists()}
    found |= {name: Path(there) for name in SYSTEMS if (there := shutil.which(name))}
    for name, path in (found | {"vault": venv / "bao"}).items():
        (folder / name).symlink_to(path)
    scripts = {
        "make": f'PATH={os.defpath} exec make -n -C {root} "$@" >/dev/null',
        "pip": f'exec {venv}/python {root}/tests/support/pip_extras.py {root} "$@"',
    }
    for name, script in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    return folder
