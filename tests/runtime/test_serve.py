"""How `sidecar serve` ends when it can't go on: the exit code, and one line that says why."""

import contextlib
import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import grpc
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from demo.openbao import SIDECAR_POLICY, OpenBao
from sidecar.certificates.issuers.lease import Leases
from sidecar.common.clock import monotonic_seconds
from sidecar.common.unix_http import UnixConnection
from sidecar.vault.client import VaultClient
from tests.support.fleet_kv import take_lease
from tests.support.minting import AUDIENCE, ISSUER, Issuer
from tests.support.real import TokenFile
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real
BASE = """\
listen:
  authz: {{address: "127.0.0.1:0"}}
  admin: {{address: "127.0.0.1:0"}}
  drain_seconds: 0.1
vault: {{address: "{vault}", auth: {{method: token_file, path: {token}}}{ca}}}
tokens:
  issuers: [{{issuer: "{issuer}", audiences: ["{audience}"], keys: {keys}}}]
routes: [{{name: all, path_prefix: /}}]
{more}
"""
KV = "{source: vault_kv}"
KEYS = "the keys in Vault entry secret/iam/jwt-signing-key"
MAIN = """
import sys
from sidecar.cli.main import main
sys.exit(main(["serve", "--config", sys.argv[1]]))
"""


def config(tmp_path: Path, token_file: TokenFile, **changes: str) -> Path:
    values = {"vault": "http://127.0.0.1:1", "ca": "", "keys": KV, "more": "", **changes}
    path = tmp_path / "serve.yaml"
    path.write_text(BASE.format(token=token_file.path, issuer=ISSUER, audience=AUDIENCE, **values))
    return path


def serve(path: Path, before: str = "") -> tuple[int, list[str]]:
    """Run it to its end; returns the exit code and the lines of its log."""
    command = [sys.executable, "-c", f"{before}\n{MAIN}", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stderr.splitlines()


JWKS = '{{source: jwks, url: "https://127.0.0.1:1/jwks.json", ca_file: {file}}}'
FILES: list[tuple[str, dict[str, str]]] = [
    ("the CA of a JWKS source", {"keys": JWKS}),
    ("the CA of Vault", {"vault": "https://127.0.0.1:1", "ca": ", ca_file: {file}"}),
    ("the secret of a webhook", {
        "more": 'alerts: {{webhook: {{url: "https://alerts.example", secret_file: {file}}}}}',
    }),
    ("the folder of the audit log", {"more": "audit: {{to: {{sink: file, path: {file}/audit}}}}"}),
]  # fmt: skip


@pytest.mark.parametrize("harm", ["absent", "a folder above is a file", "not PEM"])
@pytest.mark.parametrize("changes", [row[1] for row in FILES], ids=[row[0] for row in FILES])
def test_a_file_that_is_of_no_use_is_one_sentence_that_names_it(
    tmp_path: Path, token_file: TokenFile, changes: dict[str, str], harm: str
) -> None:
    token_file.write("hvs.token")
    file = tmp_path / "the-file"
    if harm == "not PEM":
        file.write_text("-")
    if harm == "a folder above is a file":
        file.write_text("-")
        file = file / "below"
    settings = {name: value.format(file=file) for name, value in changes.items()}
    code, lines = serve(config(tmp_path, token_file, **settings))
    assert code == 1
    critical = [line for line in map(json.loads, lines) if line["level"] == "critical"]
    (said,) = critical
    assert str(file) in said["message"]
    assert not any("traceback" in line or "exception" in line for line in critical)


DEFECTS = {
    "a loop that is cancelled by what it waits for": """
import asyncio
import sidecar.keys.refresher as module
async def run(self):
    gone = asyncio.get_running_loop().create_future()
    gone.cancel()
    await gone
module.KeyRefresher.run = run
""",
    "a loop that ends with an exception": """
import sidecar.keys.refresher as module
async def run(self):
    raise ZeroDivisionError("the loop")
module.KeyRefresher.run = run
""",
    "a start that meets an exception": """
import sidecar.observability.component as module
def broken(*_, **__):
    raise ZeroDivisionError("the start")
module.start_audit = broken
""",
}


@pytest.mark.parametrize("before", DEFECTS.values(), ids=DEFECTS)
def test_a_defect_of_ours_ends_the_process_with_another_code_than_a_signal(
    tmp_path: Path, token_file: TokenFile, openbao: OpenBao, issuer: Issuer, before: str
) -> None:
    """An orchestrator starts it anew; with exit code 0 it might not."""
    form = Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    openbao.put_key(issuer.private.private_bytes(*form).decode())
    token_file.write(openbao.token_for(SIDECAR_POLICY))
    code, lines = serve(config(tmp_path, token_file, vault=openbao.address), before)
    assert code == 1
    said = [line for line in map(json.loads, lines) if "a bug in the sidecar" in line["message"]]
    assert [line["exception"] for line in said] == [
        "UnaskedEnd" if "cancel" in before else "ZeroDivisionError"
    ]


@pytest.fixture
def silent_vault() -> Iterator[str]:
    """Takes connections and answers nothing: the start waits for it."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def starting(path: Path) -> Iterator["subprocess.Popen[str]"]:
    """One that has begun its start: it says so when its signals are taken."""
    before = """
import sidecar.runtime.start_report as report
report.REPORT_SECONDS = 0.3
import sidecar.runtime.serve as module
attach = module._attach
def say(signals, context):
    attached = attach(signals, context)
    print("begun", flush=True)
    return attached
module._attach = say
"""
    command = [sys.executable, "-c", f"{before}\n{MAIN}", str(path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, text=True, stdout=pipe, stderr=pipe) as running:
        try:
            assert running.stdout is not None
            assert running.stdout.readline() == "begun\n"
            yield running
        finally:
            running.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_stop_ends_a_start_that_waits(
    tmp_path: Path, token_file: TokenFile, silent_vault: str, number: int
) -> None:
    """It says what it waited for; a hang-up before, which may come at any time, ends nothing."""
    token_file.write("a-token")
    with starting(config(tmp_path, token_file, vault=silent_vault)) as running:
        running.send_signal(signal.SIGHUP)
        assert running.stderr is not None
        assert f"the start waits for {KEYS} (" in running.stderr.readline()
        running.send_signal(number)
        _, said = running.communicate(timeout=8)
    assert running.returncode == 0
    assert f"stopped while it starts; it waited for {KEYS} (" in said


def test_readyz_says_what_a_start_waits_for(
    tmp_path: Path, token_file: TokenFile, silent_vault: str
) -> None:
    token_file.write("a-token")
    path = config(tmp_path, token_file, vault=silent_vault)
    admin = tmp_path / "admin"
    text = path.read_text().replace(
        'admin: {address: "127.0.0.1:0"', f'admin: {{address: "unix:{admin}"'
    )
    path.write_text(text)
    with starting(path):
        wait_until(admin.is_socket)
        wait_until(lambda: readyz(admin)["problems"]["start"] == f"waits for {KEYS}")
        assert readyz(admin)["ready"] is False


SHARED = """\
issuers: [{{name: internal, type: vault_pki, role: edge, share: true, crl_poll_seconds: 0}}]
certificate_store: {{prefix: septem/start}}
certificates: [{{name: edge, issuer: internal, common_name: start.septemcore.com}}]
"""


async def test_a_start_that_waits_for_anothers_order_answers_checks_and_says_what_it_waits_for(
    tmp_path: Path, token_file: TokenFile, openbao: OpenBao, issuer: Issuer
) -> None:
    form = Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    openbao.put_key(issuer.private.private_bytes(*form).decode())
    token_file.write(openbao.token_for(SIDECAR_POLICY + START_POLICY, name="start"))
    vault = VaultClient(token_file.settings(openbao.address), clock=monotonic_seconds)
    dead = Leases(vault, "secret", holder="dead", seconds=600)
    taken = await take_lease(dead, "septem/start/leases/internal/start.septemcore.com")
    assert taken is not None
    sockets = {name: f"unix:{tmp_path}/{name}.sock" for name in ("authz", "admin", "sds")}
    path = config(tmp_path, token_file, vault=openbao.address, more=SHARED.format())
    text = path.read_text().replace('admin: {address: "127.0.0.1:0"}', f"""\
admin: {{address: "{sockets['admin']}"}}
  sds: {{address: "{sockets['sds']}"}}""")  # fmt: skip
    path.write_text(text.replace('"127.0.0.1:0"', f'"{sockets["authz"]}"'))
    with starting(path) as running:
        assert running.stderr is not None
        log = Log(running.stderr)
        wait_until(lambda: log.says("the start waits for certificates: 'edge'"))
        assert log.says("waiting for the lease internal/start.septemcore.com")
        with grpc.insecure_channel(sockets["authz"]) as channel:
            check = channel.unary_unary("/envoy.service.auth.v3.Authorization/Check")
            assert check(b"", timeout=5), "a Check is answered meanwhile"
        problems = readyz(tmp_path / "admin.sock")["problems"]
        assert "'edge'" in problems["certificates"]
        await dead.give_back(taken, None, 0.0)
        wait_until(lambda: log.says("certificate obtained"))
        wait_until(lambda: not readyz(tmp_path / "admin.sock").get("problems"))
        running.terminate()
        assert running.wait(20) == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_with_a_decision_cache_it_ends_as_it_should(
    tmp_path: Path, token_file: TokenFile, openbao: OpenBao, issuer: Issuer, workers: int
) -> None:
    form = Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    openbao.put_key(issuer.private.private_bytes(*form).decode())
    token_file.write(openbao.token_for(SIDECAR_POLICY, name="start"))
    path = config(tmp_path, token_file, vault=openbao.address)
    cache = f'workers: {workers}, decision_cache: {{socket: "{tmp_path}/leases.sock"}}'
    address = f'address: "unix:{tmp_path}/authz.sock"'
    text = path.read_text()
    assert 'authz: {address: "127.0.0.1:0"' in text
    path.write_text(
        text.replace('authz: {address: "127.0.0.1:0"', f"authz: {{{address}, {cache}", 1)
    )
    with starting(path) as running:
        assert running.stderr is not None
        log = Log(running.stderr)
        wait_until(lambda: log.says("serving Checks on"))
        running.terminate()
        assert (running.wait(20), log.says("internal error")) == (0, False)


START_POLICY = """
path "secret/data/septem/start/*"     { capabilities = ["create", "read", "update"] }
path "secret/metadata/septem/start/*" { capabilities = ["create", "read", "update"] }
"""


class Log:
    """The lines of a process's log, read by a thread."""

    def __init__(self, stream: IO[str]) -> None:
        self.lines: list[str] = []
        threading.Thread(target=self._read, args=(stream,), daemon=True).start()

    def _read(self, stream: IO[str]) -> None:
        with contextlib.suppress(ValueError):  # closed with the process
            self.lines.extend(stream)

    def says(self, words: str) -> bool:
        return any(words in line for line in self.lines)


def readyz(admin: Path) -> dict[str, Any]:
    """Ask a sidecar's admin socket how it is."""

    class Connection(UnixConnection):
        socket_path = str(admin)

    connection = Connection("localhost", timeout=5)
    try:
        connection.request("GET", "/readyz")
        answer: dict[str, Any] = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    return answer
