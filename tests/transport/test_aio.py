"""The gRPC server as grpcio's own client sees it."""

import socket
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from sidecar.pb import ext_authz_pb2  # noqa: F401 - reflection serves its descriptor
from sidecar.transport.aio import GrpcServer, check_handlers
from sidecar.transport.names import CHECK_SERVICE
from sidecar.transport.sockets import ListenFault
from tests.support.failing import fail_on

CHECK = f"/{CHECK_SERVICE}/Check"


def echo(raw: bytes) -> bytes:
    return raw[::-1]


HANDLERS = check_handlers(echo, fail_on)


@pytest.fixture(params=["tcp", "unix"])
async def server(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[GrpcServer]:
    address = "127.0.0.1:0" if request.param == "tcp" else f"unix:{tmp_path}/authz.sock"
    server = GrpcServer(address, CHECK_SERVICE, HANDLERS, max_message_bytes=8192)
    await server.start()
    yield server
    await server.stop(0)


async def test_bytes_in_bytes_out(server: GrpcServer) -> None:
    async with grpc.aio.insecure_channel(server.bound_address) as channel:
        assert await channel.unary_unary(CHECK)(b"abc") == b"cba"


async def test_a_message_over_the_limit_is_refused(server: GrpcServer) -> None:
    async with grpc.aio.insecure_channel(server.bound_address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await channel.unary_unary(CHECK)(b"a" * 10_000)
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_an_unknown_method_is_unimplemented(server: GrpcServer) -> None:
    async with grpc.aio.insecure_channel(server.bound_address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await channel.unary_unary(f"/{CHECK_SERVICE}/Nope")(b"")
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_health_follows_the_reporter(server: GrpcServer) -> None:
    async with grpc.aio.insecure_channel(server.bound_address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for service in ("", CHECK_SERVICE):
            request = health_pb2.HealthCheckRequest(service=service)
            await server.health.set_serving(True)
            assert (await stub.Check(request)).status == health_pb2.HealthCheckResponse.SERVING
            await server.health.set_serving(False)
            assert (await stub.Check(request)).status == health_pb2.HealthCheckResponse.NOT_SERVING


async def test_reflection_shows_the_service_under_its_real_name(server: GrpcServer) -> None:
    async with grpc.aio.insecure_channel(server.bound_address) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        asked = reflection_pb2.ServerReflectionRequest(file_containing_symbol=CHECK_SERVICE)
        stream = stub.ServerReflectionInfo(iter([asked]))
        answer = await stream.read()
        assert b"CheckRequest" in answer.file_descriptor_response.file_descriptor_proto[0]
        stream.cancel()


async def test_an_address_in_use_is_a_clear_fault() -> None:
    first = GrpcServer("127.0.0.1:0", CHECK_SERVICE, (), max_message_bytes=8192)
    await first.start()
    second = GrpcServer(first.bound_address, CHECK_SERVICE, (), max_message_bytes=8192)
    try:
        with pytest.raises(ListenFault, match="it is in use"):
            await second.start()
    finally:
        await first.stop(0)
        await second.stop(0)


async def test_a_socket_left_behind_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "authz.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    assert path.is_socket()
    server = GrpcServer(f"unix:{path}", CHECK_SERVICE, HANDLERS, max_message_bytes=8192)
    await server.start()
    async with grpc.aio.insecure_channel(f"unix:{path}") as channel:
        assert await channel.unary_unary(CHECK)(b"ab") == b"ba"
    await server.stop(0)


async def test_a_calls_trace_context_is_appended_to_its_message() -> None:
    handlers = check_handlers(echo, fail_on, lambda parent, state: b"|%b|%b" % (parent, state))
    server = GrpcServer("127.0.0.1:0", CHECK_SERVICE, handlers, max_message_bytes=8192)
    await server.start()
    async with grpc.aio.insecure_channel(server.bound_address) as channel:
        call = channel.unary_unary(CHECK)
        for metadata, carried in (
            ((), b""),
            ((("traceparent", "x"), ("tracestate", "a=b"), ("tracestate", "c=d")), b"|x|a=b,c=d"),
        ):
            assert await call(b"abc", metadata=metadata) == (b"abc" + carried)[::-1]
    await server.stop(0)
