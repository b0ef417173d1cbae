"""The command line: exit codes, messages, never a traceback."""

import errno
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from sidecar.cli import health
from sidecar.cli.main import COMMANDS
from tests.cli.commands import Run

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["token"], ["serve"], ["token", "verify"]])
def test_a_wrong_command_says_how(run: Run, arguments: list[str]) -> None:
    code, _, err = run(*arguments)
    assert code == 2
    assert "usage: sidecar" in err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        *([name] for name in COMMANDS),
        ["config", "check"],
        ["config", "envoy"],
        ["token", "verify"],
        ["token", "mint"],
    ],
    ids=" ".join,
)
def test_help_is_there(run: Run, arguments: list[str]) -> None:
    code, out, _ = run(*arguments, "--help")
    assert code == 0
    assert "usage: sidecar" in out


@pytest.mark.parametrize("chosen", [None, "certs", "no-command"])
def test_only_the_chosen_command_is_imported(chosen: str | None) -> None:
    source = (
        "import sys; from sidecar.cli.main import build_parser; build_parser("
        f"{chosen!r}); print(*sorted(m for m in sys.modules if m.startswith('sidecar.cli.')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=True, cwd=ROOT
    )
    imported = {name.removeprefix("sidecar.cli.") for name in done.stdout.split()}
    assert imported & {*COMMANDS} == {chosen} & {*COMMANDS}


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the output can't be written: No space"),
        (OSError(errno.EIO, "Input/output error", "/x/y"), "/x/y: Input/output error"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
         "the system refused a call: Name or service not known"),
        (PermissionError(errno.EPERM, "Operation not permitted"),
         "the system refused a call: Operation not permitted"),
    ],
    ids=["a full disk", "a file", "a name", "a call"],
)  # fmt: skip
def test_what_the_system_refuses_is_not_blamed_on_the_output(
    raised: OSError, said: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_options: object) -> int:
        raise raised

    monkeypatch.setattr(health, "_health", refuse)
    code, _, err = run("health")
    assert (code, err.startswith(f"sidecar: {said}")) == (1, True)
