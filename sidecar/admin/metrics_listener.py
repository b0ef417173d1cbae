"""``listen.metrics``: ``/metrics`` alone, for who scrapes from another host, over mutual TLS.

The small HTTP server listens on a socket without a name, and the guard that SDS across hosts has
(decision 0030) stands before it: who shows no certificate reaches no line of HTTP.
"""

import ssl
from functools import partial

from sidecar.admin.metrics import ScraperMetrics
from sidecar.admin.tls_files import TlsFiles
from sidecar.common.clock import wall_seconds
from sidecar.config import model
from sidecar.context import AppContext
from sidecar.transport.http1 import HttpServer
from sidecar.transport.http1_messages import Routes
from sidecar.transport.listener_bounds import METRICS
from sidecar.transport.remote_peers import ListenerTls, RemotePeers
from sidecar.transport.tls_guard import TlsGuard

_SETTING = "listen.metrics"
_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_ALPN = ("http/1.1",)


async def open_metrics(
    context: AppContext, settings: model.MetricsListen, routes: Routes
) -> TlsGuard:
    """Serve ``routes`` over mutual TLS until the drain. Raises ``Fault``.

    With a managed certificate handshakes fail until it has been obtained, and need no restart.
    """
    tls = settings.tls
    if isinstance(tls, model.FilesTls):
        files = TlsFiles(tls, wall_seconds)
        await files.load()
        context.watch(files.status)
        context.spawn(files.poll.run())
        trusted, material = files.trusted, files.material
    else:
        trusted = partial(context.identities.trusted, tls.trust_bundle)
        material = partial(context.identities.material, tls.certificate)
    metrics = ScraperMetrics(material)
    peers = RemotePeers(
        trusted,
        material,
        wall_seconds,
        ListenerTls(_ALPN, _VERSIONS[tls.min_version], any_peer=True),
    )
    most = context.bounds[METRICS]
    guard = TlsGuard(
        settings.address, peers, metrics.refuse, metrics.cut_off, most, setting=_SETTING
    )
    guard.prepare()
    context.stack.callback(guard.close)
    server = HttpServer(
        guard.inner_address,
        routes,
        on_fault=context.on_fault,
        max_body_bytes=0,
        max_connections=most,
    )
    await server.start()
    context.stack.push_async_callback(server.close)
    guard.start()
    context.stack.push_async_callback(guard.stop)
    context.spawn(guard.judge())
    context.metrics.add_source(metrics.families)
    return guard
