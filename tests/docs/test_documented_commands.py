"""What runs the documents' commands: which they are, what fits, and what can't be done by them."""

from pathlib import Path

import pytest

from tests.support.documented_commands import Command, Shell, commands_of, fits, programs
from tests.support.documents import ROOT, Block
from tests.support.pip_extras import problem


def block(language: str, text: str) -> Block:
    return Block("p.md", 10, "", language, text, is_fenced=True, not_run="", run_by="")


def test_the_commands_of_a_block() -> None:
    assert commands_of(block("sh", "a -b \\\n  c\n\nd | e\n")) == [
        Command(11, "a -b \\\n  c\n", ""),
        Command(14, "d | e\n", ""),
    ]
    assert commands_of(block("console", "$ a \\\n  b\nout\n  $ more\n$ c\n")) == [
        Command(11, "a \\\n  b\n", "out\n  $ more\n"),
        Command(15, "c\n", ""),
    ]
    with pytest.raises(AssertionError, match=r"p\.md:10: an output without a command"):
        commands_of(block("console", "a\n"))


@pytest.mark.parametrize(
    ("documented", "printed", "expected"),
    [
        ("a b", "a    b\n", True),
        ("a b", "a c", False),
        ("a", "a\nb", False),
        ("a\nb", "a", False),
        ("a … d", "a b c d", True),
        ("a … d", "a b\nc d", False),
        ("a\n…\nd", "a\nb\nc\nd", True),
        ("a\n…\nd", "a\nd", True),
        ("a\n…\nd", "a\nb", False),
        ("…\nd", "b\nc\nd", True),
        ("…", "", True),
        ("a.c", "abc", False),
        ("at 2026-11-26T03:00:12+00:00", "at 2027-01-02T03:04:05.678Z", True),
        ("at 2026-11-26T03:00:12+00:00", "at noon", False),
        ("3ce2aaf51b…", "61fc8e0d7a…", True),
        ("3ce2aaf51b…", "none", False),
        ("took 0.0 s", "took 12.25 s", True),
        ("took 0.0 s", "took 12 s", False),
        ("version 2.7.2", "version 2.7.3", False),
        ("7f1c9a52-3f0e-4c8e-9f3b-0d7a8f5d2c11", "00000000-0000-4000-8000-000000000000", True),
        ("12 requests", "13 requests", False),
    ],
)
def test_what_fits(documented: str, printed: str, expected: bool) -> None:
    assert fits(documented, printed) is expected


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    path = programs(tmp_path / "bin", ROOT, ROOT / ".venv/bin")
    environment = {"PATH": str(path), "LC_ALL": "C.UTF-8"}
    return Shell(tmp_path, environment, {"/etc/septem": str(tmp_path)})


def test_a_page_is_one_shell_at_a_terminal(shell: Shell, tmp_path: Path) -> None:
    with shell:
        assert shell.run("greeting=hello\n") == (0, "")
        assert shell.run("echo $greeting /etc/septem >&2; false\n") == (1, "hello /etc/septem\n")
        assert shell.run("exit_status=$(cat /etc/septem/none)\n").status == 1
        assert (
            shell.run("[ -t 0 ] && printf 'Passphrase: ' >/dev/tty && read -r word\n").status == 0
        )
        assert shell.run('echo "$word" > /etc/septem/word\n') == (0, "")
    assert (tmp_path / "word").read_text() == "correct horse battery staple\n"


@pytest.mark.parametrize("command", ["rm -r /nowhere", "systemctl stop x", "apt-get install x"])
def test_a_program_that_no_page_needs_is_not_found(shell: Shell, command: str) -> None:
    with shell:
        ended = shell.run(command)
    assert ended.status == 127
    assert "command not found" in ended.output


@pytest.mark.parametrize(
    ("command", "status"), [("make demo", 0), ("make demmo", 2), ("make soak ARGS='--seed 7'", 0)]
)
def test_make_is_asked_and_does_nothing(shell: Shell, command: str, status: int) -> None:
    with shell:
        ended = shell.run(command)
    assert ended.status == status, ended.output


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["install", "./workload"], ""),
        (["install", "./workload[passwords,bcrypt]"], ""),
        (["install", "./workload[pasword]"], "has no extras ['pasword']"),
        (["install", "./worklode"], "is no project: ./worklode"),
        (["install", "septem-workload"], "is no project: septem-workload"),
        (["instal", "./workload"], "is not 'install PROJECT': ['instal', './workload']"),
    ],
)
def test_what_pip_would_be_asked(arguments: list[str], expected: str) -> None:
    assert problem(ROOT, arguments) == expected
