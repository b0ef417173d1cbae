"""Serves the certificates that answer tls-alpn-01, separate from the real ones."""

from collections.abc import Callable

import grpc

from sidecar.certificates.challenges.distributed_solver import DistributedSolver
from sidecar.certificates.challenges.tls_alpn01 import ChallengeCertificates
from sidecar.certificates.managed.store import CertificateStore
from sidecar.common.clock import monotonic_seconds, wall_seconds
from sidecar.context import AppContext
from sidecar.sds.metrics import SdsMetrics
from sidecar.sds.purposes import ACME_PURPOSE, PurposeHandler
from sidecar.sds.service import SdsEvents, SdsService


def challenge_handler(
    life: AppContext, metrics: SdsMetrics
) -> tuple[grpc.GenericRpcHandler, Callable[[DistributedSolver], None]]:
    """Return the handler for the streams of challenges, which are not counted as Envoys.

    And what has it serve those of a solver: before that there are none.
    """
    source = ChallengeCertificates(None, now=wall_seconds, clock=monotonic_seconds)
    life.stack.push_async_callback(source.close)
    sds = SdsService(
        CertificateStore(wall_seconds),
        SdsEvents(lambda _streams: None, metrics.push, metrics.nack),
        on_demand=source,
    )
    life.stack.callback(sds.drain)
    return PurposeHandler(ACME_PURPOSE, sds.handlers()), source.use
