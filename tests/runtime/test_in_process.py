"""Checks in the main process: the engine, key states in health, and a lane that stalls."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from sidecar.config import parse_config
from sidecar.context import AppContext
from sidecar.keys.lifecycle import KeyState
from sidecar.keys.refresher import KeyView
from sidecar.observability.audit import AuditLog
from sidecar.runtime import in_process
from sidecar.runtime.in_process import InProcessChecks
from sidecar.tokens.keyring import EMPTY_RING
from sidecar.transport.aio import GrpcServer
from sidecar.transport.descriptors import CHECKS
from sidecar.transport.h2 import H2Server
from tests.authz.conftest import CONFIG
from tests.support.waiting import until


class Sink:
    """Takes everything."""

    def write(self, lines: bytes) -> None: ...

    def reopen(self) -> None: ...

    def close(self) -> None: ...


@pytest.fixture
async def context() -> AsyncIterator[AppContext]:
    config = parse_config(CONFIG, "test")
    authz = msgspec.structs.replace(config.listen.authz, address="127.0.0.1:0")
    listen = msgspec.structs.replace(config.listen, authz=authz, drain_seconds=0.1)
    made = AppContext(msgspec.structs.replace(config, listen=listen))
    made.bounds = {CHECKS: 8}
    async with made.stack:
        yield made


@pytest.fixture
async def audit() -> AsyncIterator[AuditLog]:
    log = AuditLog(Sink(), queue_lines=10, on_error=lambda _exc: None)
    yield log
    log.close(5)


def with_engine(context: AppContext, engine: str) -> None:
    authz = msgspec.structs.replace(context.config.listen.authz, engine=engine)
    listen = msgspec.structs.replace(context.config.listen, authz=authz)
    context.config = msgspec.structs.replace(context.config, listen=listen)


@pytest.mark.parametrize(("engine", "kind"), [("h2", H2Server), ("grpcio", GrpcServer)])
async def test_the_engine_is_the_configured_one(
    context: AppContext, audit: AuditLog, engine: str, kind: type
) -> None:
    with_engine(context, engine)
    assert type(InProcessChecks(context, audit)._make_server()) is kind


def is_serving(checks: InProcessChecks, name: str) -> bool:
    server = checks._server
    assert isinstance(server, H2Server)
    raw = server.health.check(HealthCheckRequest(service=name).SerializeToString())
    return bool(HealthCheckResponse.FromString(raw).status == HealthCheckResponse.SERVING)


async def test_keys_that_were_published_before_the_start_are_shown_at_it(
    context: AppContext, audit: AuditLog
) -> None:
    checks = InProcessChecks(context, audit)
    checks.publish(KeyView(EMPTY_RING, KeyState.OUTAGE))
    assert checks._check.service.snapshot.key_state is KeyState.OUTAGE
    await checks.start(lambda: None)
    await asyncio.sleep(0)
    serving = [state for state in KeyState if is_serving(checks, f"keys.{state}")]
    assert serving == [KeyState.OUTAGE]
    assert await checks.settled() == ()


async def test_a_stalled_lane_makes_the_process_unready_until_it_moves(
    context: AppContext, audit: AuditLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lane is stopped as a defect would stop it."""
    monkeypatch.setattr(in_process, "_WATCH_SECONDS", 0.01)
    checks = InProcessChecks(context, audit)
    await checks.start(lambda: None)
    lane = checks._check.lane
    lane._busy = True
    waiting = lane.later(str)
    await asyncio.sleep(0.05)
    assert context.health.ready, "it has waited for a moment only"
    lane._moved_at -= in_process.STALL_SECONDS
    await until(lambda: not context.health.ready)
    assert "1 calls have waited" in context.health.problems["checks"]
    lane._next()
    await waiting
    await until(lambda: context.health.ready)
