"""How a worker is started: what it inherits, and what it does not."""

import sys
import sysconfig
from pathlib import Path

import pytest

from sidecar.runtime.workers.spawn import spawn, worker_environment


def test_a_worker_gets_the_variables_that_an_interpreter_needs() -> None:
    given = {
        "PATH": "/bin",
        "LC_ALL": "C",
        "PYTHONMALLOC": "malloc",
        "PYTHONPATH": "/evil",
        "VAULT_TOKEN": "secret",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }
    kept = worker_environment(given)
    assert kept.keys() == {"PATH", "LC_ALL", "PYTHONMALLOC", "PYTHONPATH", "PYTHONSAFEPATH"}
    assert (Path(kept["PYTHONPATH"]) / "sidecar" / "runtime" / "workers" / "main.py").is_file()
    installed = worker_environment(given, sysconfig.get_path("purelib"))
    assert "PYTHONPATH" not in installed


def test_its_standard_input_is_the_channel_and_it_leads_a_session() -> None:
    program = (
        "import os, socket; socket.socket(fileno=0).send(b'%d' % (os.getsid(0) == os.getpid()))"
    )
    child, channel = spawn((sys.executable, "-c", program))
    with child, channel:
        assert channel.recv(8) == b"1"
        assert child.wait(20) == 0


def test_a_program_that_is_not_there_leaves_no_descriptor() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(FileNotFoundError):
        spawn(("/nonexistent/python",))
    assert len(list(Path("/proc/self/fd").iterdir())) == before
