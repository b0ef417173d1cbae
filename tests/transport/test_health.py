"""The health of the fast engine: grpcio's own messages on the wire, and no grpcio behind it."""

import subprocess
import sys

import pytest
from grpc_health.v1 import health_pb2

from sidecar.transport.grpc_status import GrpcStatus, RpcError
from sidecar.transport.health import HealthStatus


def ask(book: HealthStatus, service: str) -> int:
    raw = health_pb2.HealthCheckRequest(service=service).SerializeToString()
    return int(health_pb2.HealthCheckResponse.FromString(book.check(raw)).status)


async def test_speaks_the_messages_of_grpc_health_v1() -> None:
    book = HealthStatus("pkg.Service")
    await book.set_serving(serving=True)
    await book.set_status({"keys.outage": False})
    assert ask(book, "") == ask(book, "pkg.Service") == health_pb2.HealthCheckResponse.SERVING
    assert ask(book, "keys.outage") == health_pb2.HealthCheckResponse.NOT_SERVING


async def test_refuses_what_it_does_not_know_or_understand() -> None:
    book = HealthStatus("pkg.Service")
    with pytest.raises(RpcError) as unknown:
        ask(book, "other")
    assert unknown.value.status is GrpcStatus.NOT_FOUND
    with pytest.raises(RpcError) as broken:
        book.check(b"\xff")
    assert broken.value.status is GrpcStatus.INVALID_ARGUMENT


def test_the_engine_imports_no_grpcio() -> None:
    code = "import sys, sidecar.transport.h2; print('grpc' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout == "False\n"
