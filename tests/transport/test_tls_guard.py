"""Who may fetch secrets over TCP: what strangers can hold is bounded, and who is revoked leaves."""

import asyncio
import os
import ssl
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import uvloop

from sidecar.common.clock import wall_seconds
from sidecar.transport import tls_guard
from sidecar.transport.identities import Trusted
from sidecar.transport.remote_peers import ListenerTls, RemotePeers
from sidecar.transport.sockets import ListenFault
from sidecar.transport.tls_guard import TlsGuard
from tests.support.authorities import Ca, pem
from tests.support.waiting import until
from workload.mtls import WorkloadIdentity
from workload.mtls.memory import in_memory
from workload.x509.anchors import TrustAnchors, read_anchors
from workload.x509.material import Material

OURS, OTHER = Ca("platform"), Ca("another platform")
H2 = ListenerTls(("h2",))
SIDECAR, A, B = (f"spiffe://septemcore/{each}" for each in ("sidecar", "a", "b"))


def anchors(ca: Ca = OURS, *revoked: int) -> TrustAnchors:
    return read_anchors([ca.chain], [pem(ca.crl(revoked))], wall_seconds())


class Guarded:
    """An echo behind a guard that admits A."""

    def __init__(self, max_connections: int = 16, tls: ListenerTls = H2) -> None:
        self.listed: tuple[str, ...] = (A,)
        self.trust: TrustAnchors | None = anchors()
        self.ours: Material | None = OURS.material(SIDECAR)
        self.refused: list[str] = []
        self.cut_off: list[str] = []
        self.reached = 0
        peers = RemotePeers(
            lambda: Trusted(self.trust, self.listed), lambda: self.ours, wall_seconds, tls,
        )  # fmt: skip
        self.guard = TlsGuard(
            "127.0.0.1:0",
            peers,
            lambda _host, reason: self.refused.append(reason),
            lambda peer, reason: self.cut_off.append(f"{peer}: {reason}"),
            max_connections,
            setting="listen.sds with mtls",
        )
        self._judging: asyncio.Task[None]
        self.server: asyncio.Server

    async def start(self) -> None:
        self.guard.prepare()
        path = self.guard.inner_address.removeprefix("unix:")
        self.server = await asyncio.start_unix_server(self._echo, path)
        self.guard.start()
        self._judging = asyncio.create_task(self.guard.judge())

    async def stop(self) -> None:
        self._judging.cancel()
        await self.guard.stop()
        self.server.close()
        self.guard.close()
        await asyncio.sleep(0.01)

    @property
    def port(self) -> int:
        return int(self.guard.bound_address.rpartition(":")[2])

    async def _echo(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reached += 1
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        writer.close()


def test_the_folder_can_be_entered_under_the_umask_for_sockets() -> None:
    """Root needs no right to; every other user has the listener only with it."""
    guarded = Guarded()
    before = os.umask(0o117)
    try:
        guarded.guard.prepare()
    finally:
        os.umask(before)
    folder = Path(guarded.guard.inner_address.removeprefix("unix:")).parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    guarded.guard.close()
    assert not folder.exists()


@pytest.fixture
async def start() -> AsyncIterator[Callable[..., Any]]:
    async with AsyncExitStack() as stack:

        async def make(max_connections: int = 16, tls: ListenerTls = H2) -> Guarded:
            made = Guarded(max_connections, tls)
            await made.start()
            stack.push_async_callback(made.stop)
            return made

        yield make


def client(material: Material | None, ca: Ca = OURS) -> ssl.SSLContext:
    identity = WorkloadIdentity(wall_seconds)
    identity.show(material or OURS.material(A))
    identity.believe(read_anchors([ca.chain], (), wall_seconds()))
    return identity.client_context([SIDECAR])


Connected = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def connect(port: int, context: ssl.SSLContext) -> Connected:
    return await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="s")


async def answers(connected: Connected) -> bool:
    """Tell whether a connection carries bytes; TLS 1.3 tells a client late that it is refused."""
    reader, writer = connected
    try:
        writer.write(b"ping")
        await writer.drain()
        return await asyncio.wait_for(reader.read(4), 5) == b"ping"
    except OSError:
        return False


async def asks(port: int, context: ssl.SSLContext) -> bool:
    try:
        connected = await connect(port, context)
    except OSError:
        return False
    try:
        return await answers(connected)
    finally:
        connected[1].transport.abort()


PEERS: list[tuple[str, Callable[[], Material], str]] = [
    ("not on the list", lambda: OURS.material(B), "is not on the list"),
    ("of another CA", lambda: OTHER.material(A), "certificate verify failed"),
    ("nobody", lambda: OURS.material(dns_names=["a"]), "is not on the list"),
    ("two names", lambda: OURS.material(A, B), "several URI SANs"),
    ("ended", lambda: OURS.material(A, hours=-1), "certificate has expired"),
]


@pytest.mark.parametrize(("make", "reason"), [row[1:] for row in PEERS], ids=[r[0] for r in PEERS])
async def test_who_may_not_is_refused_and_reaches_nothing(
    start: Callable[..., Any], make: Callable[[], Material], reason: str
) -> None:
    guarded: Guarded = await start()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    material = make()
    with in_memory(material.chain_pem + material.key_pem) as path:
        context.load_cert_chain(path)
    assert not await asks(guarded.port, context)
    await until(lambda: guarded.refused)
    assert reason in guarded.refused[0]
    assert guarded.reached == 0


async def test_bytes_are_forwarded_whole_both_ways(start: Callable[..., Any]) -> None:
    guarded: Guarded = await start()
    reader, writer = await connect(guarded.port, client(None))
    sent = bytes(range(256)) * 8192

    async def send() -> None:
        writer.write(sent)
        await writer.drain()

    sending = asyncio.create_task(send())
    assert await asyncio.wait_for(reader.readexactly(len(sent)), 10) == sent
    await sending
    writer.close()
    await until(lambda: not guarded.guard._connections)


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_who_is_revoked_is_cut_off_and_nobody_else(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    """On both event loops: the handshake, the forwarding and the end."""

    async def scenario() -> None:
        guarded = Guarded()
        await guarded.start()
        revoked, kept = OURS.material(A), OURS.material(A)
        gone, stays = [await connect(guarded.port, client(each)) for each in (revoked, kept)]
        assert [await answers(gone), await answers(stays)] == [True, True]
        guarded.trust = anchors(OURS, int(revoked.serial, 16))
        guarded.guard.trust_changed()
        with pytest.raises((OSError, asyncio.IncompleteReadError)):
            await asyncio.wait_for(gone[0].readexactly(1), 5)
        assert [each.partition(" at ")[0] for each in guarded.cut_off] == [A]
        assert "revoked" in guarded.cut_off[0]
        assert await answers(stays)
        assert not await asks(guarded.port, client(revoked)), "nor does it come back"
        for _, writer in (gone, stays):
            writer.transport.abort()
        await guarded.stop()

    loop = new_loop()
    try:
        loop.run_until_complete(scenario())
    finally:
        loop.close()


CHANGES: list[tuple[str, Callable[[Guarded], None], str]] = [
    ("another list", lambda g: setattr(g, "listed", (B,)),
     "is not on the list"),
    ("another CA", lambda g: setattr(g, "trust", anchors(OTHER)), "self-signed certificate"),
    ("no trust any more", lambda g: setattr(g, "trust", None), "have not been read"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "reason"), [r[1:] for r in CHANGES], ids=[r[0] for r in CHANGES]
)
async def test_whom_the_trust_no_longer_admits_is_cut_off_within_seconds(
    start: Callable[..., Any], monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Guarded], None], reason: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(tls_guard, "JUDGE_SECONDS", 0.05)
    guarded: Guarded = await start()
    connected = await connect(guarded.port, client(None))
    assert await answers(connected)
    change(guarded)
    await until(lambda: guarded.cut_off)
    assert reason in guarded.cut_off[0]
    assert await connected[0].read() == b""
    connected[1].close()
    assert not await asks(guarded.port, client(None)), "nor does it come back"


async def test_without_a_certificate_of_ours_nobody_comes_in(start: Callable[..., Any]) -> None:
    guarded: Guarded = await start()
    guarded.ours = None
    assert not await asks(guarded.port, client(None))
    await until(lambda: guarded.refused)
    assert "there is no valid certificate or no trust bundle" in guarded.refused[0]
    guarded.ours = OURS.material(SIDECAR)
    assert await asks(guarded.port, client(None)), "without a restart"


async def test_connections_that_say_nothing_take_no_place_of_others(
    start: Callable[..., Any],
) -> None:
    """Sixteen connections: four handshakes at once, of which the oldest is given up."""
    guarded: Guarded = await start(16)
    silent = [await asyncio.open_connection("127.0.0.1", guarded.port) for _ in range(40)]
    assert await asks(guarded.port, client(None))
    assert len(guarded.guard._handshakes) <= 4
    for reader, _ in silent[:30]:
        assert await asyncio.wait_for(reader.read(), 5) == b"", "the first have been closed"
    for _, writer in silent:
        writer.close()
    await until(lambda: not guarded.guard._handshakes)


async def test_no_more_peers_than_there_is_room_for(start: Callable[..., Any]) -> None:
    guarded: Guarded = await start(8)
    held = [await connect(guarded.port, client(None)) for _ in range(6)]
    for each in held:
        assert await answers(each)
    assert not await asks(guarded.port, client(None))
    assert "there are 6 connections already" in guarded.refused[0]
    held[0][1].close()
    await until(lambda: len(guarded.guard._connections) == 5)
    assert await asks(guarded.port, client(None))
    for _, writer in held:
        writer.transport.abort()


async def test_a_client_in_the_clear_is_refused(start: Callable[..., Any]) -> None:
    guarded: Guarded = await start()
    reader, writer = await asyncio.open_connection("127.0.0.1", guarded.port)
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    assert not (await asyncio.wait_for(reader.read(), 5)).startswith(b"HTTP")
    writer.close()
    await until(lambda: guarded.refused)
    assert guarded.reached == 0


async def test_its_end_leaves_no_connection_and_no_folder() -> None:
    guarded = Guarded()
    await guarded.start()
    folder = guarded.guard._inner.folder
    assert list(folder.iterdir()) == [], "the inner socket has no name"
    assert folder.stat().st_mode & 0o777 == 0o700
    connected = await connect(guarded.port, client(None))
    assert await answers(connected)
    await guarded.stop()
    assert await asyncio.wait_for(connected[0].read(), 5) == b""
    connected[1].close()
    assert not folder.exists()


async def test_an_address_that_is_taken_is_named(start: Callable[..., Any]) -> None:
    guarded: Guarded = await start()
    other = Guarded()
    other.guard._address = guarded.guard.bound_address
    other.guard.prepare()
    server = await asyncio.start_unix_server(
        lambda _reader, writer: writer.close(), other.guard.inner_address.removeprefix("unix:")
    )
    with pytest.raises(ListenFault, match=r"cannot listen on 127\.0\.0\.1:"):
        other.guard.start()
    other.guard.close()
    server.close()


async def test_a_machine_without_a_temporary_directory_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/nonexistent")
    with pytest.raises(ListenFault, match="set TMPDIR to a directory"):
        Guarded().guard.prepare()
