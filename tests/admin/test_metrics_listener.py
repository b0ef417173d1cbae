"""``listen.metrics``: ``/metrics`` and nothing else, for who has a certificate; real handshakes."""

import asyncio
import gzip
import json
import os
import socket
import ssl
import sysconfig
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote
from urllib.request import urlopen

import pytest

from demo.process import ManagedProcess, free_ports
from sidecar.admin import tls_files
from sidecar.admin.metrics_listener import open_metrics
from sidecar.admin.routes import METRICS_ROUTE, KeyRefresh, admin_routes
from sidecar.config import model, parse_config
from sidecar.context import AppContext
from sidecar.transport import tls_guard
from sidecar.transport.identities import Trusted
from sidecar.transport.listener_bounds import METRICS
from tests.config.documents import MINIMAL
from tests.support.authorities import Ca, pem
from tests.support.waiting import until, wait_until
from workload.mtls.memory import in_memory
from workload.x509.anchors import read_anchors
from workload.x509.material import Material

OURS, CLIENTS, OTHER = Ca("servers"), Ca("scrapers"), Ca("others")
A, B = "spiffe://septemcore/prometheus", "spiffe://septemcore/somebody"
GET = b"GET /metrics HTTP/1.1\r\nhost: edge\r\nconnection: close\r\n\r\n"
PROMETHEUS = Path(sysconfig.get_path("scripts")) / "prometheus"


class Files:
    """The four files of ``listen.metrics.tls``, as who renews them writes them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.show(OURS.material(dns_names=["localhost"]))
        self.believe(CLIENTS)

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def write(self, name: str, content: str | bytes) -> None:
        fresh = self.folder / f"{name}.new"
        fresh.write_bytes(content.encode() if isinstance(content, str) else content)
        fresh.rename(self.folder / name)

    def show(self, material: Material) -> None:
        self.write("tls.key", material.key_pem)
        self.write("tls.crt", material.chain_pem)

    def believe(self, ca: Ca, *revoked: int) -> None:
        self.write("crl.pem", pem(ca.crl(revoked)))
        self.write("ca.pem", pem(ca.certificate))

    def settings(self, *clients: str, crl: bool = False, version: str = "1.3") -> model.FilesTls:
        return model.FilesTls(
            certificate_file=self.path("tls.crt"),
            key_file=self.path("tls.key"),
            client_ca_file=self.path("ca.pem"),
            client_crl_file=self.path("crl.pem") if crl else None,
            clients=clients,
            min_version="1.2" if version == "1.2" else "1.3",
        )


class Open(NamedTuple):
    """A listener that is open, and what belongs to it."""

    context: AppContext
    guard: tls_guard.TlsGuard

    @property
    def port(self) -> int:
        return int(self.guard.bound_address.rpartition(":")[2])

    def counted(self, name: str) -> float:
        lines = self.context.metrics.render().decode().splitlines()
        return sum(float(each.split()[-1]) for each in lines if each.startswith(f"{name} "))


Start = Callable[..., Awaitable[Open]]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    context = AppContext(parse_config(MINIMAL, "test"))

    async def make(tls: model.FilesTls | model.ManagedTls, most: int = 16) -> Open:
        async def refreshed() -> KeyRefresh:
            return KeyRefresh("active", complete=True)

        routes = admin_routes(context.health, context.metrics, refreshed)
        context.bounds = {METRICS: most}
        settings = model.MetricsListen(address="127.0.0.1:0", tls=tls)
        return Open(
            context, await open_metrics(context, settings, {METRICS_ROUTE: routes[METRICS_ROUTE]})
        )

    yield make
    await context.stack.aclose()


def client(material: Material | None, version: str = "1.3") -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.load_verify_locations(cadata=pem(OURS.certificate))
    if version != "1.3":
        made.set_ciphers("DEFAULT:@SECLEVEL=0")
        only = {"1.1": ssl.TLSVersion.TLSv1_1, "1.2": ssl.TLSVersion.TLSv1_2}[version]
        made.minimum_version = made.maximum_version = only
    if material is not None:
        with in_memory(material.chain_pem + material.key_pem) as path:
            made.load_cert_chain(path)
    return made


async def ask(port: int, context: ssl.SSLContext, raw: bytes = GET) -> bytes:
    """Return the whole answer; nothing where the connection is refused."""
    try:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=context, server_hostname="localhost"
        )
        writer.write(raw)
        answer = await asyncio.wait_for(reader.read(), 10)
        writer.close()
    except OSError:
        return b""
    return answer


def status(answer: bytes) -> int:
    return int(answer.split()[1]) if answer else 0


COMERS: list[tuple[str, tuple[str, ...], Callable[[], Material | None], bool]] = [
    ("who has a certificate of the CA", (), CLIENTS.material, True),
    ("nobody", (), lambda: None, False),
    ("another CA's", (), lambda: OTHER.material(A), False),
    ("the servers' CA's", (), lambda: OURS.material(A), False),
    ("one that has ended", (), lambda: CLIENTS.material(A, hours=-1), False),
    ("who is listed", (A, "prom.internal"), lambda: CLIENTS.material(A), True),
    ("a listed DNS name", (A, "prom.internal"),
     lambda: CLIENTS.material(dns_names=["prom.internal"]), True),
    ("who is not listed", (A,), lambda: CLIENTS.material(B), False),
    ("a subject alone, with a list", (A,), CLIENTS.material, False),
]  # fmt: skip


@pytest.mark.parametrize(
    ("listed", "make", "comes_in"), [r[1:] for r in COMERS], ids=[r[0] for r in COMERS]
)
async def test_who_may_read(
    start: Start, files: Files, listed: tuple[str, ...], make: Callable[[], Material | None],
    comes_in: bool,
) -> None:  # fmt: skip
    opened = await start(files.settings(*listed))
    answer = await ask(opened.port, client(make()))
    if comes_in:
        assert status(answer) == 200
        assert b"\nseptem_build_info{" in answer
    else:
        assert answer == b""
        await until(lambda: opened.counted("septem_metrics_peers_refused_total") == 1)


VERSIONS = [
    ("1.3", "1.3", True), ("1.3", "1.2", False), ("1.2", "1.3", True), ("1.2", "1.2", True),
    ("1.2", "1.1", False),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize(("least", "offered", "comes_in"), VERSIONS)
async def test_versions(
    start: Start, files: Files, least: str, offered: str, comes_in: bool
) -> None:
    opened = await start(files.settings(version=least))
    answer = await ask(opened.port, client(CLIENTS.material(), offered))
    assert (status(answer) == 200) is comes_in


async def test_a_session_of_tls_1_2_is_not_resumed(start: Start, files: Files) -> None:
    """A resumed one shows no certificate, and would outlive its revocation."""
    opened = await start(files.settings(version="1.2"))
    context = client(CLIENTS.material(), "1.2")

    def twice() -> list[bool]:
        reused, session = [], None
        for _ in range(2):
            raw = socket.create_connection(("127.0.0.1", opened.port), timeout=10)
            with context.wrap_socket(
                raw, server_hostname="localhost", session=session
            ) as connection:
                connection.sendall(GET)
                assert connection.recv(12) == b"HTTP/1.1 200"
                reused.append(connection.session_reused is True)
                session = connection.session
        return reused

    assert await asyncio.to_thread(twice) == [False, False]


REQUESTS: list[tuple[str, bytes, int]] = [
    ("HEAD", b"HEAD /metrics HTTP/1.1\r\nhost: e\r\nconnection: close\r\n\r\n", 200),
    ("POST", b"POST /metrics HTTP/1.1\r\nhost: e\r\nconnection: close\r\n\r\n", 405),
    ("a body", b"GET /metrics HTTP/1.1\r\nhost: e\r\ncontent-length: 1\r\n\r\nx", 413),
    ("readyz", b"GET /readyz HTTP/1.1\r\nhost: e\r\nconnection: close\r\n\r\n", 404),
    ("livez", b"GET /livez HTTP/1.1\r\nhost: e\r\nconnection: close\r\n\r\n", 404),
    ("keys", b"POST /keys/refresh HTTP/1.1\r\nhost: e\r\nconnection: close\r\n\r\n", 404),
    ("the page", b"GET / HTTP/1.1\r\nhost: e\r\nconnection: close\r\n\r\n", 404),
    ("another spelling", b"GET //metrics HTTP/1.1\r\nhost: e\r\nconnection: close\r\n\r\n", 404),
    ("a long head", b"GET /metrics HTTP/1.1\r\nhost: e\r\nx: " + b"x" * 100_000 + b"\r\n\r\n", 431),
    ("no HTTP", b"\x16\x03\x01\x02\x00\r\n\r\n", 400),
]


@pytest.mark.parametrize(("raw", "expected"), [r[1:] for r in REQUESTS],
                         ids=[r[0] for r in REQUESTS])  # fmt: skip
async def test_it_answers_one_path_and_two_methods(
    start: Start, files: Files, raw: bytes, expected: int
) -> None:
    opened = await start(files.settings())
    answer = await ask(opened.port, client(CLIENTS.material()), raw)
    assert status(answer) == expected
    if raw.startswith(b"HEAD"):
        assert answer.endswith(b"\r\n\r\n")


async def test_openmetrics_and_gzip_as_on_the_admin_port(start: Start, files: Files) -> None:
    opened = await start(files.settings())
    wishes = b"accept: application/openmetrics-text;version=1.0.0\r\naccept-encoding: gzip\r\n"
    raw = GET.replace(b"connection", wishes + b"connection")
    head, _, body = (await ask(opened.port, client(CLIENTS.material()), raw)).partition(b"\r\n\r\n")
    assert b"content-type: application/openmetrics-text; version=1.0.0" in head
    assert gzip.decompress(body).endswith(b"# EOF\n")


async def test_renewed_files_are_shown_and_believed_without_a_restart(
    start: Start, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls_files, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(tls_guard, "JUDGE_SECONDS", 0.02)
    opened = await start(files.settings(crl=True))
    scraper, first = CLIENTS.material(A), serial_at(opened.port, client(CLIENTS.material()))
    renewed = OURS.material(dns_names=["localhost"], hours=6)
    assert await first != renewed.serial
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", opened.port, ssl=client(scraper), server_hostname="localhost"
    )
    files.show(renewed)
    await until(lambda: opened.counted(ENDS) == renewed.not_after)
    assert await serial_at(opened.port, client(scraper)) == renewed.serial
    files.believe(CLIENTS, int(scraper.serial, 16))
    with pytest.raises((OSError, asyncio.IncompleteReadError)):
        await asyncio.wait_for(reader.readexactly(1), 10)
    writer.close()
    assert await ask(opened.port, client(scraper)) == b"", "nor does it come back"
    assert status(await ask(opened.port, client(CLIENTS.material(B)))) == 200
    assert opened.counted("septem_metrics_peers_cut_off_total") == 1


ENDS = "septem_metrics_certificate_not_after_timestamp_seconds"


async def serial_at(port: int, context: ssl.SSLContext) -> str:
    _, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname="localhost"
    )
    found = writer.get_extra_info("ssl_object").getpeercert()["serialNumber"]
    writer.transport.abort()
    return str(found).lower().lstrip("0")


async def test_a_managed_certificate_is_shown_once_it_is_there(start: Start) -> None:
    opened = await start(model.ManagedTls(certificate="metrics", trust_bundle="scrapers"))
    scraper = client(CLIENTS.material(A))
    assert await ask(opened.port, scraper) == b""
    assert opened.counted(ENDS) == 0
    held = {"metrics": OURS.material(dns_names=["localhost"])}
    anchors = read_anchors([CLIENTS.chain], (), CLIENTS.now.timestamp())
    trusted = {"scrapers": Trusted(anchors, (A,))}
    opened.context.identities.served_by(held.get, trusted.__getitem__)
    assert status(await ask(opened.port, scraper)) == 200
    assert await ask(opened.port, client(CLIENTS.material(B))) == b""
    trusted["scrapers"] = Trusted(anchors, (B,))
    assert await ask(opened.port, scraper) == b"", "a reload has another list"
    held["metrics"] = renewed = OURS.material(dns_names=["localhost"], hours=6)
    assert await serial_at(opened.port, client(CLIENTS.material(B))) == renewed.serial


async def test_who_is_slow_takes_nothing_from_who_is_not(start: Start, files: Files) -> None:
    """Silent before the handshake, and after it: an admitted peer may be no better than others."""
    opened = await start(files.settings(), most=16)
    silent = [await asyncio.open_connection("127.0.0.1", opened.port) for _ in range(30)]
    scraper = client(CLIENTS.material())
    assert status(await ask(opened.port, scraper)) == 200
    slow = []
    for _ in range(12):
        pair = await asyncio.open_connection(
            "127.0.0.1", opened.port, ssl=scraper, server_hostname="localhost"
        )
        pair[1].write(b"GET /metrics HT")
        slow.append(pair)
    await until(lambda: len(opened.guard._connections) == 12)
    assert await ask(opened.port, scraper) == b"", "there is no room"
    ends = [await asyncio.wait_for(reader.read(), 30) for reader, _ in slow]
    assert {status(each) for each in ends} == {408}
    assert status(await ask(opened.port, scraper)) == 200
    for _, writer in (*silent, *slow):
        writer.transport.abort()


@pytest.mark.skipif(not PROMETHEUS.is_file(), reason="no prometheus: tools/get-promtool has no apt")
async def test_prometheus_scrapes(start: Start, files: Files, tmp_path: Path) -> None:
    opened = await start(files.settings(A))
    scraper = CLIENTS.material(A)
    (tmp_path / "scraper.pem").write_bytes(scraper.chain_pem)
    (tmp_path / "scraper.key").write_bytes(scraper.key_pem)
    (tmp_path / "servers.pem").write_text(pem(OURS.certificate))
    tls = {
        "ca_file": str(tmp_path / "servers.pem"),
        "cert_file": str(tmp_path / "scraper.pem"),
        "key_file": str(tmp_path / "scraper.key"),
        "server_name": "localhost",
    }
    job = {
        "job_name": "septem", "scheme": "https", "scrape_interval": "1s", "tls_config": tls,
        "static_configs": [{"targets": [f"127.0.0.1:{opened.port}"]}],
    }  # fmt: skip
    (tmp_path / "prometheus.yaml").write_text(json.dumps({"scrape_configs": [job]}))
    port = free_ports(1)[0]
    with ManagedProcess(
        "Prometheus",
        [str(PROMETHEUS), f"--config.file={tmp_path}/prometheus.yaml",
         f"--storage.tsdb.path={tmp_path}/data", f"--web.listen-address=127.0.0.1:{port}"],
        dict(os.environ),
    ) as server:  # fmt: skip

        def shown() -> list[dict[str, object]]:
            query = quote('up{job="septem"} == 1 and on(instance) septem_build_info')
            try:
                with urlopen(f"http://127.0.0.1:{port}/api/v1/query?query={query}") as answer:
                    found: list[dict[str, object]] = json.load(answer)["data"]["result"]
            except OSError:
                return []
            return found

        await asyncio.to_thread(wait_until, shown, explain=lambda: "\n".join(server.lines))
    assert opened.counted("septem_metrics_peers_refused_total") == 0
