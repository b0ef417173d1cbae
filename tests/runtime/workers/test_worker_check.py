"""A worker's Check service, changed by the frames of the main process."""

from collections.abc import AsyncIterator

import pytest

from sidecar.common.registered_domains import shard_of
from sidecar.config import parse_config
from sidecar.keys.lifecycle import KeyState
from sidecar.observability.counters import Counters
from sidecar.runtime.workers.frames import (
    Domains,
    FrameFault,
    KeysFrame,
    Policies,
    Revoked,
    public_keys,
)
from sidecar.runtime.workers.worker_check import WorkerCheck
from sidecar.tokens.revocation import PartTables
from tests.authz.conftest import CONFIG
from tests.support.minting import Issuer


@pytest.fixture
async def check() -> AsyncIterator[WorkerCheck]:
    counters = Counters()
    made = WorkerCheck(
        Policies(parse_config(CONFIG, "test")), counters, lambda exc: pytest.fail(repr(exc))
    )
    yield made
    made.close(5)


def keys(issuer: Issuer, version: int, *revoked: int, degraded: bool = False) -> KeysFrame:
    return KeysFrame(version, public_keys(issuer.ring), revoked, KeyState.ACTIVE, degraded)


async def test_there_is_no_version_before_there_are_keys(
    check: WorkerCheck, issuer: Issuer
) -> None:
    check.take_domains(Domains(0, shard_of("a.example"), {"a.example": "acme"}))
    assert check.version == 0
    check.take_keys(keys(issuer, 3))
    assert check.version == 3
    check.take_domains(Domains(4, shard_of("a.example"), {}))
    assert check.version == 4


async def test_equal_values_stay_the_same_objects(check: WorkerCheck, issuer: Issuer) -> None:
    check.take_revoked(Revoked(1, PartTables(kids=("gone",))))
    check.take_keys(keys(issuer, 1, 1))
    first = check.service.snapshot
    check.take_keys(keys(issuer, 2, 1))
    second = check.service.snapshot
    assert (second.ring, second.revocations) == (first.ring, first.revocations)
    assert second.ring is first.ring
    assert second.revocations is first.revocations
    check.take_keys(keys(Issuer.generate("key-2"), 3))
    assert [each.kid for each in check.service.snapshot.ring] == ["key-2"]
    assert check.service.snapshot.revocations != first.revocations


async def test_keys_that_name_an_unsent_part_change_nothing(
    check: WorkerCheck, issuer: Issuer
) -> None:
    before = check.service.snapshot
    with pytest.raises(FrameFault, match="was not sent"):
        check.take_keys(keys(issuer, 1, 7))
    assert (check.version, check.service.snapshot) == (0, before)


@pytest.mark.parametrize("degraded", [False, True])
async def test_revocations_have_a_state_of_their_own(
    check: WorkerCheck, issuer: Issuer, degraded: bool
) -> None:
    check.take_keys(keys(issuer, 1, degraded=degraded))
    assert check.service.snapshot.revocations_degraded is degraded
    assert check.service.snapshot.key_state is KeyState.ACTIVE


async def test_statistics_are_those_of_its_parts(check: WorkerCheck) -> None:
    stats = check.stats()
    assert (stats.hits, stats.cache_entries, stats.connections, stats.resident_bytes) == (0,) * 4
    assert stats.cpu_seconds > 0
    assert stats.lane_stalled_ms == 0
