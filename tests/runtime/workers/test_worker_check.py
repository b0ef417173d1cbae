"""A worker's Check service, changed by the frames of the main process."""

import os
from collections.abc import AsyncIterator

import msgspec
import pytest

from sidecar.common.registered_domains import shard_of
from sidecar.config import parse_config
from sidecar.decision_cache.control import make_control
from sidecar.decision_cache.protocol import NO_CREDIT
from sidecar.keys.lifecycle import KeyState
from sidecar.observability.counters import Counters
from sidecar.runtime.check import compile_policies
from sidecar.runtime.workers.frames import Domains, Policies, TenantTableFrame
from sidecar.runtime.workers.framing import FrameFault
from sidecar.runtime.workers.key_frames import KeysFrame, Revoked, public_keys
from sidecar.runtime.workers.limit_frames import CreditSlotsFrame, LeasesHeld
from sidecar.runtime.workers.worker_check import WorkerCheck
from sidecar.tokens.revocation import PartTables
from tests.authz.conftest import CONFIG
from tests.support.minting import ISSUER, TENANT, Issuer


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


STORED = CONFIG.replace(
    "audiences:", "claims: {tenant: {path: org, tenants_from: {path: iam/t}}}, audiences:"
)


async def test_a_table_of_tenants_is_in_force_from_its_frame_on(issuer: Issuer) -> None:
    made = WorkerCheck(
        Policies(parse_config(STORED, "test")), Counters(), lambda exc: pytest.fail(repr(exc))
    )

    def table() -> object:
        mapping = made.service.snapshot.tokens.issuers[ISSUER].mapping
        assert mapping is not None
        return mapping.tenant.table

    assert table() is None
    made.take_tenant_table(TenantTableFrame(0, ISSUER, "secret", "iam/t", {"acme": TENANT}))
    made.take_keys(keys(issuer, 1))
    assert (table(), made.version) == ({"acme": TENANT}, 1)
    before = made.service.snapshot
    made.take_tenant_table(TenantTableFrame(2, ISSUER, "secret", "iam/t", {"acme": TENANT}))
    assert (made.service.snapshot is before, made.version) == (True, 2)
    made.take_tenant_table(TenantTableFrame(3, ISSUER, "secret", "iam/u", {"b": TENANT}))
    assert table() == {"acme": TENANT}, "another entry, which a reload will use"
    made.expect(Policies(parse_config(STORED.replace("iam/t", "iam/u"), "test"), 2))
    made.take_keys(msgspec.structs.replace(keys(issuer, 4), policies=2))
    assert table() == {"b": TENANT}
    made.take_tenant_table(TenantTableFrame(5, ISSUER, "secret", "iam/t", None))
    assert len(made.service.snapshot.tenant_tables) == 1
    made.take_tenant_table(TenantTableFrame(6, ISSUER, "secret", "iam/u", None))
    assert table() is None
    made.close(5)


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


OTHER = parse_config(CONFIG.replace("/api,", "/apis,").replace("routes:",
                     "audit: {sample_allowed: 0.5}\nroutes:", 1), "test")  # fmt: skip


@pytest.mark.parametrize("is_compiled", [True, False])
async def test_policies_are_in_force_with_the_keys_that_name_them(
    check: WorkerCheck, issuer: Issuer, is_compiled: bool
) -> None:
    """Whether a thread has compiled them by then, or the worker has only just started."""
    check.take_keys(keys(issuer, 1))
    before, frame = check.service.snapshot, Policies(OTHER, 2)
    check.expect(frame)
    compiled = compile_policies(OTHER)
    if is_compiled:
        check.take_compiled(frame, compiled)
    assert check.service.snapshot is before
    other = Issuer.generate("key-2")
    check.take_keys(msgspec.structs.replace(keys(other, 2), policies=2))
    now = check.service.snapshot
    assert (now.routes is compiled.snapshot.routes) is is_compiled
    assert now.routes.find("GET", "a.example", "/apis/x") is not None
    assert [each.kid for each in now.ring] == ["key-2"]
    assert (check.config, check.policies, check._audit.sample_allowed) == (OTHER, 2, 0.5)
    check.take_keys(msgspec.structs.replace(keys(issuer, 3), policies=2))
    assert check.service.snapshot.routes is now.routes


async def test_what_an_earlier_reload_compiled_is_not_taken_for_the_next(
    check: WorkerCheck, issuer: Issuer
) -> None:
    given_up, frame = Policies(OTHER, 2), Policies(parse_config(CONFIG, "test"), 3)
    check.expect(given_up)
    check.expect(frame)
    check.take_compiled(given_up, compile_policies(OTHER))
    check.take_keys(msgspec.structs.replace(keys(issuer, 1), policies=3))
    assert check.service.snapshot.routes.find("GET", "a.example", "/api/x") is not None


async def test_policies_that_were_not_sent_are_a_breach(check: WorkerCheck, issuer: Issuer) -> None:
    check.expect(Policies(OTHER, 2))
    with pytest.raises(FrameFault, match="policies 3, which were not sent"):
        check.take_keys(msgspec.structs.replace(keys(issuer, 1), policies=3))


async def test_a_worker_counts_by_other_limits_and_keeps_tenants_own(issuer: Issuer) -> None:
    limited = Policies(parse_config("limits: {}\n" + CONFIG, "test"))
    check = WorkerCheck(limited, Counters(), lambda exc: pytest.fail(repr(exc)))
    assert check.limiter is not None
    own = {"a": check.limiter.policy.limits["tenant"]}
    check.limiter.use_policy(check.limiter.policy.with_tenants(own), 0)
    check.take_keys(keys(issuer, 1))
    check.expect(Policies(parse_config("limits: {tenant: {requests: 5}}\n" + CONFIG, "test"), 2))
    check.take_keys(msgspec.structs.replace(keys(issuer, 2), policies=2))
    assert check.limiter.policy.limits["tenant"].requests == 5
    assert check.limiter.policy.tenants == own
    check.close(5)


@pytest.mark.parametrize(
    ("section", "slots"), [("", [NO_CREDIT, NO_CREDIT]), ("limits: {}\n", [7, None])]
)
async def test_it_joins_a_decision_cache_with_the_slots_that_it_is_told(
    section: str, slots: list[int | None]
) -> None:
    made = WorkerCheck(
        Policies(parse_config(section + CONFIG, "test")), Counters(), lambda _exc: None
    )
    memory = make_control(1, 500_000_000, 0)
    made.take_leases(LeasesHeld(True))
    made.join_decision_cache(os.dup(memory.descriptor), 0)
    assert made.deciding is not None
    held = [made.deciding.answers.held]
    made.take_leases(LeasesHeld(True))
    made.take_leases(CreditSlotsFrame({TENANT: 7}))
    held.append(made.deciding.answers.held)
    assert held == [False, True]
    assert [made.deciding.answers.credit_slots.slot_of(each) for each in (TENANT, "b")] == slots
    made.close(5)
    memory.close()
