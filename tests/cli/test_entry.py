"""The console script: what Ctrl-C does before a command works, and where streams are missing."""

import signal
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import pytest

from sidecar.cli.entry import chosen_command

ROOT = Path(__file__).parents[2]
CLOSED = [each for count in (1, 2, 3) for each in combinations((0, 1, 2), count)]
STREAMS = """
import os, sys
for number in map(int, sys.argv[2:]):
    os.close(number)
    setattr(sys, ("stdin", "stdout", "stderr")[number], None)
from sidecar.cli.entry import reopen_standard_streams
reopen_standard_streams()
kept = os.open(sys.argv[1], os.O_WRONLY)
names = [os.readlink(f"/proc/self/fd/{number}") for number in map(int, sys.argv[2:])]
assert not {None} & {sys.stdout, sys.stderr}
print("to nobody")
print("nor this", file=sys.stderr)
sys.stdout.flush()
os.write(kept, repr((kept > 2, names, [os.get_inheritable(n) for n in (0, 1, 2)])).encode())
"""


def test_the_installed_script_is_this_entry() -> None:
    assert 'sidecar = "sidecar.cli.entry:main"' in (ROOT / "pyproject.toml").read_text()


def test_the_entry_imports_nothing_that_takes_time() -> None:
    source = "import sys; import sidecar.cli.entry; print('argparse' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "False"


def test_ctrl_c_is_left_alone_where_whoever_starts_it_ignores_it() -> None:
    """As ``nohup`` and a shell's ``&`` do."""
    source = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN);"
        "sys.argv[1:] = ['--help'];"
        "from sidecar.cli.entry import main; code = main();"
        "print(code, signal.getsignal(signal.SIGINT) is signal.SIG_IGN)"
    )
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.splitlines()[-1] == "0 True"


def test_afterwards_ctrl_c_is_pythons_again() -> None:
    source = (
        "import signal, sys; sys.argv[1:] = ['token', 'verify', '--jwks', '/none'];"
        "signal.signal(signal.SIGINT, signal.default_int_handler);"  # a job of a shell ignores it
        "from sidecar.cli.entry import main; main();"
        "print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    )
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout == "True\n"


@pytest.mark.parametrize("closed", ["1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_streams_that_are_closed_are_no_traceback(closed: str) -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", f"{sys.executable} -m sidecar config check config.example.yaml {closed}"],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert signal.getsignal(signal.SIGINT) is not None


@pytest.mark.parametrize("closed", CLOSED, ids=str)
def test_a_closed_standard_stream_is_dev_null(tmp_path: Path, closed: tuple[int, ...]) -> None:
    """Its number would be that of the next file or socket, which libuv aborts for."""
    file = tmp_path / "seen"
    file.touch()
    line = [sys.executable, "-c", STREAMS, str(file), *map(str, closed)]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    seen = (True, ["/dev/null"] * len(closed), [True] * 3)
    assert file.read_text() == repr(seen), done.stderr
    assert not done.stderr or 2 not in closed


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_it_serves_with_closed_streams_until_it_can_not(tmp_path: Path, closed: str) -> None:
    """It ends for want of Vault, as with open ones, and not by a signal."""
    (tmp_path / "token").write_text("hvs.token")
    (tmp_path / "token").chmod(0o600)
    path = tmp_path / "serve.yaml"
    path.write_text(f"""\
listen: {{authz: {{address: "unix:{tmp_path}/authz"}}, admin: {{address: "unix:{tmp_path}/admin"}}}}
vault: {{address: "http://127.0.0.1:1", auth: {{method: token_file, path: {tmp_path}/token}}}}
tokens: {{issuers: [{{issuer: "https://i.example", audiences: [a]}}]}}
routes: [{{name: all, path_prefix: /}}]
""")
    line = f'exec "$0" -m sidecar serve --config "$1" {closed}'
    done = subprocess.run(
        ["/bin/sh", "-c", line, sys.executable, str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert ("cannot be reached" in done.stderr) is ("2" not in closed)


@pytest.mark.parametrize(
    ("arguments", "chosen"),
    [([], None), (["--help"], None), (["serve", "--config", "x"], "serve"), (["-v", "csp"], "csp")],
)
def test_the_command_is_the_first_word(arguments: list[str], chosen: str | None) -> None:
    assert chosen_command(arguments) == chosen
