"""What real workers are sent, and when all of them decide by it."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from sidecar.common.registered_domains import RegisteredDomains
from sidecar.config import parse_config
from sidecar.keys.lifecycle import KeyState
from sidecar.module_signing.publishers import NO_PUBLISHERS
from sidecar.runtime.workers import broadcast, liveness
from sidecar.runtime.workers.broadcast import WorkerFault
from sidecar.runtime.workers.published import EncodedPolicies, Given
from sidecar.tokens.keyring import EMPTY_RING, KeyRing
from sidecar.tokens.revocation import (
    NOTHING_REVOKED,
    PartTables,
    RevocationEntry,
    RevocationPart,
    Revocations,
    RevokedToken,
)
from tests.authz.conftest import CONFIG
from tests.runtime.workers.pooled import WORKERS, Pool, good
from tests.support.minting import ISSUER, Issuer
from tests.support.waiting import until


async def test_a_withdrawn_key_is_gone_everywhere(pool: Pool, issuer: Issuer) -> None:
    token = good(issuer)
    for number in range(WORKERS):
        assert (await pool.ask(number, token)).allowed
    pool.publish(EMPTY_RING)
    await pool.pool.broadcast.settle()
    for number, slot in enumerate(pool.pool.slots):
        assert slot.version == pool.pool.broadcast.version == 2
        assert (await pool.ask(number, token)).metadata["reason"] == "keys_unavailable"


async def test_a_revocation_reaches_all_and_a_worker_that_comes_later(
    pool: Pool, issuer: Issuer
) -> None:
    token, other = good(issuer), good(issuer, jti="tok-2")
    entry = RevocationEntry(tokens=(RevokedToken(iss=ISSUER, jti="tok-1", exp=2e9),))
    pool.publish(issuer.ring, Revocations(entry, 0, 930))
    await pool.pool.broadcast.settle()
    os.kill(pid := pool.pid(0), signal.SIGKILL)
    await until(lambda: pool.pid(0) not in {0, pid} and pool.pool.serving == WORKERS)
    for number in range(WORKERS):
        assert (await pool.ask(number, token)).metadata["reason"] == "token_revoked"
        assert (await pool.ask(number, other)).allowed


async def test_a_registered_domain_reaches_all_and_a_worker_that_comes_later(
    pool: Pool, issuer: Issuer
) -> None:
    """It is acknowledged as a revocation is; a worker never serves without it."""
    registered = RegisteredDomains.of([("shop.example", "another-tenant")])
    token = good(issuer)
    assert (await pool.ask(0, token, host="shop.example")).allowed
    pool.pool.broadcast.publish_domains(registered)
    await pool.pool.broadcast.settle()
    assert {slot.version for slot in pool.pool.slots} == {pool.pool.broadcast.version} == {2}
    pool.pool.broadcast.publish_domains(registered)
    assert pool.pool.broadcast.version == 2, "nothing new, nothing sent"
    os.kill(pid := pool.pid(0), signal.SIGKILL)
    await until(lambda: pool.pid(0) not in {0, pid} and pool.pool.serving == WORKERS)
    for number in range(WORKERS):
        answer = await pool.ask(number, token, host="shop.example")
        assert answer.metadata["reason"] == "tenant_mismatch"
        assert (await pool.ask(number, token)).allowed
    pool.pool.broadcast.publish_domains(registered.changed({"shop.example": None}))
    await pool.pool.broadcast.settle()
    for number in range(WORKERS):
        assert (await pool.ask(number, token, host="shop.example")).allowed


async def test_what_can_not_be_encoded_harms_no_worker_that_starts_later(
    pool: Pool, issuer: Issuer
) -> None:
    """A lone surrogate is no Unicode, and can't be encoded; what came before goes on."""
    revoked = [Revocations.of([RevocationPart(PartTables(kids=(kid,)))]) for kid in ("a", "b")]
    pool.publish(issuer.ring, revoked[0])
    version = pool.pool.broadcast.version
    with pytest.raises(UnicodeEncodeError):
        pool.pool.broadcast.publish_domains(RegisteredDomains.of([("shop.example", "\ud800")]))
    bad = next(iter(issuer.ring))._replace(kid="\ud800")
    with pytest.raises(UnicodeEncodeError):
        pool.publish(KeyRing([*issuer.ring, bad]), revoked[1])
    assert pool.pool.broadcast.version == version
    os.kill(pid := pool.pid(0), signal.SIGKILL)
    await until(lambda: pool.pid(0) not in {0, pid} and pool.pool.serving == WORKERS)
    assert (await pool.ask(0, good(issuer))).allowed
    pool.pool.broadcast.publish_domains(RegisteredDomains.of([("shop.example", "another-tenant")]))
    pool.publish(KeyRing(()))
    assert await pool.pool.broadcast.settle() == ()
    for number in range(WORKERS):
        assert not (await pool.ask(number, good(issuer))).allowed


async def test_what_changes_while_one_starts_reaches_it(issuer: Issuer) -> None:
    running = Pool()
    running.publish(EMPTY_RING)
    starting = asyncio.ensure_future(running.pool.start())
    while not running.pid(0):
        await asyncio.sleep(0)
    running.publish(issuer.ring)
    running.pool.broadcast.set_ready(ready=True)
    await starting
    await running.pool.broadcast.settle()
    for number in range(WORKERS):
        assert (await running.ask(number, good(issuer))).allowed
        assert await running.serving(number, "")
    await running.pool.stop()


async def test_what_is_equal_is_not_sent_again(pool: Pool, issuer: Issuer) -> None:
    pool.publish(issuer.ring)
    assert pool.pool.broadcast.version == 1


async def test_a_withdrawal_is_settled_when_the_hung_worker_has_ended(
    pool: Pool, issuer: Issuer
) -> None:
    """Not before: thawed, it would answer by the keys it has."""
    os.kill(pid := pool.pid(1), signal.SIGSTOP)
    pool.publish(EMPTY_RING)
    assert await pool.pool.broadcast.settle() == ()
    assert not Path(f"/proc/{pid}").exists()
    await until(lambda: pool.pool.serving == WORKERS)
    for number in range(WORKERS):
        assert (await pool.ask(number, good(issuer))).metadata["reason"] == "keys_unavailable"


async def test_a_worker_that_does_not_take_its_keys_in_time_is_named(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(liveness, "MAX_BEHIND_HEARTBEATS", 1000)
    monkeypatch.setattr(broadcast, "SETTLE_SECONDS", 0.5)
    os.kill(pid := pool.pid(1), signal.SIGSTOP)
    pool.publish(EMPTY_RING)
    assert await pool.pool.broadcast.settle() == (1,)
    os.kill(pid, signal.SIGCONT)
    await until(lambda: pool.pool.slots[1].version == pool.pool.broadcast.version)
    assert await pool.pool.broadcast.settle() == ()


OTHER = parse_config(
    CONFIG.replace("name: api, path_prefix: /api", "name: apis, path_prefix: /apis"), "test"
)


def given(ring: KeyRing) -> Given:
    return Given(ring, KeyState.ACTIVE, NOTHING_REVOKED, False, NO_PUBLISHERS)


async def reload(pool: Pool, issuer: Issuer, prepared: EncodedPolicies) -> None:
    pool.pool.broadcast.put_in_force(prepared, given(issuer.ring), ["apis"])
    assert await pool.pool.broadcast.settle() == ()


async def test_policies_are_compiled_by_all_before_they_are_in_force(
    pool: Pool, issuer: Issuer
) -> None:
    prepared = await pool.pool.broadcast.prepare_policies(OTHER)
    processes = [slot.process for slot in pool.pool.slots if slot.process is not None]
    assert [process.compiled for process in processes] == [prepared.number] * WORKERS
    for number in range(WORKERS):
        assert (await pool.ask(number, good(issuer))).allowed, "under /api, as before"
    await reload(pool, issuer, prepared)
    for number in range(WORKERS):
        answer = await pool.ask(number, good(issuer))
        assert answer.metadata["reason"] == "route_unknown"
    await pool.pool.refresh_stats()
    for slot in pool.pool.slots:
        routes = {route for _, _, route in slot.stats().counters.checks}
        assert "api" in routes, "what was counted under the names of before stays"


async def test_one_that_ends_while_others_compile_starts_with_what_is_in_force_then(
    pool: Pool, issuer: Issuer
) -> None:
    os.kill(pid := pool.pid(0), signal.SIGSTOP)
    preparing = asyncio.create_task(pool.pool.broadcast.prepare_policies(OTHER))
    await asyncio.sleep(0)
    os.kill(pid, signal.SIGKILL)
    prepared = await preparing
    await until(lambda: pool.pool.serving == WORKERS)
    await reload(pool, issuer, prepared)
    for number in range(WORKERS):
        answer = await pool.ask(number, good(issuer))
        assert answer.metadata["reason"] == "route_unknown"


async def test_one_that_does_not_compile_in_time_is_named(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broadcast, "PREPARE_SECONDS", 0.2)
    os.kill(pid := pool.pid(1), signal.SIGSTOP)
    with pytest.raises(WorkerFault, match="worker 1: not compiled within"):
        await pool.pool.broadcast.prepare_policies(OTHER)
    os.kill(pid, signal.SIGCONT)
    monkeypatch.undo()
    assert (await pool.pool.broadcast.prepare_policies(OTHER)).number == 3
