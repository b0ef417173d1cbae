"""A pool that runs, and what must be left when it has stopped."""

import os
from collections.abc import AsyncIterator

import pytest

from sidecar.runtime.workers import liveness
from sidecar.runtime.workers import pool as pool_module
from tests.runtime.workers.harness import children
from tests.runtime.workers.pooled import Pool
from tests.support.minting import Issuer


@pytest.fixture
def earlier() -> set[int]:
    """Return the processes that there were before the test."""
    return set(children(os.getpid()))


@pytest.fixture
async def pool(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch, earlier: set[int]
) -> AsyncIterator[Pool]:
    monkeypatch.setattr(pool_module, "HEARTBEAT_SECONDS", 0.25)
    monkeypatch.setattr(liveness, "MAX_START_HEARTBEATS", 200)
    running = Pool()
    running.publish(issuer.ring)
    await running.pool.start()
    yield running
    await running.pool.stop()
    assert set(children(os.getpid())) <= earlier
    assert running.faults == []
