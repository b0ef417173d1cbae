"""Certificates from Vault, and SDS that hands them to Envoy.

The only part that knows envoy-data-plane: half a second and 16 MB, so the runtime imports
this where ``listen.sds`` is set.
"""

import asyncio
import random

from sidecar.certs.manager import CertificateManager
from sidecar.certs.pki_issuer import PkiIssuer
from sidecar.certs.store import CertificateStore
from sidecar.clock import wall_seconds
from sidecar.config import model
from sidecar.numbers import SdsNumbers, certificate_families
from sidecar.sds.service import SECRET_SERVICE, SdsEvents, SdsService
from sidecar.transport.aio import GrpcServer
from sidecar.vault.client import VaultClient
from sidecar.wiring.lifespan import Lifespan

_MAX_MESSAGE_BYTES = 4_194_304


async def start_sds(life: Lifespan, settings: model.SdsListen, vault: VaultClient) -> None:
    """Obtain every certificate, then serve them and keep them fresh."""
    store = CertificateStore(wall_seconds)
    manager = CertificateManager(
        life.config.certificates,
        PkiIssuer(vault, wall_seconds),
        store,
        now=wall_seconds,
        sleep=asyncio.sleep,
        jitter=random.random,
    )
    await manager.obtain_all()
    numbers = SdsNumbers()
    sds = SdsService(store, SdsEvents(numbers.streams, numbers.push, numbers.nack))
    life.metrics.add_source(numbers.families)
    life.metrics.add_source(
        lambda: certificate_families(
            ((name, held.not_after) for name, held in store), manager.failures
        )
    )
    server = GrpcServer(
        settings.address, SECRET_SERVICE, sds.handlers(), max_message_bytes=_MAX_MESSAGE_BYTES
    )
    await life.listen(server)
    life.stack.callback(sds.drain)
    life.spawn(manager.keep_fresh())
