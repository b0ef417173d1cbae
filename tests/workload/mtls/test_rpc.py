"""gRPC over mTLS between Python services: admitted, refused, and through a rotation."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.support.authorities import Ca, pem
from tests.workload.mtls.test_context import (
    OTHER,
    OURS,
    REFUSED,
    WITH_CRL,
    A,
    B,
    C,
    anchors,
    identity,
)
from workload.mtls import MtlsFault, PeerRefused, WorkloadIdentity
from workload.mtls.rpc import GrpcPeerGuard
from workload.x509.material import Material


async def unary(request: bytes, _context: Any) -> bytes:
    return request


async def stream(request: bytes, _context: Any) -> AsyncIterator[bytes]:
    for byte in request:
        yield bytes([byte])
        await asyncio.sleep(0)


async def written(_requests: Any, context: Any) -> None:
    while (request := await context.read()) is not grpc.aio.EOF:
        await context.write(request)


def blocking(request: bytes, _context: Any) -> bytes:
    return request


METHODS = {
    "Unary": grpc.unary_unary_rpc_method_handler(unary),
    "Stream": grpc.unary_stream_rpc_method_handler(stream),
    "Both": grpc.stream_stream_rpc_method_handler(written),
    "Blocking": grpc.unary_unary_rpc_method_handler(blocking),
}


@asynccontextmanager
async def serving(guard: GrpcPeerGuard) -> AsyncIterator[int]:
    server = grpc.aio.server(interceptors=[guard])
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("echo.Echo", METHODS),))
    port = server.add_secure_port("127.0.0.1:0", guard.credentials)
    await server.start()
    try:
        yield port
    finally:
        await server.stop(0)


async def stream_of(*messages: bytes) -> AsyncIterator[bytes]:
    for each in messages:
        yield each


async def code(channel: Any, method: str = "Unary") -> str:
    """Make one call; returns ``OK`` or the status."""
    try:
        if method == "Unary" or method == "Blocking":  # noqa: PLR1714 - two words, not a set
            assert await channel.unary_unary(f"/echo.Echo/{method}")(b"ab", timeout=5) == b"ab"
        elif method == "Stream":
            call = channel.unary_stream("/echo.Echo/Stream")(b"ab", timeout=5)
            assert [each async for each in call] == [b"a", b"b"]
        else:
            # Not ``write``: grpcio says INTERNAL where a refusal arrives before a message has left.
            both = channel.stream_stream("/echo.Echo/Both")(stream_of(b"ab"), timeout=5)
            assert [each async for each in both] == [b"ab"]
    except grpc.aio.AioRpcError as exc:
        return str(exc.code().name)
    return "OK"


def credentials(material: Material | None) -> Any:
    roots = pem(OURS.certificate).encode()
    if material is None:
        return grpc.ssl_channel_credentials(roots)
    return grpc.ssl_channel_credentials(roots, material.key_pem, material.chain_pem)


NAMED = OURS.material(B, dns_names=["b.internal"])


@pytest.mark.parametrize("method", ["Unary", "Stream", "Both"])
async def test_every_kind_of_call_asks_who_calls(method: str) -> None:
    guard = identity(NAMED, WITH_CRL).grpc_guard(["spiffe://septemcore/ns/a/*"])
    async with serving(guard) as port:
        for peer, wanted in ((A, "OK"), (C, "PERMISSION_DENIED")):
            async with identity(OURS.material(peer)).grpc_tunnel("127.0.0.1", port, [B]) as tunnel:
                assert await code(tunnel.channel, method) == wanted


@pytest.mark.parametrize("material", [r[1] for r in REFUSED], ids=[r[0] for r in REFUSED])
async def test_a_server_refuses_a_certificate_that_is(material: Material | None) -> None:
    """With gRPC's own client, as a stranger would come."""
    options = [("grpc.ssl_target_name_override", "b.internal")]
    async with serving(identity(NAMED, WITH_CRL).grpc_guard([A])) as port:
        for shown, wanted in (
            (OURS.material(A), {"OK"}),
            (material, {"UNAVAILABLE", "PERMISSION_DENIED"}),
        ):
            address = f"127.0.0.1:{port}"
            async with grpc.aio.secure_channel(address, credentials(shown), options) as channel:
                assert await code(channel) in wanted


async def test_an_older_tls_or_none_is_no_peer() -> None:
    guard = identity(NAMED).grpc_guard([A])
    pem_of_a = OURS.material(A).chain_pem
    good = {"x509_pem_cert": [pem_of_a], "ssl_tls_version": [b"TLSv1.3"],
            "ssl_session_reused": [b"false"]}  # fmt: skip
    assert guard.admit(good) == A
    expired = {**good, "x509_pem_cert": [OURS.material(A, hours=-2).chain_pem]}
    for bad in (
        {**good, "ssl_tls_version": [b"TLSv1.2"]},
        {},
        {**good, "x509_pem_cert": [b"hello"]},
        {**expired, "ssl_session_reused": [b"true"]},
    ):
        with pytest.raises(PeerRefused):
            guard.admit(bad)


async def test_a_client_refuses_another_server() -> None:
    for server, said in (
        (identity(OURS.material(C)), "not on the list"),
        (identity(OTHER.material(B), anchors(OURS)), "certificate verify failed"),
        (identity(OURS.material(B)), ""),
    ):
        async with serving(server.grpc_guard([A])) as port:
            client = identity(OURS.material(A)).grpc_tunnel("127.0.0.1", port, [B])
            async with client as tunnel:
                assert (await code(tunnel.channel) == "OK") is (said == "")
                assert said in tunnel.last_refusal


async def test_a_rotation_of_everything_fails_no_call() -> None:
    server_id, client_id = identity(OURS.material(B)), identity(OURS.material(A))
    failed: list[str] = []
    calls = 0
    async with (
        serving(server_id.grpc_guard([A])) as port,
        client_id.grpc_tunnel("127.0.0.1", port, [B]) as long_lived,
    ):

        async def load() -> None:
            nonlocal calls
            while True:
                async with client_id.grpc_tunnel("127.0.0.1", port, [B]) as fresh:
                    for channel in (fresh.channel, long_lived.channel):
                        if (found := await code(channel)) != "OK":
                            failed.append(f"{found}: {fresh.last_refusal}")
                        calls += 1

        def believe(*authorities: Ca) -> None:
            for each in (server_id, client_id):
                each.believe(anchors(*authorities))

        task = asyncio.create_task(load())
        steps: list[Callable[[], None]] = [
            partial(believe, OURS, OTHER),
            lambda: server_id.show(OTHER.material(B)),
            lambda: client_id.show(OTHER.material(A)),
            partial(believe, OTHER),
        ]
        for step in steps:
            step()
            seen = calls
            while calls < seen + 10:
                await asyncio.sleep(0.005)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert failed == []
        old = identity(OURS.material(A), anchors(OURS, OTHER)).grpc_tunnel("127.0.0.1", port, [B])
        async with old as tunnel:
            assert await code(tunnel.channel) != "OK", "the old CA is believed no more"


def sockets() -> set[str]:
    lines = Path("/proc/net/unix").read_text().splitlines()
    return {line.split()[-1] for line in lines if "septem-mtls-" in line}


async def test_nobody_else_gets_into_the_tunnel() -> None:
    """Another process of the same user finds the socket, and no answer."""
    before = sockets()
    async with serving(identity(OURS.material(B)).grpc_guard([A])) as port:
        client = identity(OURS.material(A)).grpc_tunnel("127.0.0.1", port, [B])
        async with client as tunnel:
            assert await code(tunnel.channel) == "OK"
            (path,) = sockets() - before
            program = (
                f"import socket; s = socket.socket(socket.AF_UNIX); s.connect({path!r});"
                "s.settimeout(5); s.send(b'PRI * HTTP/2.0'); print(s.recv(1))"
            )
            other = await asyncio.create_subprocess_exec(
                "python3", "-c", program,
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            )  # fmt: skip
            said, _ = await other.communicate()
            assert said.strip() == b"b''" or b"Reset" in said or b"Broken" in said


async def test_a_server_without_a_certificate_has_no_guard() -> None:
    with pytest.raises(MtlsFault):
        identity(None).grpc_guard([A])


async def test_a_handler_that_blocks_is_not_run_on_the_loop() -> None:
    async with serving(identity(OURS.material(B)).grpc_guard([A])) as port:
        client = identity(OURS.material(A)).grpc_tunnel("127.0.0.1", port, [B])
        async with client as tunnel:
            assert await code(tunnel.channel, "Blocking") == "INTERNAL"


async def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    me: WorkloadIdentity = identity(OURS.material(A))
    async with me.grpc_tunnel("127.0.0.1", port, [B]) as tunnel:
        assert await code(tunnel.channel) == "UNAVAILABLE"
        assert "refused" in tunnel.last_refusal or "Connect call failed" in tunnel.last_refusal
