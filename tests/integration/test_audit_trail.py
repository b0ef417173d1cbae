"""The audit trail of real processes: killed, restarted beside each other, stopped, and verified."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from demo.openbao import SIDECAR_POLICY, OpenBao
from sidecar.common.clock import wall_seconds
from sidecar.pb import ext_authz_pb2
from sidecar.tokens.jwk import thumbprint
from tests.audit_trail.policies import policy
from tests.support.minting import AUDIENCE, ISSUER, Issuer
from tests.support.real import NAMESPACE, TokenFile
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real
CONFIG = """\
listen:
  authz: {{address: "unix:{folder}/authz.sock"}}
  admin: {{address: "unix:{folder}/admin.sock"}}
  drain_seconds: 1
  drain_notice_seconds: 0
vault: {{address: "{vault}", auth: {{method: token_file, path: {token}}}{namespace}}}
tokens: {{issuers: [{{issuer: "{issuer}", audiences: ["{audience}"], keys: {{source: vault_kv}}}}]}}
routes: [{{name: all, path_prefix: /}}]
audit:
  to: {{sink: file, path: {folder}/audit.jsonl, max_bytes: 60000, keep: 100}}
  checkpoints: {{key: audit, mount: transit-t, seconds: {seconds}, file: {folder}/kept}}
  pseudonyms: {{path: audit/trail-keys}}
"""
CHECKS = 60


class Edge:
    """A sidecar's process, and who asks it."""

    def __init__(self, folder: Path, token: bytes) -> None:
        self._folder = folder
        request = ext_authz_pb2.CheckRequest()
        http = request.attributes.request.http
        http.method, http.path, http.host = b"GET", b"/api", b"a.example"
        http.headers["authorization"] = b"Bearer " + token
        request.attributes.source.address.socket_address.address = "10.9.8.7"
        self._request = request.SerializeToString()

    def command(self, *words: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "sidecar", *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    @contextlib.contextmanager
    def serving(self) -> Iterator["subprocess.Popen[bytes]"]:
        """Run the sidecar; what is left of it is killed."""
        socket = self._folder / "authz.sock"
        socket.unlink(missing_ok=True)
        command = [sys.executable, "-m", "sidecar", "serve", "--config", self.config]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            try:
                wait_until(socket.exists, seconds=30)
                yield process
            finally:
                process.kill()

    @property
    def config(self) -> str:
        return str(self._folder / "sidecar.yaml")

    def ask(self, times: int = CHECKS) -> None:
        with grpc.insecure_channel(f"unix:{self._folder}/authz.sock") as channel:
            check = channel.unary_unary("/envoy.service.auth.v3.Authorization/Check")
            for _ in range(times):
                check(self._request, timeout=10, wait_for_ready=True)

    def written(self) -> str:
        files = [*self._folder.glob("audit.jsonl*")]
        return "".join(each.read_text("utf-8", "replace") for each in files if each.exists())


@pytest.fixture
def edge(openbao: OpenBao, token_file: TokenFile, tmp_path: Path) -> Edge:
    issuer = Issuer.generate()
    public = issuer.private.public_key()
    openbao.put_key(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())
    openbao.client.sys.enable_secrets_engine("transit", path="transit-t")
    openbao.client.secrets.transit.create_key("audit", key_type="ed25519", mount_point="transit-t")
    ours = policy("Sidecar: checkpoints").replace("transit/", "transit-t/")
    keys = policy("Sidecar: pseudonyms").replace("audit/pseudonyms", "audit/trail-keys")
    token_file.write(openbao.token_for(f"{SIDECAR_POLICY}{ours}{keys}", name="audit-trail"))
    now = int(wall_seconds())
    (tmp_path / "sidecar.yaml").write_text(
        CONFIG.format(
            folder=tmp_path, vault=openbao.address, token=token_file.path, issuer=ISSUER,
            audience=AUDIENCE, seconds=1,
            namespace=f", namespace: {NAMESPACE}" if NAMESPACE else "",
        )
    )  # fmt: skip
    header = {"kid": thumbprint(public), "typ": "at+jwt"}
    token = issuer.mint(header, iat=now - 5, nbf=now - 5, exp=now + 600, sub="user-of-the-trail")
    return Edge(tmp_path, token)


def test_a_trail_of_processes_that_are_killed_and_replaced_verifies(
    edge: Edge, tmp_path: Path
) -> None:
    with edge.serving() as process:
        edge.ask()
        wait_until(lambda: "cause start" in edge.written(), seconds=20)
        process.kill()
        process.wait()
    with edge.serving() as process:
        edge.ask()
        path = Path(edge.config)
        path.write_text(path.read_text().replace("seconds: 1,", "seconds: 2,"))
        admin = f"unix:{tmp_path}/admin.sock"
        done = edge.command("config", "reload", "--allow-restart", "--admin", admin)
        assert done.returncode == 0, done.stderr
        assert "taken over" in done.stdout
        edge.ask()
        process.terminate()
        assert process.wait(timeout=30) == 0
    key = edge.command("audit", "key", "--config", edge.config).stdout
    (tmp_path / "key").write_text(key)
    files = [str(each) for each in tmp_path.glob("audit.jsonl*")]
    assert len(files) > 2
    verify = ("audit", "verify", *files, "--key", str(tmp_path / "key"), "--live")
    done = edge.command(*verify, "--checkpoint", str(tmp_path / "kept"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("trail ") == 2, "one chain of all the processes, and it holds"
    written = edge.written()
    assert written.count('"reason":"token_verified"') >= 2 * CHECKS
    assert written.count("cause stop") == 2
    assert "user-of-the-trail" not in written
    assert "10.9.8.7" not in written
    victim = max((Path(each) for each in files), key=lambda each: each.stat().st_size)
    victim.write_bytes(victim.read_bytes().replace(b'"status":200', b'"status":201', 1))
    done = edge.command(*verify)
    assert done.returncode == 1
    assert f"{victim}:" in done.stdout
    assert "altered" in done.stdout
