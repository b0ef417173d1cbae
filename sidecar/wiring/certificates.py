"""Certificates from their issuers, and SDS that hands them to Envoy.

The only part that knows envoy-data-plane: half a second and 16 MB, so the runtime imports
this where ``listen.sds`` is set.
"""

from collections.abc import Callable, Sequence

import grpc

from sidecar.alerts import Alerts
from sidecar.authz.challenge import ChallengeSource
from sidecar.certs.alpn import ChallengeCertificates
from sidecar.certs.challenges import ChallengeBoard
from sidecar.certs.store import CertificateStore
from sidecar.clock import monotonic_seconds, wall_seconds
from sidecar.config import model
from sidecar.numbers import SdsNumbers
from sidecar.sds.purposes import ACME_PURPOSE, PurposeHandler
from sidecar.sds.service import SECRET_SERVICE, SdsEvents, SdsService
from sidecar.transport.aio import GrpcServer
from sidecar.transport.guard import make_guard
from sidecar.vault.client import VaultClient
from sidecar.wiring.certificate_room import Certificates
from sidecar.wiring.lifespan import Lifespan
from sidecar.wiring.on_demand import OnDemandRoom

_MAX_MESSAGE_BYTES = 4_194_304


async def start_sds(
    life: Lifespan,
    settings: model.SdsListen,
    vault: VaultClient,
    alerts: Alerts,
    answer_challenges: Callable[[ChallengeSource], None],
) -> None:
    """Obtain every certificate, then serve them and keep them fresh.

    ``answer_challenges`` is given where challenges of ACME orders are found, for the Check.
    """
    certificates = Certificates(life.config, vault.beside("vault-certificates"), alerts)
    life.stack.callback(certificates.close)
    await certificates.load()
    if certificates.board is not None:
        answer_challenges(certificates.board)
    numbers = SdsNumbers()
    events = SdsEvents(numbers.streams, numbers.push, numbers.nack)
    if life.config.on_demand is None:
        sds = SdsService(certificates.store, events)
    else:
        room = OnDemandRoom(life.config, life.config.on_demand, vault, certificates)
        sds = await room.start(life, events)
    handlers = sds.handlers()
    if certificates.board is not None:
        handlers = (_challenge_handlers(life, certificates.board, numbers), *handlers)
    life.metrics.add_source(numbers.families)
    life.metrics.add_source(certificates.families)
    await _listen(life, settings, handlers, numbers)
    life.stack.callback(sds.drain)
    for task in certificates.tasks():
        life.spawn(task)


def _challenge_handlers(
    life: Lifespan, board: ChallengeBoard, numbers: SdsNumbers
) -> grpc.GenericRpcHandler:
    """Serve the certificates of tls-alpn-01 to the streams that come for those."""
    source = ChallengeCertificates(board, now=wall_seconds, clock=monotonic_seconds)
    life.stack.push_async_callback(source.close)
    sds = SdsService(
        CertificateStore(wall_seconds),
        SdsEvents(lambda _streams: None, numbers.push, numbers.nack),
        on_demand=source,
    )
    life.stack.callback(sds.drain)
    return PurposeHandler(ACME_PURPOSE, sds.handlers())


async def _listen(
    life: Lifespan,
    settings: model.SdsListen,
    handlers: Sequence[grpc.GenericRpcHandler],
    numbers: SdsNumbers,
) -> None:
    """Open the listener; a Unix socket has a guard before it."""
    guard = make_guard(settings, numbers.refuse_peer)
    address = settings.address
    if guard is not None:
        guard.prepare()
        life.stack.callback(guard.close)
        address = guard.inner_address
    server = GrpcServer(address, SECRET_SERVICE, handlers, max_message_bytes=_MAX_MESSAGE_BYTES)
    await life.listen(server)
    if guard is not None:
        guard.start()
        life.stack.push_async_callback(guard.stop)
