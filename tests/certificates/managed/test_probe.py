"""The probe of a listener: when it connects, for how long it tries, and what it reports."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sidecar.certificates.managed.probe import PUBLIC, Prober, Roots, Target, look, served_serial
from sidecar.certificates.managed.store import CertificateStore
from sidecar.common.clock import wall_seconds
from sidecar.config.certificates import Probe
from tests.support.authorities import Ca, pem
from workload.x509.material import Material

CA = Ca("platform")
END = b"-----END CERTIFICATE-----\n"
LOWER = Ca("lower", parent=CA)
ROOTS = pem(CA.certificate).encode()


class Listener:
    """A real TLS listener, whose certificate is changed at will."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.names: list[str | None] = []
        self._context.sni_callback = lambda _socket, name, _context: self.names.append(name)
        self.dials = 0

    def serve(self, name: str = "a.example", *, whole: bool = True) -> Material:
        """Serve a new certificate from now on; return it as the sidecar holds it.

        Not ``whole``: the listener leaves the intermediate out.
        """
        made = LOWER.material(dns_names=(name,))
        chain = made.chain_pem if whole else made.chain_pem.partition(END)[0] + END
        path = self._folder / "listener.pem"
        path.write_bytes(chain + made.key_pem)
        self._context.load_cert_chain(path)
        return made

    async def start(self) -> None:
        self.server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._context)
        port = self.server.sockets[0].getsockname()[1]
        self.address = f"127.0.0.1:{port}"

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.dials += 1
        await reader.read()
        writer.close()


def another() -> Material:
    """A certificate that the listener does not serve."""
    return LOWER.material(dns_names=("a.example",))


@pytest.fixture
async def listener(tmp_path: Path) -> AsyncIterator[Listener]:
    made = Listener(tmp_path)
    made.serve()
    await made.start()
    yield made
    made.server.close()
    await made.server.wait_closed()


async def test_the_serial_is_the_listeners_for_that_name(listener: Listener) -> None:
    served = listener.serve()
    assert await served_serial(listener.address, "probe.a.example") == served.serial
    assert listener.names == ["probe.a.example"]


async def test_where_nobody_listens_there_is_no_handshake(listener: Listener) -> None:
    listener.server.close()
    await listener.server.wait_closed()
    seen = await served_serial(listener.address, "a.example")
    assert seen == "no handshake (ConnectionRefusedError)"


class World:
    """A prober of one listener. Each pause between two connections takes two seconds."""

    def __init__(self, listener: Listener, *, within_seconds: float = 5.0) -> None:
        self.now = 0.0
        self.listener = listener
        self.store = CertificateStore(lambda: 0.0)
        self.changes: list[tuple[str, bool, str]] = []
        settings = Probe(address=listener.address, within_seconds=within_seconds)
        self.target = Target(settings, "a.example")
        self.at_pause: dict[int, Material] = {}
        self.pauses: list[float] = []
        self.prober = Prober(
            {"edge": self.target}, self.store,
            clock=lambda: self.now, now=wall_seconds, sleep=self.sleep,
            on_change=lambda *change: self.changes.append(change),
        )  # fmt: skip

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += 2.0
        if (replaced := self.at_pause.get(len(self.pauses))) is not None:
            self.store.put("edge", replaced)

    async def probe(self) -> None:
        await self.prober._probe("edge", self.target)


@pytest.fixture
def world(listener: Listener) -> World:
    return World(listener)


async def test_a_listener_that_serves_it_matches_at_once(world: World) -> None:
    world.store.put("edge", world.listener.serve())
    await world.probe()
    assert world.prober.outcomes == {"match": 1, "mismatch": 0}
    assert world.prober.healthy == {"edge": True}
    view = world.prober.views["edge"]
    assert (view.difference, view.since) == ("", view.at)
    assert (world.pauses, world.changes) == ([], []), "all is well from the start: nothing to say"


async def test_one_that_never_does_is_a_mismatch_when_the_time_is_over(world: World) -> None:
    other = world.listener.serve()
    world.store.put("edge", another())
    await world.probe()
    assert len(world.pauses) == 3, "at 0, 2, 4 and 6 seconds, of 5"
    assert world.pauses == sorted(world.pauses)
    assert len(world.changes) == 1
    assert world.changes[0][:2] == ("edge", False)
    assert world.changes[0][2].startswith(f"it serves serial {other.serial} of CN=lower")
    first = world.prober.views["edge"]
    assert first.difference.startswith(f"it serves serial {other.serial}")
    await world.probe()
    again = world.prober.views["edge"]
    assert (again.since, again.at > first.at) == (first.since, True)
    assert world.prober.outcomes == {"match": 0, "mismatch": 2}
    assert len(world.changes) == 1, "it is reported when it changes"
    world.store.put("edge", other)
    await world.probe()
    assert world.changes[1:] == [("edge", True, "")]


async def test_a_certificate_that_is_replaced_meanwhile_is_the_one_to_find(world: World) -> None:
    served = world.listener.serve()
    world.store.put("edge", another())
    world.at_pause[1] = served
    await world.probe()
    assert world.prober.outcomes == {"match": 1, "mismatch": 0}


async def test_without_a_certificate_nothing_is_reported(world: World) -> None:
    await world.probe()
    assert world.prober.outcomes == {"match": 0, "mismatch": 0}
    assert world.prober.healthy == {}


async def test_a_change_is_probed_at_once_and_of_its_own_name_alone(world: World) -> None:
    probing = asyncio.create_task(world.prober.run())
    world.store.put("other", another())
    for _ in range(5):
        await asyncio.sleep(0)
    assert world.listener.dials == 0
    world.store.put("edge", world.listener.serve())
    async with asyncio.timeout(10):
        while not world.prober.outcomes["match"]:
            await asyncio.sleep(0)
    probing.cancel()
    await asyncio.gather(probing, return_exceptions=True)
    assert world.prober.status.outcomes == {"ok": 1}


VERIFIED: list[tuple[str, Roots, str, bool, str]] = [
    ("by its roots", ROOTS, "a.example", True, ""),
    ("nothing is verified", None, "a.example", False, ""),
    ("an intermediate is missing", ROOTS, "a.example", False,
     "a client that believes its trust bundle's roots rejects it: unable to get local issuer"),
    ("a CA that the public does not know", PUBLIC, "a.example", True,
     "a client that believes the public roots rejects it: "),
    ("another name", ROOTS, "b.example", True, "Hostname mismatch"),
]  # fmt: skip


@pytest.mark.parametrize("row", VERIFIED, ids=[row[0] for row in VERIFIED])
async def test_it_is_what_a_client_would_verify(
    listener: Listener, row: tuple[str, Roots, str, bool, str]
) -> None:
    _, roots, name, whole, refusal = row
    served = listener.serve(name, whole=whole)
    seen = await look(listener.address, "a.example", roots)
    assert seen.serial == served.serial, "the certificate is seen, refused or not"
    assert (refusal in seen.refusal) if refusal else seen.refusal == ""


async def test_a_service_that_is_known_by_its_id_alone_has_no_host_name(
    listener: Listener,
) -> None:
    listener.serve("b.example")
    assert (await look(listener.address, "probe", ROOTS, has_name=False)).refusal == ""
    assert (await look(listener.address, "probe", ROOTS)).refusal != ""


async def test_the_alert_says_what_is_missing(world: World) -> None:
    world.store.put("edge", world.listener.serve(whole=False))
    await world.probe()
    ((_, is_healthy, found),) = world.changes
    assert not is_healthy
    assert found.startswith("it serves the certificate without 1 of the 1 CA certificates above it")


SETTINGS: list[tuple[str | None, Roots]] = [(None, None), ("public", PUBLIC), ("edge-ca", ROOTS)]


@pytest.mark.parametrize(("roots", "believed"), SETTINGS, ids=["none", "public", "a bundle"])
async def test_whom_a_probe_believes_is_a_setting(
    world: World, roots: str | None, believed: Roots
) -> None:
    world.prober.anchors = {"edge-ca": ROOTS}.get
    assert world.prober.roots_of(Probe(address="127.0.0.1:1", roots=roots)) == believed
