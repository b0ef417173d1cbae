"""gRPC: each call has its own tenant, in threads and tasks, in answers of many pieces too."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.support.authorities import Ca, pem
from tests.support.tenancy_world import A, B
from workload.tenancy.context import TenantUnknown, current_tenant
from workload.tenancy.edge import Edge, Peer
from workload.tenancy.rpc import AioTenantInterceptor, TenantInterceptor, grpc_peer

KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")


def own() -> bytes:
    try:
        return current_tenant().tenant_id.encode()
    except TenantUnknown:
        return b"none"


def whole(_request: Any, _context: Any) -> bytes:
    return own()


def pieces(_request: Any, _context: Any) -> Iterator[bytes]:
    for _ in range(3):
        yield own()


async def whole_async(_request: Any, _context: Any) -> bytes:
    return own()


async def pieces_async(_request: Any, _context: Any) -> AsyncIterator[bytes]:
    for _ in range(3):
        yield own()


async def written(_request: Any, context: Any) -> None:
    for _ in range(3):
        await context.write(own())


def handlers(single: Any, many: Any, **more: Any) -> Any:
    methods = {
        kind: getattr(grpc, f"{kind}_rpc_method_handler")(many if kind.endswith("m") else single)
        for kind in KINDS
    }
    return grpc.method_handlers_generic_handler("e.E", methods | more)


def calls(channel: Any, kind: str, *tenants: str) -> list[bytes] | str:
    """Make one call; return what came, or ``CODE reason``."""
    metadata = [("x-tenant-id", each) for each in tenants]
    request: Any = iter([b""]) if kind.startswith("stream") else b""
    method = "written" if kind == "written" else kind
    made = getattr(channel, kind if kind in KINDS else "unary_stream")(f"/e.E/{method}")
    try:
        came = made(request, metadata=metadata, timeout=10)
        return [came] if isinstance(came, bytes) else list(came)
    except grpc.RpcError as refused:
        return f"{refused.code().name} {refused.details()}"


def expect(channel: Any, kinds: tuple[str, ...] = KINDS) -> None:
    for kind in kinds:
        count = 3 if kind.endswith("stream") or kind == "written" else 1
        assert calls(channel, kind, A) == [A.encode()] * count
        assert calls(channel, kind, B) == [B.encode()] * count
        assert calls(channel, kind) == "UNAUTHENTICATED tenant_missing"
        assert calls(channel, kind, A, B) == "INVALID_ARGUMENT tenant_ambiguous"
        assert calls(channel, kind, "x") == "INVALID_ARGUMENT tenant_malformed"
    assert calls(channel, "unknown", A) == "UNIMPLEMENTED Method not found!"


def test_threads(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        server = grpc.server(pool, interceptors=[TenantInterceptor(Edge(unix_socket=True))])
        server.add_generic_rpc_handlers((handlers(whole, pieces),))
        server.add_insecure_port(f"unix:{tmp_path}/s")
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        with grpc.insecure_channel(f"unix:{tmp_path}/s") as channel:
            expect(channel)
            many = list((A, B) * 20)
            with ThreadPoolExecutor(4) as callers:
                found = callers.map(lambda each: calls(channel, "unary_stream", each), many)
                assert list(found) == [[each.encode()] * 3 for each in many]
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            assert calls(channel, "unary_unary", A) == "PERMISSION_DENIED edge_untrusted"
        server.stop(None).wait()


async def test_tasks() -> None:
    passing = AioTenantInterceptor(Edge(loopback=True), missing="pass")
    for interceptor, check in (
        (AioTenantInterceptor(Edge(loopback=True)), lambda it: expect(it, (*KINDS, "written"))),
        (passing, lambda it: calls(it, "unary_unary") == [b"none"] or pytest.fail("passes")),
        (
            AioTenantInterceptor(Edge(unix_socket=True), missing="pass"),
            lambda it: (
                calls(it, "unary_stream", A) == "PERMISSION_DENIED edge_untrusted"
                or pytest.fail("trusted")
            ),
        ),
    ):
        server = grpc.aio.server(interceptors=[interceptor])
        more = {"written": grpc.unary_stream_rpc_method_handler(written)}
        server.add_generic_rpc_handlers((handlers(whole_async, pieces_async, **more),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            await asyncio.to_thread(check, channel)
        await server.stop(0)


class _Call:
    def __init__(self, peer: str, *pems: bytes) -> None:
        self._peer, self._pems = peer, pems

    def peer(self) -> str:
        return self._peer

    def auth_context(self) -> dict[str, Any]:
        return {"x509_pem_cert": list(self._pems)} if self._pems else {}


def test_how_a_call_came() -> None:
    certificate, _ = Ca("CA").leaf("spiffe://a/b")
    shown = pem(certificate).encode()
    for call, expected in (
        (_Call("unix:"), Peer(unix=True)),
        (_Call("unix:/run/s"), Peer(unix=True)),
        (_Call("ipv4:127.0.0.1:5"), Peer(address="127.0.0.1")),
        (_Call("ipv6:%5B::1%5D:5"), Peer(address="::1")),
        (_Call("ipv4:192.0.2.1:5", shown), Peer(address="192.0.2.1", certificate=certificate)),
        (_Call("ipv4:192.0.2.1:5", shown, shown), Peer(address="192.0.2.1")),
        (_Call("ipv4:192.0.2.1:5", b"no PEM"), Peer(address="192.0.2.1")),
        (_Call("unknown"), Peer()),
    ):
        assert grpc_peer(call) == expected
    for kind in (TenantInterceptor, AioTenantInterceptor):
        with pytest.raises(ValueError, match="missing"):
            kind(Edge(loopback=True), missing="no")  # type: ignore[arg-type]
