"""What the reader of a page has before the first command: a folder, a Vault, servers."""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

import grpc
import hvac
import yaml
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from demo.openbao import OpenBao, enable_kv
from demo.process import ManagedProcess, fetch_status, free_ports
from sidecar.common.clock import wall_seconds
from sidecar.common.http_client import make_session
from sidecar.pb import ext_authz_pb2
from sidecar.tokens.jwk import thumbprint
from tests.support.documented_commands import programs
from tests.support.documents import ROOT
from tests.support.minting import Issuer

VENV = Path(sys.executable).parent
READY_SECONDS = 30.0
ISSUER, AUDIENCE = "https://iam.example.com", "https://api.example.com"


@dataclass
class World:
    """A page's folder, and a namespace of OpenBao with a KV, a PKI and nothing of another page."""

    page: str
    folder: Path
    openbao: OpenBao
    vault: Any
    namespace: str
    exits: ExitStack
    places: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    issuer: Issuer = field(default_factory=lambda: Issuer.generate(name=ISSUER))

    @property
    def environment(self) -> Mapping[str, str]:
        vault = {"ADDR": self.openbao.address, "NAMESPACE": self.namespace}
        return {
            "PATH": str(self.folder.parent / "bin"),
            "HOME": str(self.folder),
            "LC_ALL": "C.UTF-8",
            **{f"VAULT_{name}": value for name, value in vault.items()},
            **{f"BAO_{name}": value for name, value in vault.items()},
            **self.variables,
        }

    def write(self, name: str, content: object) -> Path:
        """Write a file: a text as it is, all else as YAML."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not isinstance(content, str):
            plain = json.loads(json.dumps(content))  # no aliases, which the loader refuses
            dumped = yaml.safe_dump(plain, sort_keys=False, default_flow_style=None, width=200)
            content = re.sub(r"'{3}([^']*)'{3}", "\"'\\1'\"", dumped)  # as a person writes it
        path.write_text(content)
        return path

    def put(self, path: str, **fields: str) -> None:
        self.vault.secrets.kv.v2.create_or_update_secret(path, fields)

    def settings(self, **changes: Any) -> dict[str, Any]:
        """Return a whole configuration of the sidecar; a change replaces a section."""
        token = str(self.folder / ".vault-token")
        return {
            "vault": {
                "address": self.openbao.address,
                "namespace": self.namespace,
                "auth": {"method": "token_file", "path": token},
            },
            "tokens": {"issuers": [{"issuer": ISSUER, "audiences": [AUDIENCE]}]},
            "listen": {
                "authz": {"address": f"unix:{self.folder}/authz.sock"},
                "sds": {"address": f"unix:{self.folder}/sds.sock"},
            },
            "issuers": [{"name": "internal", "type": "vault_pki", "role": "edge"}],
            "certificates": [
                {"name": "edge", "issuer": "internal", "common_name": "app.example.com"}
            ],
            "routes": [{"name": "all", "path_prefix": "/"}],
            **changes,
        }

    @property
    def public_pem(self) -> str:
        public = self.issuer.private.public_key()
        return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    def put_key(self) -> None:
        self.put("iam/jwt-signing-key", value=self.public_pem)

    def token(self, **changes: Any) -> str:
        """Return a token that the settings accept."""
        now = wall_seconds()
        times = {"iat": now, "nbf": now, "exp": now + 600}
        header = {"kid": thumbprint(self.issuer.private.public_key()), "typ": "at+jwt"}
        header |= changes.pop("header", {})
        claims = {"aud": AUDIENCE, "iss": ISSUER, **times, **changes}
        return self.issuer.mint(header, **claims).decode()

    def serve(self, **changes: Any) -> ManagedProcess:
        """Run the sidecar; its admin port is what the page calls 127.0.0.1:9102."""
        (port,) = free_ports(1)
        self.places["127.0.0.1:9102"] = f"127.0.0.1:{port}"
        changes["listen"] = {
            **self.settings()["listen"], "admin": {"address": f"127.0.0.1:{port}"},
            **changes.get("listen", {}),
        }  # fmt: skip
        config = self.write("sidecar.yaml", self.settings(**changes))
        self.put_key()
        command = [sys.executable, "-m", "sidecar", "serve", "--config", str(config)]
        process = ManagedProcess("the sidecar", command)
        self.exits.callback(process.stop)
        process.wait_until(lambda: fetch_status(port, "/readyz") == HTTPStatus.OK, READY_SECONDS)
        return process

    def ask(self, token: str, path: str = "/", times: int = 1) -> None:
        """Have the running sidecar decide about requests."""
        request = ext_authz_pb2.CheckRequest()
        http = request.attributes.request.http
        http.method, http.path, http.host = b"GET", path.encode(), b"app.example.com"
        http.headers["authorization"] = b"Bearer " + token.encode()
        request.attributes.source.address.socket_address.address = "203.0.113.7"
        with grpc.insecure_channel(f"unix:{self.folder}/authz.sock") as channel:
            check = channel.unary_unary("/envoy.service.auth.v3.Authorization/Check")
            for _ in range(times):
                check(request.SerializeToString(), timeout=10, wait_for_ready=True)


@contextmanager
def world_of(page: str, openbao: OpenBao, folder: Path) -> Iterator[World]:
    """Make the world of a page."""
    programs(folder / "bin", ROOT, VENV)
    (folder / "page").mkdir()
    namespace = page.replace("/", "-").removesuffix(".md").lower()
    with ExitStack() as exits:
        token = openbao.client.token
        root = hvac.Client(openbao.address, token=token, session=make_session())
        root.write_data(f"sys/namespaces/{namespace}", data={})
        exits.callback(root.delete, f"sys/namespaces/{namespace}")
        vault = hvac.Client(
            openbao.address, token=token, namespace=namespace, session=make_session()
        )
        enable_kv(vault, "secret")
        vault.sys.enable_secrets_engine("pki")
        vault.sys.tune_mount_configuration("pki", max_lease_ttl="87600h")
        vault.secrets.pki.generate_root(
            "internal", "root", extra_params={"key_type": "ec", "ttl": "87600h"}
        )
        role = {"allowed_domains": "example.com", "allow_subdomains": True, "key_type": "ec"}
        vault.secrets.pki.create_or_update_role("edge", extra_params=role)
        world = World(page, folder / "page", openbao, vault, namespace, exits)
        world.places |= {
            "https://vault.internal:8200": openbao.address,
            "/var/log/septem/": f"{world.folder}/log/",
        }
        world.write(".vault-token", token).chmod(0o600)
        world.write("sidecar.yaml", world.settings())
        yield world
