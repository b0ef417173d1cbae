"""The console script: what Ctrl-C does before a command works, and where streams are missing."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


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
