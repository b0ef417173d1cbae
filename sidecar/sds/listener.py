"""The listener of SDS: grpcio behind the guard that the address needs."""

import logging
from collections.abc import Sequence

import grpc

from sidecar.config import model
from sidecar.context import AppContext
from sidecar.sds.metrics import SdsMetrics
from sidecar.sds.service import SDS_SERVICE
from sidecar.transport.aio import GrpcServer
from sidecar.transport.guard import SocketGuard, make_guard
from sidecar.transport.listener_bounds import SDS
from sidecar.transport.remote_peers import RemotePeers
from sidecar.transport.tls_guard import TlsGuard

_log = logging.getLogger("sidecar.sds")
_MAX_MESSAGE_BYTES = 4_194_304


async def open_listener(
    context: AppContext,
    settings: model.SdsListen,
    handlers: Sequence[grpc.GenericRpcHandler],
    metrics: SdsMetrics,
    peers: RemotePeers | None,
) -> TlsGuard | None:
    """Open the listener: on a Unix socket the kernel names the peers, over TCP mutual TLS does.

    ``peers`` are those of ``listen.sds.mtls``; the guard that checks them is returned.
    """
    most = context.bounds[SDS]
    guard: SocketGuard | TlsGuard | None
    if peers is None:
        guard = make_guard(settings, metrics.refuse_peer, most)
    else:
        guard = TlsGuard(
            settings.address,
            peers,
            metrics.refuse_remote,
            metrics.cut_off,
            most,
            setting="listen.sds with mtls",
        )
    address = settings.address
    if guard is None:
        _log.warning(
            "any process of this machine may fetch secrets from %s; use a Unix socket as "
            "listen.sds.address, where peers are checked, or listen.sds.mtls",
            address,
        )
    else:
        guard.prepare()
        context.stack.callback(guard.close)
        address = guard.inner_address
    server = GrpcServer(
        address,
        SDS_SERVICE,
        handlers,
        max_message_bytes=_MAX_MESSAGE_BYTES,
        max_connections=most,
    )
    await context.listen(server)
    if guard is not None:
        guard.start()
        context.stack.push_async_callback(guard.stop)
    if isinstance(guard, TlsGuard):
        context.spawn(guard.judge())
        return guard
    return None
