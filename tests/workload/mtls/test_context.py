"""``ssl`` contexts that follow rotation: who gets in, who does not, and when."""

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest
import uvloop
from cryptography import x509

from sidecar.common.clock import wall_seconds
from tests.support.authorities import Ca, pem
from workload.mtls import FollowingContext, MtlsFault, PeerRefused, WorkloadIdentity
from workload.mtls.memory import in_memory
from workload.x509.anchors import TrustAnchors, read_anchors
from workload.x509.material import Material, spki_pin

OURS, OTHER = Ca("platform"), Ca("another platform")
LOWER = Ca("lower", parent=OURS)
A, B, C = (f"spiffe://septemcore/ns/{each}/sa/api" for each in "abc")


def anchors(*cas: Ca, crls: tuple[str, ...] = ()) -> TrustAnchors:
    return read_anchors([ca.chain for ca in cas], crls, wall_seconds())


def identity(
    material: Material | None, trust: TrustAnchors | None = None, *, pins: tuple[str, ...] = ()
) -> WorkloadIdentity:
    made = WorkloadIdentity(wall_seconds, spki_pins=pins)
    made.show(material)
    made.believe(trust or anchors(OURS))
    return made


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(await reader.readexactly(4))
    writer.close()


@asynccontextmanager
async def serving(context: ssl.SSLContext) -> AsyncIterator[int]:
    server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def ask(port: int, context: ssl.SSLContext) -> bytes:
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname="b"
    )
    try:
        writer.write(b"ping")
        return await reader.read()
    finally:
        writer.close()


async def gets(port: int, client: ssl.SSLContext) -> str:
    """Return what a client gets: ``ok``, or the name of what it meets."""
    try:
        return "ok" if await ask(port, client) == b"ping" else "closed"
    except (OSError, MtlsFault) as exc:
        return type(exc).__name__


async def outcome(server: ssl.SSLContext, client: ssl.SSLContext) -> str:
    async with serving(server) as port:
        return await gets(port, client)


SERVER = identity(OURS.material(B))


@pytest.mark.parametrize(
    ("peers", "got"),
    [
        ((A,), True),
        (("spiffe://septemcore/ns/a/*",), True),
        (("spiffe://septemcore/*",), True),
        ((B, A), True),
        ((B,), False),
        (("spiffe://septemcore/ns/b/*",), False),
        (("spiffe://septemcor/*",), False),
        (("spiffe://septemcore/ns/a/sa",), False),
        (("api",), False),
    ],
)
async def test_a_server_admits_who_is_on_its_list(peers: tuple[str, ...], got: bool) -> None:
    client = identity(OURS.material(A)).client_context([B])
    found = await outcome(SERVER.server_context(peers), client)
    assert (found == "ok") is got, found


async def test_a_client_admits_only_the_server_it_means() -> None:
    server = SERVER.server_context([A])
    assert await outcome(server, identity(OURS.material(A)).client_context([B])) == "ok"
    refused = await outcome(server, identity(OURS.material(A)).client_context([C]))
    assert refused == "PeerRefused"


async def test_a_dns_name_may_be_on_the_list() -> None:
    by_name = identity(OURS.material(dns_names=["db.internal"]))
    client = identity(OURS.material(A)).client_context(["db.internal"])
    assert await outcome(by_name.server_context([A]), client) == "ok"


def plain(material: Material | None) -> ssl.SSLContext:
    """A client that checks nothing and shows what it is told to: an attacker's."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if material is not None:
        with in_memory(material.chain_pem + material.key_pem) as path:
            context.load_cert_chain(path)
    return context


def plain_server(material: Material) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with in_memory(material.chain_pem + material.key_pem) as path:
        context.load_cert_chain(path)
    return context


REVOKED = OURS.material(A)
REFUSED: list[tuple[str, Material | None]] = [
    ("another CA's", OTHER.material(A)),
    ("another CA's with our CA's name", Ca("platform").material(A)),
    ("one that has expired", OURS.material(A, hours=-2)),
    ("none", None),
    ("one with two SPIFFE IDs", OURS.material(A, C)),
    ("one without a name", OURS.material()),
    ("one that is revoked", REVOKED),
]
WITH_CRL = anchors(OURS, crls=(pem(OURS.crl([int(REVOKED.serial, 16)])),))


@pytest.mark.parametrize("material", [r[1] for r in REFUSED], ids=[r[0] for r in REFUSED])
async def test_a_server_refuses_a_certificate_that_is(material: Material | None) -> None:
    server = identity(OURS.material(B), WITH_CRL).server_context([A])
    assert await outcome(server, plain(OURS.material(A))) == "ok"
    assert await outcome(server, plain(material)) != "ok"


@pytest.mark.parametrize(
    "material", [r[1] for r in REFUSED if r[1]], ids=[r[0] for r in REFUSED if r[1]]
)
async def test_a_client_refuses_a_server_whose_certificate_is(material: Material) -> None:
    client = identity(OURS.material(B), WITH_CRL).client_context([A])
    assert await outcome(plain_server(OURS.material(A)), client) == "ok"
    assert await outcome(plain_server(material), client) in {
        "SSLCertVerificationError", "PeerRefused",
    }  # fmt: skip


async def test_pins_are_of_the_peer_s_key() -> None:
    leaf, _ = OURS.leaf(A)
    material = OURS.material(A)
    pin = spki_pin(x509.load_pem_x509_certificate(material.chain_pem))
    for pins, got in (((pin,), "ok"), ((spki_pin(leaf),), "closed")):
        server = identity(OURS.material(B), pins=pins).server_context([A])
        assert (await outcome(server, plain(material)) == "ok") is (got == "ok")


async def test_an_intermediate_s_crl_and_its_root_s() -> None:
    gone = LOWER.material(A)
    both = (pem(LOWER.crl([int(gone.serial, 16)])), pem(OURS.crl()))
    for crls in (both, both[:1]):
        server = identity(OURS.material(B), anchors(LOWER, crls=crls)).server_context([A])
        assert await outcome(server, plain(gone)) != "ok"
        assert await outcome(server, plain(LOWER.material(A))) == "ok"
    only_root = identity(OURS.material(B), anchors(LOWER, crls=both[1:])).server_context([A])
    assert await outcome(only_root, plain(LOWER.material(A))) != "ok", "its issuer has no CRL here"


async def test_a_root_that_is_elsewhere() -> None:
    trust = read_anchors([[LOWER.certificate]], [], wall_seconds())
    assert trust.partial_chain
    server = identity(LOWER.material(B), trust).server_context([A])
    assert await outcome(server, identity(LOWER.material(A), trust).client_context([B])) == "ok"


async def test_nothing_older_than_tls_1_3() -> None:
    old = plain(OURS.material(A))
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    assert await outcome(SERVER.server_context([A]), old) != "ok"


async def test_no_session_is_given_to_resume() -> None:
    context = plain(OURS.material(A))
    async with serving(SERVER.server_context([A])) as port:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=context, server_hostname="b"
        )
        writer.write(b"ping")
        assert await reader.read() == b"ping"
        assert writer.get_extra_info("ssl_object").session.has_ticket is False
        writer.close()


async def test_the_next_handshake_is_made_with_the_new_certificate_and_trust() -> None:
    server_id, client_id = identity(OURS.material(B)), identity(OURS.material(A))
    server, client = server_id.server_context([A]), client_id.client_context([B])
    async with serving(server) as port:
        old_reader, old_writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=client, server_hostname="b"
        )
        for each in (server_id, client_id):
            each.believe(anchors(OURS, OTHER))
        assert await ask(port, client) == b"ping"
        server_id.show(OTHER.material(B))
        assert await ask(port, client) == b"ping"
        client_id.show(OTHER.material(A))
        assert await ask(port, client) == b"ping"
        for each in (server_id, client_id):
            each.believe(anchors(OTHER))
        assert await ask(port, client) == b"ping"
        assert await gets(port, plain(OURS.material(A))) != "ok", "the old CA is out"
        old_writer.write(b"ping")
        assert await old_reader.read() == b"ping", "an old connection lives on"
        old_writer.close()


async def test_what_has_expired_is_not_shown() -> None:
    client = identity(OURS.material(A, hours=-2)).client_context([B])
    async with serving(SERVER.server_context([A])) as port:
        with pytest.raises(MtlsFault, match="no valid certificate"):
            await ask(port, client)
        nobody = identity(None).client_context([B])
        with pytest.raises(MtlsFault, match="no valid certificate"):
            await ask(port, nobody)
        for context, said in ((client, "has expired"), (nobody, "no certificate")):
            with pytest.raises(MtlsFault, match=said):
                ask_blocking(port, context)


@pytest.mark.parametrize("peers", [(), "spiffe://septemcore/*"])
def test_everybody_has_to_be_written_out(peers: tuple[str, ...]) -> None:
    with pytest.raises(MtlsFault, match="peers must list"):
        SERVER.server_context(peers)
    with pytest.raises(MtlsFault, match="peers must list"):
        SERVER.server_context()


@contextmanager
def listening(context: FollowingContext) -> Iterator[tuple[int, list[str]]]:
    """A server of blocking sockets: the listener is wrapped, as some libraries do."""
    said: list[str] = []
    listener = context.wrap_socket(socket.create_server(("127.0.0.1", 0)), server_side=True)

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except MtlsFault as exc:
                said.append(str(exc))
                continue
            except OSError as exc:
                if listener.fileno() < 0:
                    return
                said.append(str(exc))
                continue
            with connection:
                connection.sendall(connection.recv(4))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1], said
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(5)


def gets_blocking(port: int, context: ssl.SSLContext) -> bool:
    try:
        return ask_blocking(port, context) == b"ping"
    except OSError:
        return False


def ask_blocking(port: int, context: ssl.SSLContext) -> bytes:
    with (
        socket.create_connection(("127.0.0.1", port), timeout=5) as raw,
        context.wrap_socket(raw, server_hostname="b") as connection,
    ):
        connection.sendall(b"ping")
        return connection.recv(4)


def test_blocking_sockets_and_a_listener_that_was_wrapped_long_ago() -> None:
    server_id = identity(OURS.material(B), anchors(OURS, OTHER))
    with listening(server_id.server_context([A])) as (port, said):
        client = identity(OURS.material(A), anchors(OURS, OTHER)).client_context([B])
        assert ask_blocking(port, client) == b"ping"
        server_id.show(OTHER.material(B))
        only_new = identity(OURS.material(A), anchors(OTHER)).client_context([B])
        assert ask_blocking(port, only_new) == b"ping", "it accepts with what is current"
        assert not gets_blocking(port, plain(OURS.material(C)))
        for _ in range(500):
            if any(C in each for each in said):
                break
            time.sleep(0.01)
    assert any(C in each for each in said)


@pytest.mark.parametrize(
    "act",
    [
        lambda c: c.recv(4), lambda c: c.read(4), lambda c: c.send(b"x"), lambda c: c.write(b"x"),
        lambda c: c.sendall(b"x"), lambda c: c.recv_into(bytearray(4)),
    ],
    ids=["recv", "read", "send", "write", "sendall", "recv_into"],
)  # fmt: skip
def test_no_byte_without_the_check(act: Callable[[ssl.SSLSocket], object]) -> None:
    """OpenSSL would do the handshake inside a read; then nobody would have looked at the peer."""
    with listening(identity(OURS.material(C)).server_context(["spiffe://septemcore/*"])) as (
        port,
        _,
    ):
        context = identity(OURS.material(A)).client_context([B])
        with socket.create_connection(("127.0.0.1", port), timeout=5) as raw:
            connection = context.wrap_socket(
                raw, server_hostname="b", do_handshake_on_connect=False
            )
            with connection:
                with pytest.raises(MtlsFault, match="handshake is not done"):
                    act(connection)
                with pytest.raises(PeerRefused, match="not on the list"):
                    connection.do_handshake()
                with pytest.raises(MtlsFault):
                    act(connection)


def test_turning_verification_off_turns_nothing_off() -> None:
    context = identity(OURS.material(A)).client_context([B])
    context.verify_mode = ssl.CERT_NONE
    stranger = identity(OTHER.material(B), anchors(OURS)).server_context([A])
    with listening(stranger) as (port, _), pytest.raises(ssl.SSLCertVerificationError):
        ask_blocking(port, context)


async def test_alpn_is_offered() -> None:
    server = SERVER.server_context([A], alpn=["h2"])
    client = identity(OURS.material(A)).client_context([B])
    client.set_alpn_protocols(["h2"])
    async with serving(server) as port:
        _, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=client, server_hostname="b"
        )
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
        writer.close()


def test_all_of_it_under_uvloop_too() -> None:
    async def outcomes() -> list[str]:
        server = SERVER.server_context([A])
        return [
            await outcome(server, identity(material).client_context([peer]))
            for material, peer in (
                (OURS.material(A), B), (OURS.material(A), C), (OURS.material(C), B),
                (OURS.material(A, hours=-2), B),
            )
        ]  # fmt: skip

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(outcomes())
    assert found[:2] == ["ok", "PeerRefused"]
    assert found[2] != "ok", "the server ends it"
    assert found[3] == "NothingToShow"
