"""The systemd unit: systemd's own judgement, and the sidecar under its restrictions.

No systemd runs here as the first process. What can be had without it is had: its analysis, and
the mounts, user, capabilities and filters that the unit names (``tests/support/unit_sandbox.py``
lists what is not carried out). A real Envoy of another user and a real OpenBao are beside it.
"""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from demo.application import SampleApplication
from demo.client import Client
from demo.openbao import SIDECAR_POLICY, OpenBao
from demo.process import ManagedProcess, fetch_status, free_ports, listens
from sidecar.cli.main import main
from sidecar.common.clock import wall_seconds
from sidecar.common.unix_http import UnixConnection
from sidecar.tokens.jwk import thumbprint
from tests.runtime.test_service_manager import Systemd
from tests.support.minting import AUDIENCE, ISSUER, TENANT, Issuer
from tests.support.real import NAMESPACE
from tests.support.unit_file import read_unit, words
from tests.support.unit_sandbox import CARRIED_OUT, MISSING, NOT_CARRIED_OUT, sandbox

FOLDER = Path(__file__).parents[2] / "deploy/systemd"
NAME = "septem-sidecar.service"
UNIT = FOLDER / NAME
DROP_INS = sorted((FOLDER / f"{NAME}.d").glob("*.conf"))
CREDENTIALS = f"/run/credentials/{NAME}"
WORST_EXPOSURE = 2.0
READY_SECONDS = 60.0
SIDECAR_UID, ENVOY_UID = 61_532, 61_533

analyze = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="no systemd-analyze (Debian's systemd)"
)
needs_sandbox = pytest.mark.skipif(
    bool(MISSING) or os.geteuid() != 0,
    reason=f"needs root, and Debian's bubblewrap, util-linux and systemd; missing: {MISSING}",
)


def run(*command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@analyze
def test_its_exposure_is_low() -> None:
    done = run("systemd-analyze", "security", "--offline=true", "--no-pager", str(UNIT))
    (level,) = re.findall(r"Overall exposure level for \S+: (\d+\.\d)", done.stdout)
    assert float(level) < WORST_EXPOSURE, done.stdout


@analyze
def test_systemd_reads_the_unit_without_a_remark(tmp_path: Path) -> None:
    """With its drop-ins, and with the program at the place that it names."""
    program = tmp_path / "sidecar"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    (tmp_path / f"{NAME}.d").mkdir()
    for path in (UNIT, *DROP_INS):
        text = path.read_text().replace("/opt/septem-sidecar/bin/sidecar", str(program))
        (tmp_path / path.relative_to(FOLDER)).write_text(text)
    done = run("systemd-analyze", "verify", "--recursive-errors=no", str(tmp_path / NAME))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@analyze
def test_a_wrong_directive_would_be_remarked(tmp_path: Path) -> None:
    """The test before can fail."""
    copy = tmp_path / NAME
    copy.write_text(UNIT.read_text().replace("ProtectSystem=strict", "ProtectSytem=strict"))
    done = run("systemd-analyze", "verify", "--recursive-errors=no", str(copy))
    assert "'ProtectSytem'" in done.stderr


@pytest.mark.skipif(shutil.which("systemd-sysusers") is None, reason="no systemd-sysusers")
def test_the_user_and_the_folders_are_made(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    users, folders = FOLDER / "sysusers.d/septem-sidecar.conf", FOLDER / "tmpfiles.d"
    done = run("systemd-sysusers", f"--root={tmp_path}", str(users))
    assert done.returncode == 0, done.stderr
    groups = dict(line.split(":", 1) for line in (tmp_path / "etc/group").read_text().splitlines())
    assert groups["septem-sidecar"].endswith(":envoy")
    if os.geteuid() == 0:  # it gives folders away
        made = run(
            "systemd-tmpfiles", f"--root={tmp_path}", "--create",
            str(folders / "septem-sidecar.conf"),
        )  # fmt: skip
        assert made.returncode == 0, made.stderr
        assert (tmp_path / "etc/septem").stat().st_mode & 0o7777 == 0o750
        assert (tmp_path / "etc/septem/credentials").stat().st_mode & 0o7777 == 0o700


def test_what_the_unit_restricts_is_carried_out_here_or_said() -> None:
    """What is not about restricting is the unit's life, its log and its name."""
    life = {
        "Type", "NotifyAccess", "ExecStart", "ExecReload", "Restart", "RestartSec", "WatchdogSec",
        "RestartPreventExitStatus", "TimeoutStartSec", "TimeoutStopSec", "StandardOutput",
        "StandardError", "SyslogIdentifier", "LogRateLimitIntervalSec",
    }  # fmt: skip
    used = {name for section, name in read_unit(UNIT) if section == "Service"}
    assert used == CARRIED_OUT | set(NOT_CARRIED_OUT) | life


def test_it_ends_no_worker_and_waits_for_the_drain() -> None:
    """What the unit says of its life fits what the sidecar does."""
    unit = read_unit(UNIT)
    assert words(unit, "OOMPolicy") == ["continue"]
    assert words(unit, "RestartPreventExitStatus") == ["2"]
    assert words(unit, "LogRateLimitIntervalSec") == ["0"]
    assert words(unit, "User") == words(unit, "Group") == ["septem-sidecar"]


SETTINGS = """\
listen:
  authz: {{address: "unix:/run/septem/authz.sock", workers: 2}}
  sds: {{address: "unix:/run/septem/sds.sock", peer_uids: [{envoy}]}}
  admin: {{address: "unix:/run/septem/admin.sock"}}
  drain_notice_seconds: 0
vault:
  address: {vault}
  {namespace}
  auth:
    method: approle
    role_id_file: {credentials}/role-id
    secret_id_file: {credentials}/secret-id
tokens: {{issuers: [{{issuer: "{issuer}", audiences: ["{audience}"]}}]}}
routes: [{{name: all, path_prefix: /}}]
issuers: [{{name: pki, type: vault_pki, role: edge}}]
certificates: [{{name: edge, issuer: pki, common_name: localhost}}]
audit: {{to: {{sink: file, path: /var/log/septem/audit.jsonl}}}}
"""


class Installed:
    """A host with the unit installed: its folders, and the programs in its sandbox."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.unit = read_unit(UNIT, *DROP_INS)
        for name, owner in (("run", SIDECAR_UID), ("log", SIDECAR_UID), ("etc", 0)):
            (folder / name).mkdir(mode=0o750)
            os.chown(folder / name, owner, SIDECAR_UID)
        (folder / "systemd").mkdir()
        (folder / "credentials").mkdir(mode=0o500)

    def credential(self, name: str, text: str) -> None:
        """Put a credential where LoadCredential= puts it: readable by the service alone."""
        assert f"{name}:/etc/septem/credentials/{name}" in words(self.unit, "LoadCredential")
        path = self.folder / "credentials" / name
        path.write_text(text)
        path.chmod(0o400)
        os.chown(path, SIDECAR_UID, SIDECAR_UID)
        os.chown(path.parent, SIDECAR_UID, SIDECAR_UID)

    def configure(self, text: str) -> None:
        path = self.folder / "etc/sidecar.yaml"
        path.write_text(text)
        path.chmod(0o640)
        os.chown(path, 0, SIDECAR_UID)

    def command(self, *program: str) -> list[str]:
        """Return the command that runs a program as the unit's."""
        before = sandbox(
            self.unit,
            (SIDECAR_UID, [SIDECAR_UID]),
            {"/run/septem": self.folder / "run", "/var/log/septem": self.folder / "log"},
            {
                "/etc/septem": self.folder / "etc",
                CREDENTIALS: self.folder / "credentials",
                "/run/systemd": self.folder / "systemd",
            },
            unit_path=UNIT,
        )
        return [*before, *program]

    def directive(self, name: str) -> list[str]:
        """Return the command of ExecStart= or ExecReload=."""
        (value,) = self.unit["Service", name]
        return self.command(*shlex.split(value))

    def envoy(self, program: str, *arguments: str) -> list[str]:
        """Return the command of Envoy: another user, in the group that may use the sockets."""
        before = sandbox(
            self.unit,
            (ENVOY_UID, [ENVOY_UID, SIDECAR_UID]),
            {"/run/septem": self.folder / "run"},
            {"/etc/envoy": self.folder / "envoy"},
            unit_path=None,
        )
        return [*before, program, *arguments]


@pytest.fixture(scope="module")
def installed() -> Iterator[Installed]:
    with tempfile.TemporaryDirectory(prefix="septem-unit-") as folder:
        Path(folder).chmod(0o755)
        yield Installed(Path(folder))


PROBES = {
    "the system is read-only": ("open('/usr/x', 'w')", "EROFS"),
    "its configuration is too": ("open('/etc/septem/new.yaml', 'w')", "EROFS"),
    "homes are not there": ("os.listdir('/home')", "ENOENT"),
    "no memory is written and executed": ("mmap.mmap(-1, 4096, prot=7)", "EPERM"),
    "no family of sockets but three": ("socket.socket(socket.AF_NETLINK, 3)", "EAFNOSUPPORT"),
    "no set-user-id": ("os.chmod('/run/septem/probe', 0o4755)", "EPERM"),
    "no namespace": ("call(272, 0x10000000)", "EPERM"),
    "no user namespace": ("call(272, 0x10000000 | 0x20000)", "EPERM"),
    "no new root": ("os.chroot('/run/septem')", "EPERM"),
    "no keyring": ("call(250, 0, 0)", "EPERM"),
    "no io_uring": ("call(425, 8, 0)", "EPERM"),
    "no raw sockets": ("socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)", "EPERM"),
    "other users' processes are not seen": ("open('/proc/1/status')", "ENOENT"),
    "no kernel's settings": ("open('/proc/sys/kernel/hostname')", "ENOENT"),
    "no other devices": ("open('/dev/mem')", "ENOENT"),
}
PROBE = """\
import ctypes, errno, mmap, os, socket, sys
def call(*numbers):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(*map(ctypes.c_long, numbers)) < 0:
        raise OSError(ctypes.get_errno(), "")
os.umask(0); open("/run/septem/probe", "w").close()
for source in sys.argv[1:]:
    try:
        eval(source)
    except OSError as exc:
        print(errno.errorcode[exc.errno])
    else:
        print("allowed")
"""


@pytest.mark.real
@needs_sandbox
def test_the_restrictions_restrict(installed: Installed) -> None:
    """Else the sidecar that runs under them would prove nothing."""
    sources = [source for source, _ in PROBES.values()]
    done = run(*installed.command(sys.executable, "-c", PROBE, *sources))
    assert done.returncode == 0, done.stderr
    said = dict(zip(PROBES, done.stdout.split(), strict=True))
    assert said == {name: expected for name, (_, expected) in PROBES.items()}


def envoy_file(installed: Installed, openbao: OpenBao, application: int) -> tuple[int, int]:
    """Write Envoy's file as `sidecar config init` does; return the ports of its listeners."""
    http, https, admin = free_ports(3)
    folder = installed.folder / "envoy"
    folder.mkdir()
    made = main(
        [
            *("config", "init", "--envoy", "--directory", str(folder), "--vault", openbao.address),
            *("--issuer", ISSUER, "--audience", AUDIENCE, "--host", "localhost", "--workers", "2"),
            *("--application", f"127.0.0.1:{application}", "--envoy-admin-port", str(admin)),
            *("--authz", "unix:/run/septem/authz.sock", "--sds", "unix:/run/septem/sds.sock"),
            *("--http-port", str(http), "--https-port", str(https)),
        ]
    )
    assert made == 0
    return https, http


@pytest.mark.real
@needs_sandbox
def test_the_sidecar_serves_an_envoy_of_another_user_under_the_unit(
    installed: Installed, openbao: OpenBao, issuer: Issuer
) -> None:
    form = Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    openbao.put_key(issuer.private.private_bytes(*form).decode())
    role_id, secret_id = openbao.approle_for(SIDECAR_POLICY, name="unit")
    installed.credential("role-id", role_id)
    installed.credential("secret-id", secret_id)
    settings = SETTINGS.format(
        envoy=ENVOY_UID, credentials=CREDENTIALS, vault=openbao.address, issuer=ISSUER,
        audience=AUDIENCE, namespace=f"namespace: {NAMESPACE}" if NAMESPACE else "",
    )  # fmt: skip
    installed.configure(settings)
    with ExitStack() as exits:
        manager = Systemd(str(installed.folder / "systemd/notify"))
        manager.socket.settimeout(READY_SECONDS)
        exits.callback(manager.socket.close)
        (installed.folder / "systemd/notify").chmod(0o777)
        application = SampleApplication()
        exits.callback(application.stop)
        environment = {
            "PATH": os.environ["PATH"],
            "NOTIFY_SOCKET": "/run/systemd/notify",
            "WATCHDOG_USEC": "2000000",
        }
        sidecar = exits.enter_context(
            ManagedProcess("sidecar", installed.directive("ExecStart"), environment)
        )
        main_pid = exits.enter_context(ended(sidecar))
        said_until(manager, "READY=1", sidecar)
        said_until(manager, "WATCHDOG=1", sidecar)
        confined = str(facts(installed)["workers_confined_by"])
        assert "Landlock" in confined
        assert "seccomp" in confined
        assert "missing" not in confined
        ports = envoy_file(installed, openbao, application.port)
        program = [sys.executable, "-m", "envoy._main", "-c", "/etc/envoy/envoy.yaml"]
        program += ["--disable-hot-restart", "--concurrency", "1", "--log-level", "warning"]
        envoy = exits.enter_context(ManagedProcess("Envoy", installed.envoy(*program)))
        exits.enter_context(ended(envoy))
        envoy.wait_until(lambda: listens(ports[0]), READY_SECONDS)
        edge = Client(*ports, openbao.client.secrets.pki.read_ca_certificate())
        now = int(wall_seconds())
        kid = thumbprint(issuer.private.public_key())
        token = issuer.mint({"kid": kid}, iat=now, nbf=now, exp=now + 300).decode()
        served = edge.get("/orders", (("authorization", f"Bearer {token}"),))
        assert (served.status, TENANT in served.body.decode()) == (200, True)
        assert edge.get("/orders").document()["reason"] == "token_missing"
        reload_tells_how_it_went(installed, settings)
        os.kill(main_pid, signal.SIGTERM)
        said_until(manager, "STOPPING=1", sidecar)
        assert sidecar.wait(READY_SECONDS) == 0
    log = installed.folder / "log/audit.jsonl"
    assert log.stat().st_mode & 0o777 == 0o600
    assert '"reason":"token_verified"' in log.read_text()


WIDE = """\
listen:
  authz:
    address: "unix:/run/septem/authz.sock"
    workers: 2
    decision_cache: {{socket: /run/septem/decisions.sock}}
  sds: {{address: "127.0.0.1:{sds}", mtls: {{certificate: ours, trust_bundle: peers}}}}
  admin: {{address: "unix:/run/septem/admin.sock"}}
  probes: {{address: "127.0.0.1:{probes}"}}
  metrics:
    address: "127.0.0.1:{metrics}"
    tls: {{source: managed, certificate: ours, trust_bundle: peers}}
  reports: {{address: "127.0.0.1:{reports}"}}
  drain_notice_seconds: 0
vault:
  address: {vault}
  {namespace}
  auth: {{method: token_file, path: "{credentials}/role-id"}}
tokens: {{issuers: [{{issuer: "{issuer}", audiences: ["{audience}"]}}]}}
routes: [{{name: all, path_prefix: /}}]
issuers:
  - {{name: services, type: vault_pki, mount: unit-services, role: service}}
certificates:
  - {{name: ours, issuer: services, spiffe_id: "spiffe://septemcore/sidecar"}}
trust_bundles:
  - name: peers
    roots: {{source: vault_pki, mounts: [unit-services]}}
    peers: ["spiffe://septemcore/*"]
headers: {{reports: {{}}}}
audit: {{to: {{sink: file, path: /var/log/septem/audit.jsonl}}}}
"""


@pytest.mark.real
@needs_sandbox
def test_every_listener_comes_up_for_the_units_user(
    installed: Installed, openbao: OpenBao, issuer: Issuer, capsys: pytest.CaptureFixture[str]
) -> None:
    """Most tests are root's, which no permission stops."""
    form = Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    openbao.put_key(issuer.private.private_bytes(*form).decode())
    openbao.enable_services(mount="unit-services")
    ports = free_ports(4)
    settings = WIDE.format(
        **dict(zip(("sds", "probes", "metrics", "reports"), ports, strict=True)),
        credentials=CREDENTIALS, vault=openbao.address, issuer=ISSUER, audience=AUDIENCE,
        namespace=f"namespace: {NAMESPACE}" if NAMESPACE else "",
    )  # fmt: skip
    installed.configure(settings)
    assert main(["vault", "policy", "--config", str(installed.folder / "etc/sidecar.yaml")]) == 0
    installed.credential("role-id", openbao.token_for(capsys.readouterr().out, name="wide"))
    command = installed.directive("ExecStart")
    with ManagedProcess("sidecar", command) as sidecar, ended(sidecar) as main_pid:
        _, probes, *_ = ports
        sidecar.wait_until(lambda: fetch_status(probes, "/readyz") == 200, READY_SECONDS)
        assert [port for port in ports if not listens(port)] == []
        found = {path.name for path in (installed.folder / "run").iterdir() if path.is_socket()}
        assert found == {"authz-0.sock", "authz-1.sock", "decisions.sock", "admin.sock"}
        os.kill(main_pid, signal.SIGTERM)
        assert sidecar.wait(READY_SECONDS) == 0, sidecar.tail()


def reload_tells_how_it_went(installed: Installed, settings: str) -> None:
    """As ExecReload= does, under the same restrictions."""
    installed.configure(settings.replace("path_prefix: /", "path_prefix: /orders"))
    done = run(*installed.directive("ExecReload"))
    assert done.returncode == 0, done.stderr
    installed.configure(settings + "nonsense: 1\n")
    refused = run(*installed.directive("ExecReload"))
    assert refused.returncode == 2
    assert "nonsense" in refused.stderr + refused.stdout


def said_until(manager: Systemd, wanted: str, process: ManagedProcess) -> None:
    try:
        while wanted not in manager.next():
            pass
    except TimeoutError:
        pytest.fail(f"no {wanted}: {process.tail()}")


def facts(installed: Installed) -> dict[str, object]:
    """Return what /readyz says."""
    connection = UnixConnection("localhost", timeout=10)
    connection.socket_path = str(installed.folder / "run/admin.sock")
    connection.request("GET", "/readyz")
    document: dict[str, object] = json.loads(connection.getresponse().read())
    connection.close()
    return document


@contextmanager
def ended(process: ManagedProcess) -> Iterator[int]:
    """Give the process that systemd would know as the main one, and see to its end.

    It is bubblewrap's child, to which no signal is passed on, and which changed its user.
    """
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    found: list[int] = []

    def runs() -> bool:
        found[:] = [int(pid) for pid in children.read_text().split() if user_of(pid) != "0"]
        return len(found) == 1

    process.wait_until(runs, READY_SECONDS)
    (pid,) = found
    try:
        yield pid
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        process.wait(READY_SECONDS)


def user_of(pid: str) -> str:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return "0"  # a step of the shell before, which has ended
    return str(re.findall(r"^Uid:\s+(\d+)", status, re.MULTILINE)[0])
