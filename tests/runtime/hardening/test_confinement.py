"""A process that was taken over tries what it can, under each guard alone and in a real worker."""

import asyncio
import json
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sidecar.runtime.hardening.landlock import abi_version
from sidecar.transport.peers import make_rule
from tests.runtime.workers.pooled import Pool
from tests.support.minting import Issuer
from tests.support.other_users import as_nobody
from tests.support.waiting import until
from tests.transport.test_guard import Guarded

ROOT = Path(__file__).parents[3]
landlocked = pytest.mark.skipif(abi_version() < 6, reason="this kernel's Landlock is older")

TRY = """
import json, os, sys
sys.path.insert(0, {root!r})
from tests.runtime.hardening.attempts import attempts
{before}
print(json.dumps(attempts(json.loads({target!r}))))
"""
WAIT = "import sys; print(flush=True); sys.stdin.read()"
LANDLOCK = """
from sidecar.runtime.hardening.landlock import restrict_self
from sidecar.runtime.hardening.process import code_folders, harden_process
assert not harden_process().missing
restrict_self(code_folders())
"""
SECCOMP = """
from sidecar.runtime.hardening.process import harden_process
from sidecar.runtime.hardening.seccomp import refuse_calls
assert not harden_process().missing
refuse_calls()
"""
IN_A_WORKER = """
import json, sys
sys.path.insert(0, {root!r})
from tests.runtime.hardening.attempts import attempts
told = open({path!r}, "w")
import sidecar.runtime.workers.main
report = sidecar.runtime.workers.main.Worker._report
def tried(self, number):
    if not told.closed:
        with told:
            told.write(json.dumps(attempts(json.loads({target!r}))))
    return report(self, number)
sidecar.runtime.workers.main.Worker._report = tried
sys.exit(sidecar.runtime.workers.main.main())
"""


class House:
    """What there is to be had: a token, secrets behind a guard, a listener, a process of ours."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.token_file = folder / "vault-token"
        self.token_file.write_text("hvs.a-token")
        self.guarded = Guarded(folder, make_rule((), ()))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.other = subprocess.Popen([sys.executable, "-c", WAIT], stdin=subprocess.PIPE)

    def close(self) -> None:
        self.listener.close()
        self.other.communicate()

    @property
    def target(self) -> str:
        values: dict[str, Any] = {
            "pid": self.other.pid,
            "token_file": str(self.token_file),
            "folder": str(self.folder),
            "sds": str(self.guarded.path),
            "inner": self.guarded.guard.inner_address.removeprefix("unix:"),
            "port": self.listener.getsockname()[1],
        }
        return json.dumps(values)


@pytest.fixture
async def house() -> AsyncIterator[House]:
    with tempfile.TemporaryDirectory(prefix="septem-") as folder:
        made = House(Path(folder))
        await made.guarded.start()
        yield made
        await made.guarded.stop()
        made.close()


async def tried(house: House, before: str) -> dict[str, str]:
    program = TRY.format(root=str(ROOT), before=before, target=house.target)
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", program],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    outcomes: dict[str, str] = json.loads(done.stdout)
    return outcomes


UNREACHABLE = {"connect to the SDS socket", "connect to the socket behind it"}
"""By whatever they fail: the guard knows its own children, and the socket behind has no name."""
BY_LANDLOCK = {
    "read the token file", "write the token file", "list its folder", "make a file",
    "make a socket by a name", "remove the token file", "connect over TCP",
    "listen on another port", "read its memory", "read its environment",
    "list its descriptors", "trace it", "copy its memory", "signal it", "run a program",
}  # fmt: skip
BY_SECCOMP = {
    "open the token file to all", "make a socket by a name", "connect to the SDS socket",
    "connect over TCP", "send over UDP", "listen on another port", "trace it", "copy its memory",
    "signal it", "limit it", "slow it down", "run a program", "fork", "become another user",
}  # fmt: skip


async def test_without_a_guard_all_of_it_can_be_done_but_for_secrets(house: House) -> None:
    """The control: no attempt fails because it is no good. Only the SDS guard stands."""
    outcomes = await tried(house, "")
    assert {name for name, outcome in outcomes.items() if outcome != "done"} == UNREACHABLE


@landlocked
async def test_by_landlock_alone(house: House) -> None:
    outcomes = await tried(house, LANDLOCK)
    assert {
        name: outcomes[name] for name in BY_LANDLOCK if outcomes[name] != "PermissionError"
    } == {}
    assert {name for name, outcome in outcomes.items() if outcome != "done"} >= UNREACHABLE


async def test_by_seccomp_alone(house: House) -> None:
    outcomes = await tried(house, SECCOMP)
    assert {
        name: outcomes[name] for name in BY_SECCOMP if outcomes[name] != "PermissionError"
    } == {}
    assert house.guarded.reached == 0


@landlocked
async def test_in_a_real_worker_nothing_is_left(house: House, issuer: Issuer) -> None:
    path = house.folder / "outcomes.json"
    program = IN_A_WORKER.format(root=str(ROOT), path=str(path), target=house.target)
    running = Pool(command=(sys.executable, "-c", program))
    running.publish(issuer.ring)
    await running.pool.start()
    await running.pool.refresh_stats()
    await until(lambda: path.stat().st_size)
    outcomes = json.loads(path.read_text())
    assert {
        name: outcome for name, outcome in outcomes.items() if outcome != "PermissionError"
    } == {}
    assert house.token_file.read_text() == "hvs.a-token"
    (said,) = running.pool.hardening
    assert said.startswith(
        "first out of memory, no new privileges, no core, memory closed, no io_uring, Landlock "
    )
    assert said.endswith(", seccomp")
    for number in range(2):
        assert not [each for each in links_of(running.pid(number)) if "io_uring" in each]
    await running.pool.stop()


def links_of(pid: int) -> list[str]:
    """What a process has open; a ring among it would be seen into by no filter."""
    return [str(each.readlink()) for each in Path(f"/proc/{pid}/fd").iterdir()]


HARDENED = """
import sys
from sidecar.runtime.hardening.process import harden_process
print(harden_process(), flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize(
    ("program", "outcome"),
    [(HARDENED, "PermissionError"), (WAIT, "done")],
    ids=["hardened", "not hardened"],
)
def test_another_process_of_our_user_has_nothing_of_our_memory(program: str, outcome: str) -> None:
    who = as_nobody()
    command = [*who, "-c", program]
    env = {"PYTHONPATH": str(ROOT), "SECRET": "hvs.a-token"}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env) as child:
        assert child.stdout is not None
        child.stdout.readline()
        target = dict.fromkeys(("folder", "token_file", "sds", "inner"), "/nothing")
        target |= {"pid": str(child.pid), "port": "1"}
        peek = TRY.format(root=str(ROOT), before="", target=json.dumps(target))
        done = subprocess.run([*who, "-c", peek], capture_output=True, timeout=60, check=True)
        child.communicate()
    outcomes = json.loads(done.stdout)
    for name in ("read its memory", "read its environment", "list its descriptors"):
        assert outcomes[name] == outcome, name


@landlocked
def test_a_confined_worker_can_still_load_what_reads_certificates() -> None:
    """A reload may bring the first route that reads one."""
    confined = f"{LANDLOCK}{SECCOMP.partition('assert')[0]}refuse_calls()"
    loading = (
        "import sidecar.runtime.workers.main, sys; assert 'cryptography.x509' not in sys.modules"
        f"{confined}\nimport sidecar.authz.client_certificate; print('loaded')"
    )
    done = subprocess.run(
        [sys.executable, "-c", loading], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.stdout.strip(), done.stderr) == ("loaded", "")
