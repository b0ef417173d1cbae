"""A pool of real worker processes, without Vault and Envoy around them."""

import asyncio
from collections.abc import Sequence
from typing import Any

import grpc
import msgspec
from grpc_health.v1 import health_pb2, health_pb2_grpc

from demo.process import free_run
from sidecar.common.clock import monotonic_seconds, wall_seconds
from sidecar.config import model, parse_config
from sidecar.config.endpoints import check_endpoints
from sidecar.keys.lifecycle import KeyState
from sidecar.runtime.workers.pool import (
    AuditQueue,
    Dependencies,
    WorkerPool,
)
from sidecar.runtime.workers.process import WorkerProcess
from sidecar.runtime.workers.spawn import COMMAND
from sidecar.tokens.keyring import KeyRing
from sidecar.tokens.revocation import (
    NOTHING_REVOKED,
    Revocations,
)
from sidecar.transport.names import CHECK_METHOD
from tests.authz.checks import Answer, check_request, read_answer
from tests.authz.conftest import CONFIG
from tests.support.minting import Issuer

WORKERS = 2


class Lines:
    """Takes audit lines while there is room."""

    def __init__(self) -> None:
        self.room = 1_000_000
        self.taken: list[bytes] = []

    def record_lines(self, lines: Sequence[bytes]) -> int:
        taken = lines[: max(0, self.room)]
        self.room -= len(taken)
        self.taken += taken
        return len(taken)

    def share(self, _parts: int) -> "Lines":
        return self


class Pool:
    """A pool, what it says, and a client of each endpoint."""

    def __init__(
        self,
        address: str = "",
        command: Sequence[str] = COMMAND,
        workers: int = WORKERS,
        config: model.Config | None = None,
        **audit: object,
    ) -> None:
        address = address or f"127.0.0.1:{free_run(workers)}"
        config = parse_config(CONFIG, "test") if config is None else config
        self.config = config = msgspec.structs.replace(
            config, audit=msgspec.structs.replace(config.audit, **audit)
        )
        listen = msgspec.structs.replace(config.listen.authz, address=address, workers=workers)
        self.addresses = check_endpoints(listen)
        self.lines = Lines()
        queue = self.make_queue()
        self.said: list[tuple[int, int]] = []
        self.unknown = 0
        dependencies = Dependencies(monotonic_seconds, asyncio.sleep, lambda: 0.5, queue, command)
        self.faults: list[BaseException] = []
        self.pool = WorkerPool(
            self.addresses,
            config,
            dependencies,
            on_change=lambda n, of: self.said.append((n, of)),
            on_fault=self.faults.append,
        )
        self.pool.on_unknown_kid = self.count_unknown

    def make_queue(self) -> AuditQueue:
        return self.lines

    def count_unknown(self) -> None:
        self.unknown += 1

    def publish(self, ring: KeyRing, revocations: Revocations = NOTHING_REVOKED) -> None:
        self.pool.broadcast.publish(ring, revocations, KeyState.ACTIVE)

    def pid(self, number: int) -> int:
        process = self.pool.slots[number].process
        return process.pid if process is not None else 0

    async def ask(self, number: int, token: bytes, host: str = "app.septemcore.com") -> Answer:
        headers = {"authorization": f"Bearer {token.decode()}"}
        return read_answer(await self.call(number, check_request(headers=headers, host=host)))

    async def call(self, number: int, raw: bytes) -> bytes:
        async with grpc.aio.insecure_channel(self.addresses[number]) as channel:
            answer: bytes = await channel.unary_unary(CHECK_METHOD)(raw, timeout=5)
            return answer

    async def serving(self, number: int, service: str) -> bool:
        async with grpc.aio.insecure_channel(self.addresses[number]) as channel:
            asked = health_pb2.HealthCheckRequest(service=service)
            answer = await health_pb2_grpc.HealthStub(channel).Check(asked, timeout=5)
            return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def good(issuer: Issuer, **changes: Any) -> bytes:
    now = wall_seconds()
    return issuer.mint(**{"exp": now + 600, "iat": now - 1, "nbf": now - 1, **changes})


def unstarted() -> WorkerProcess:
    """Return a worker process that was not started."""
    return WorkerProcess(
        0,
        lambda: (0, ()),
        audit=Lines(),
        on_serving=lambda: None,
        on_unknown_kid=lambda: None,
        routes=frozenset(),
        clock=monotonic_seconds,
    )
