"""envoy/service-mtls.yaml: two services, each with its real Envoy and sidecar, one OpenBao."""

import asyncio
import json
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from hashlib import sha256
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import load_pem_x509_certificate

from demo.application import SampleApplication
from demo.cases import AUDIENCE, ISSUER, Minter
from demo.envoyproxy import Envoy, shipped_config
from demo.openbao import OpenBao
from demo.process import ManagedProcess, fetch_status, free_ports
from sidecar.cli.main import main
from sidecar.common.clock import wall_seconds
from tests.support.authorities import Ca
from tests.support.minting import b64
from tests.support.real import TokenFile
from tests.support.waiting import wait_until
from workload.mtls import (
    PkiRole,
    PkiRoots,
    TokenFileLogin,
    Trust,
    VaultServer,
    Workload,
    WorkloadIdentity,
)
from workload.mtls.memory import in_memory
from workload.x509.anchors import read_anchors, read_chain
from workload.x509.material import Material

pytestmark = pytest.mark.real
ORDERS, PAYMENTS = "spiffe://septemcore/ns/orders/sa/api", "spiffe://septemcore/ns/payments/sa/api"
POLICY = """\
path "secret/data/iam/jwt-signing-key" { capabilities = ["read"] }
path "services/sign/service"           { capabilities = ["update"] }
path "services/revoke"                 { capabilities = ["update"] }
"""


class Service:
    """One service: application, sidecar, Envoy."""

    def __init__(self, spiffe_id: str, openbao: OpenBao, folder: Path, payments: int = 1) -> None:
        folder.mkdir()
        with ExitStack() as exits:
            self._start(spiffe_id, openbao, folder, payments, exits)
            self._exits = exits.pop_all()

    def _start(
        self, spiffe_id: str, openbao: OpenBao, folder: Path, payments: int, exits: ExitStack
    ) -> None:
        self.inbound, self.outbound, envoy, authz, sds, self.admin_port = free_ports(6)
        self.admin = f"127.0.0.1:{self.admin_port}"
        self.application = SampleApplication()
        exits.callback(self.application.stop)
        token = TokenFile(folder / "token")
        token.write(openbao.token_for(POLICY))
        config = sidecar_config(spiffe_id, openbao.address, token, (authz, sds, self.admin_port))
        path = folder / "sidecar.yaml"
        path.write_text(json.dumps(config))
        self.sidecar = ManagedProcess(
            "the sidecar", [sys.executable, "-m", "sidecar", "serve", "--config", str(path)]
        )
        exits.callback(self.sidecar.stop)
        self.sidecar.wait_until(lambda: fetch_status(self.admin_port, "/readyz") == 200, 60)
        ports = {
            "inbound": self.inbound, "outbound": self.outbound, "admin": envoy,
            "service": self.application.port, "payments": payments,
            "sidecar_authz": authz, "sidecar_sds": sds,
        }  # fmt: skip
        self.envoy = Envoy(service_config(ports), folder)
        exits.callback(self.envoy.stop)

    def stop(self) -> None:
        self._exits.close()


def sidecar_config(
    spiffe_id: str, vault: str, token: TokenFile, ports: tuple[int, int, int]
) -> dict[str, Any]:
    authz, sds, admin = ({"address": f"127.0.0.1:{port}"} for port in ports)
    roots = {"source": "vault_pki", "mounts": ["services"], "crl": True}
    callers = {"name": "callers", "roots": roots, "peers": ["spiffe://septemcore/ns/orders/*"]}
    payments = {"name": "payments", "roots": roots, "peers": [PAYMENTS]}
    return {
        "listen": {"authz": authz, "sds": sds, "admin": admin},
        # Not among the log's lines: the last few hundred of those are looked at.
        "audit": {"to": {"sink": "file", "path": str(token.path.with_name("audit.jsonl"))}},
        "vault": {"address": vault, "auth": {"method": "token_file", "path": str(token.path)}},
        "tokens": {"issuers": [{"issuer": ISSUER, "audiences": [AUDIENCE]}]},
        "routes": [
            {"name": "bound", "path_prefix": "/bound", "binding": {"by": ["certificate"]}},
            {"name": "calls", "path_prefix": "/", "auth": "none",
             "clients": ["spiffe://septemcore/ns/orders/*"]}
        ],
        "issuers": [{"name": "services", "type": "vault_pki", "mount": "services",
                     "role": "service", "ttl_seconds": 3600}],
        "certificates": [{"name": "service", "issuer": "services", "spiffe_id": spiffe_id}],
        "trust_bundles": [{**each, "poll_seconds": 1} for each in (callers, payments)],
    }  # fmt: skip


def service_config(ports: dict[str, int]) -> Any:
    """Return service-mtls.yaml on loopback at these ports, and nothing else changed."""
    config = shipped_config("service-mtls.yaml")
    static = config["static_resources"]
    addresses = {"admin": config["admin"]["address"]}
    addresses |= {each["name"]: each["address"] for each in static["listeners"]}
    for cluster in static["clusters"]:
        (locality,) = cluster["load_assignment"]["endpoints"]
        addresses[cluster["name"]] = locality["lb_endpoints"][0]["endpoint"]["address"]
    for name, port in ports.items():
        addresses[name]["socket_address"] |= {"address": "127.0.0.1", "port_value": port}
    return config


KEY = ec.generate_private_key(ec.SECP256R1())
"""Whose public half the sidecars have, for tokens."""


def public_key_pem() -> str:
    public = KEY.public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@pytest.fixture(scope="module")
def openbao() -> Iterator[OpenBao]:
    server = OpenBao()
    server.enable_services()
    server.put_key(public_key_pem())
    yield server
    server.stop()


@pytest.fixture(scope="module")
def pair(
    openbao: OpenBao, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Service, Service]]:
    folder = tmp_path_factory.mktemp("services")
    with ExitStack() as exits:
        payments = Service(PAYMENTS, openbao, folder / "payments")
        exits.callback(payments.stop)
        orders = Service(ORDERS, openbao, folder / "orders", payments.inbound)
        exits.callback(orders.stop)
        yield orders, payments


def call(port: int) -> int:
    """Call through the outbound listener, as the service does; returns the status."""
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/api/x", headers={"host": "payments"})
        with connection.getresponse() as response:
            return response.status
    except (OSError, HTTPException):
        return 0
    finally:
        connection.close()


def test_one_service_calls_the_other(pair: tuple[Service, Service]) -> None:
    orders, _ = pair
    wait_until(lambda: call(orders.outbound) == 200)


def direct(port: int, context: ssl.SSLContext) -> int:
    """Call the inbound listener itself; 0 where there is no connection."""
    connection = HTTPSConnection("127.0.0.1", port, timeout=5, context=context)
    try:
        connection.request("GET", "/api/x", headers={"host": "payments"})
        with connection.getresponse() as response:
            return response.status
    except (OSError, HTTPException):
        return 0
    finally:
        connection.close()


def test_what_a_caller_says_of_itself_reaches_no_service(
    openbao: OpenBao, pair: tuple[Service, Service]
) -> None:
    """Another service's word is not ours, in whatever spelling; and nothing is upgraded."""
    _, payments = pair
    context = client(signed(openbao, ORDERS))
    connection = HTTPSConnection("127.0.0.1", payments.inbound, timeout=10, context=context)
    spellings = {f"x{byte}{name}": "forged" for byte in "-.~!" for name in ("roles", "tenant.id")}
    try:
        headers = {"host": "payments", "x-tenant-id": "forged", **spellings}
        connection.request("GET", "/api/x", headers=headers)
        with connection.getresponse() as response:
            assert response.status == 200
            assert json.loads(response.read())["seen"] == {}
        upgrade = {"host": "payments", "connection": "upgrade, x-roles", "upgrade": "websocket"}
        connection.request("GET", "/api/x", headers=upgrade)
        with connection.getresponse() as response:
            assert response.status == 403
    finally:
        connection.close()


def signed(openbao: OpenBao, uri: str, ttl: str = "1h") -> Material:
    answer = openbao.client.write(
        "services/issue/service", uri_sans=uri, ttl=ttl, private_key_format="pkcs8"
    )["data"]
    pem = "\n".join((answer["certificate"], *answer["ca_chain"], ""))
    return Material(
        chain_pem=pem.encode(), key_pem=answer["private_key"].encode() + b"\n", names=(),
        serial=answer["serial_number"].replace(":", ""), not_before=0.0,
        not_after=float(answer["expiration"]),
    )  # fmt: skip


def client(material: Material | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if material is not None:
        with in_memory(material.chain_pem + material.key_pem) as path:
            context.load_cert_chain(path)
    return context


def test_a_token_bound_to_a_certificate_passes_on_a_connection_with_it_alone(
    openbao: OpenBao, pair: tuple[Service, Service]
) -> None:
    """RFC 8705 §3: the certificate is that of the TLS connection, as Envoy saw it."""
    _, payments = pair
    own, other = signed(openbao, ORDERS), signed(openbao, ORDERS)
    der = load_pem_x509_certificate(own.chain_pem).public_bytes(Encoding.DER)
    cnf = {"x5t#S256": b64(sha256(der).digest())}
    bound = Minter(KEY, wall_seconds()).good(cnf=cnf)
    bearer = Minter(KEY, wall_seconds()).good()
    forged = {"x-forwarded-client-cert": f'Cert="{quote(own.chain_pem.decode())}"'}

    def ask(material: Material, token: str, path: str = "/bound/x", **more: str) -> str:
        context = client(material)
        connection = HTTPSConnection("127.0.0.1", payments.inbound, timeout=10, context=context)
        headers = {"host": "payments", "authorization": f"Bearer {token}", **more}
        connection.request("GET", path, headers=headers)
        with connection.getresponse() as response:
            answer = json.loads(response.read())
        connection.close()
        return str(answer.get("reason", response.status))

    assert ask(own, bound) == "200"
    assert ask(other, bound) == "certificate_mismatch"
    assert ask(other, bound, **forged) == "certificate_mismatch"
    assert ask(own, bearer) == "token_not_bound"


def test_a_service_without_a_good_certificate_is_refused(
    openbao: OpenBao, pair: tuple[Service, Service]
) -> None:
    _, payments = pair
    short = signed(openbao, ORDERS, "2s")
    assert direct(payments.inbound, client(signed(openbao, ORDERS))) == 200
    assert direct(payments.inbound, client(None)) == 0, "none"
    assert direct(payments.inbound, client(Ca("Septem services root").material(ORDERS))) == 0
    someone = signed(openbao, "spiffe://septemcore/ns/other/sa/api")
    assert direct(payments.inbound, client(someone)) == 0, "not on the list"
    climbs = signed(openbao, "spiffe://septemcore/ns/orders/../payments/sa/api")
    assert direct(payments.inbound, client(climbs)) == 0, "below the list by its spelling alone"
    two = signed(openbao, f"{ORDERS},spiffe://septemcore/ns/payments/sa/api")
    assert direct(payments.inbound, client(two)) == 403, "Envoy takes any of its URIs, a Check none"
    while wall_seconds() <= short.not_after + 1:
        time.sleep(0.1)
    assert direct(payments.inbound, client(short)) == 0, "expired"


async def test_a_python_service_without_envoy_calls_one_with_it(
    openbao: OpenBao, pair: tuple[Service, Service], token_file: TokenFile
) -> None:
    _, payments = pair
    token_file.write(openbao.token_for(POLICY))
    role = PkiRole(mount="services", role="service", ttl_seconds=3600)
    trust = Trust(roots=PkiRoots(mounts=("services",), crl=True))
    vault = VaultServer(address=openbao.address, login=TokenFileLogin(path=str(token_file.path)))
    async with Workload(vault, role, trust, spiffe_id=ORDERS) as me:
        right, wrong = me.client_context([PAYMENTS]), me.client_context([ORDERS])
        assert await asyncio.to_thread(direct, payments.inbound, right) == 200
        assert await asyncio.to_thread(direct, payments.inbound, wrong) == 0


def test_envoy_refuses_a_server_that_is_not_the_one_it_means(
    openbao: OpenBao, tmp_path: Path
) -> None:
    """Whoever answers at the address of payments: another service, or another CA's."""
    root = openbao.client.secrets.pki.read_ca_certificate(mount_point="services")
    me = WorkloadIdentity(wall_seconds)
    me.show(Ca("Septem services root").material(PAYMENTS))
    me.believe(read_anchors([read_chain(root)], [], wall_seconds()))
    server = _Https(me.server_context(["spiffe://septemcore/*"]))
    try:
        orders = Service(ORDERS, openbao, tmp_path / "orders", server.port)
        try:
            assert {call(orders.outbound) for _ in range(5)} == {503}, "another CA's"
            me.show(signed(openbao, ORDERS))
            assert {call(orders.outbound) for _ in range(5)} == {503}, "another service's"
            assert server.requests == 0
            me.show(signed(openbao, PAYMENTS))
            wait_until(lambda: call(orders.outbound) != 503 or server.requests > 0)
        finally:
            orders.stop()
    finally:
        server.stop()


class _Https:
    """A server that counts the requests that reach it."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.application = SampleApplication()
        server = self.application._server
        self.port = self.application.port
        self.requests = 0
        handler = server.RequestHandlerClass
        wrapped = server.get_request

        def get_request() -> Any:
            raw, address = wrapped()
            raw.settimeout(5)
            connection = context.wrap_socket(raw, server_side=True)
            self.requests += 1
            return connection, address

        server.get_request = get_request  # type: ignore[method-assign]
        assert handler is not None

    def stop(self) -> None:
        self.application.stop()


def certs(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    capsys.readouterr()
    assert main(["certs", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def roots(service: Service) -> int:
    """Count the reads that brought something new: versions in the sidecar's log."""
    return sum("trust_bundle is at version" in line for line in list(service.sidecar.lines))


def test_a_ca_is_replaced_under_traffic_and_no_request_fails(
    openbao: OpenBao, pair: tuple[Service, Service], capsys: pytest.CaptureFixture[str]
) -> None:
    orders, payments = pair
    old = client(signed(openbao, ORDERS))
    statuses: list[int] = []
    ended = threading.Event()

    def load() -> None:
        while not ended.is_set():
            statuses.append(call(orders.outbound))
            # A connection of its own now and then, past Envoy's pool: a handshake each.
            statuses.append(direct(payments.inbound, fresh[0]))

    fresh = [client(signed(openbao, ORDERS))]
    thread = threading.Thread(target=load)
    thread.start()
    try:
        before = roots(orders), roots(payments)
        openbao.make_root(beside=True)
        wait_until(lambda: roots(orders) >= before[0] + 2 and roots(payments) >= before[1] + 2)
        openbao.client.write("services/config/issuers", default="next")
        for service in pair:
            serial = certs(capsys, "list", "--admin", service.admin)[0]["serial"]
            certs(capsys, "renew", "service", "--admin", service.admin)
            wait_until(partial(holds_another, service, serial, capsys))
        fresh[0], count = client(signed(openbao, ORDERS)), len(statuses)
        wait_until(lambda: len(statuses) > count + 20)
        issuers = openbao.client.list("services/issuers")["data"]["key_info"]
        (gone,) = [key for key, info in issuers.items() if not info["is_default"]]
        before = roots(orders), roots(payments)
        openbao.client.delete(f"services/issuer/{gone}")
        wait_until(lambda: roots(orders) >= before[0] + 2 and roots(payments) >= before[1] + 2)
        wait_until(lambda: direct(payments.inbound, old) == 0)
        count = len(statuses)
        wait_until(lambda: len(statuses) > count + 10)
    finally:
        ended.set()
        thread.join(30)
    assert set(statuses) == {200}
    assert len(statuses) > 50


def held(service: Service, capsys: pytest.CaptureFixture[str]) -> str:
    return str(certs(capsys, "list", "--admin", service.admin)[0]["serial"])


def holds_another(service: Service, serial: str, capsys: pytest.CaptureFixture[str]) -> bool:
    return held(service, capsys) not in {serial, ""}


def test_a_revoked_certificate_is_refused_and_replaced(
    openbao: OpenBao, pair: tuple[Service, Service], capsys: pytest.CaptureFixture[str]
) -> None:
    orders, payments = pair
    stolen = signed(openbao, ORDERS)
    assert direct(payments.inbound, client(stolen)) == 200
    openbao.client.write("services/revoke", certificate=first(stolen.chain_pem))
    wait_until(lambda: direct(payments.inbound, client(stolen)) == 0)
    before = held(orders, capsys)
    row = certs(capsys, "revoke", "service", "--admin", orders.admin)
    assert row["serial"] == before
    assert row["state"] == "revoked"
    wait_until(lambda: held(orders, capsys) != before)
    wait_until(lambda: call(orders.outbound) == 200)


def first(chain: bytes) -> str:
    end = "-----END CERTIFICATE-----"
    return chain.decode().partition(end)[0] + end
