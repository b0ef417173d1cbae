"""Commands of the documents, run as a reader pastes them, with the output that the page shows.

A block is run by a test that its page names on the line before the fence, as
``<!-- run by: tests/docs/test_quick_start.py -->``. A line that begins with ``$ `` is a command,
and what follows it is its output: runs of spaces count as one, ``…`` stands for anything in a
line, and alone in a line for any lines. A command without output under it may print what it likes.
"""

import re
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
SECONDS = 60.0
BASH = shutil.which("bash") or "/bin/bash"
_PAUSE_SECONDS = 0.1
_BLOCK = re.compile(
    r"^(?P<indent> *)<!-- run by: (?P<test>\S+) -->\n *```console\n(?P<text>.*?)^ *```$",
    re.MULTILINE | re.DOTALL,
)


class Step(NamedTuple):
    """A command of a page, and the lines that it must print."""

    page: str
    section: str
    command: str
    shown: tuple[str, ...]


def steps_of(page: str, test: str) -> list[Step]:
    """Return the commands of a page that ``test`` runs, in their order."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found: list[Step] = []
    for block in _BLOCK.finditer(text):
        if block["test"] != test:
            continue
        section = re.findall(r"^##+ (.+)$", text[: block.start()], re.MULTILINE)[-1]
        lines = [line.removeprefix(block["indent"]) for line in block["text"].splitlines()]
        found += [Step(page, section, *each) for each in _commands(lines)]
    return found


def _commands(lines: list[str]) -> list[tuple[str, tuple[str, ...]]]:
    found: list[tuple[str, list[str]]] = []
    goes_on = False
    for line in lines:
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif goes_on:
            found[-1] = (f"{found[-1][0]}\n{line}", found[-1][1])
        else:
            found[-1][1].append(line)
        goes_on = line.endswith("\\") and (line.startswith("$ ") or goes_on)
    return [(command, tuple(shown)) for command, shown in found]


def matches(shown: tuple[str, ...], printed: str) -> bool:
    """Return whether a command printed what its page shows."""
    if not shown:
        return True
    pattern = "".join(
        r"(?:.*\n)*?" if line.strip() == "…" else f"{_as_pattern(line)}\n" for line in shown
    )
    lines = "".join(f"{_plain(line)}\n" for line in printed.splitlines())
    return re.fullmatch(pattern, lines) is not None


def _plain(line: str) -> str:
    return re.sub(r"\s+", " ", line).strip()


def _as_pattern(line: str) -> str:
    return r".*".join(re.escape(part) for part in _plain(line).split("…"))


class Console:
    """A reader's shell, in a folder of its own, where names of the page stand for real ones."""

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str],
        names: Mapping[str, Callable[[], str]],
    ) -> None:
        self.folder = folder
        self._environment = dict(environment)
        self._names = names

    def real(self, text: str) -> str:
        """Return a text of the page with the real addresses, ports and files."""
        for name, value in self._names.items():
            if name in text:
                text = text.replace(name, value())
        return text

    def run(self, step: Step, *, status: int = 0, until: bool = False) -> str:
        """Run a command and compare; with ``until`` again, while it prints something else."""
        shown = tuple(self.real(line) for line in step.shown)
        deadline = time.monotonic() + SECONDS
        while True:
            done = self.execute(self.real(step.command))
            good = done.returncode == status and matches(shown, done.stdout)
            if good or not until or time.monotonic() > deadline:
                break
            time.sleep(_PAUSE_SECONDS)
        told = f"{step.page}: {step.command}\nstatus {done.returncode}\n{done.stdout}"
        assert done.returncode == status, told
        assert good, f"{told}\nthe page shows:\n" + "\n".join(shown)
        return done.stdout

    def execute(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a command of bash here."""
        return subprocess.run(
            [BASH, "-eu", "-o", "pipefail", "-c", command],
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,  # as in a terminal
            text=True,
            errors="replace",
            timeout=2 * SECONDS,
            check=False,
        )
