"""A channel to an SDS service that grpcio serves on loopback, as the sidecar does."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc

from sidecar.sds.service import SDS_SERVICE, SdsService
from sidecar.transport.aio import GrpcServer


@asynccontextmanager
async def channel_to(
    service: SdsService, max_message_bytes: int = 4_194_304
) -> AsyncIterator[grpc.aio.Channel]:
    """Serve it while the block runs; then drain and stop."""
    server = GrpcServer(
        "127.0.0.1:0", SDS_SERVICE, service.handlers(), max_message_bytes=max_message_bytes
    )
    await server.start()
    async with grpc.aio.insecure_channel(server.bound_address) as channel:
        yield channel
    service.drain()
    await server.stop(1)
