"""Challenges are answered by the whole fleet, within bounds, and cheaply under invented tokens."""

import asyncio
import secrets
from collections.abc import Callable
from typing import Any

import pytest

from sidecar.certificates.challenges import distributed_solver as challenges
from sidecar.certificates.challenges.challenge_list import TLS_ALPN, Challenge
from sidecar.certificates.challenges.distributed_solver import DistributedSolver
from sidecar.common.clock import monotonic_seconds
from sidecar.common.pacing import WAKES_A_TURN
from sidecar.vault.answers import KvSecret
from sidecar.vault.errors import VaultUnreachable
from tests.support.fleet_kv import NOW, MemoryKv

PATH = "septem/certificates/challenges"


def make(
    kv: Any,
    *,
    sleep: Any = asyncio.sleep,
    now: Any = lambda: NOW,
    clock: Callable[[], float] = monotonic_seconds,
) -> DistributedSolver:
    return DistributedSolver(
        kv,
        "secret",
        PATH,
        now=now,
        sleep=sleep,
        jitter=lambda: 0.5,
        clock=clock,
    )


def challenge(number: int = 0, *, ends_in: float = 100.0, start: float = NOW) -> Challenge:
    token = f"{number:04}-{secrets.token_urlsafe(24)}"
    return Challenge(token, "a.example", f"{token}.thumb", start + ends_in)


async def ask(solver: DistributedSolver, token: str) -> Challenge | None:
    found = solver.find(token)
    return found if isinstance(found, Challenge) or found is None else await found


async def test_ours_at_once_and_the_fleets_after_one_read() -> None:
    kv = MemoryKv()
    ours, theirs = make(kv), make(kv)
    one = challenge()
    await ours.publish([one])
    assert ours.find(one.token) == one
    reader = asyncio.create_task(theirs.run())
    assert await ask(theirs, one.token) == one
    await ours.withdraw([one])
    assert one.token not in ours._own
    assert await ask(theirs, one.token) is None
    reader.cancel()


async def test_ten_thousand_made_up_tokens_cost_a_few_reads_and_crowd_out_no_real_one() -> None:
    kv = MemoryKv()
    ours, theirs = make(kv), make(kv)
    one = challenge()
    await ours.publish([one])
    kv.reads = 0
    reader = asyncio.create_task(theirs.run())
    flood = [ask(theirs, secrets.token_urlsafe(24)) for _ in range(3000)]
    found = await asyncio.wait_for(asyncio.gather(*flood, ask(theirs, one.token)), 10)
    assert found.pop() == one
    assert not any(found)
    assert kv.reads <= 2
    reader.cancel()


async def test_waiters_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(challenges, "MAX_WAITING", 2)
    solver = make(MemoryKv())
    waits = [asyncio.ensure_future(ask(solver, secrets.token_urlsafe(24))) for _ in range(5)]
    await asyncio.sleep(0)
    assert [wait.done() for wait in waits] == [False, False, True, True, True]
    for wait in waits:
        wait.cancel()


@pytest.mark.parametrize("token", ["", "short", "x" * 129, "a/b" * 10, "../" * 8, "é" * 20])
async def test_what_is_no_token_is_not_looked_for(token: str) -> None:
    assert make(MemoryKv()).find(token) is None


async def test_while_vault_is_unavailable_no_token_is_found_and_the_loop_goes_on() -> None:
    kv = MemoryKv()
    clock = [0.0]
    solver = make(kv, clock=lambda: clock[0])
    reader = asyncio.create_task(solver.run())
    kv.away = True
    one = challenge()
    assert await ask(solver, one.token) is None
    assert solver.find(one.token) is None, "nobody waits for a Vault that has just not answered"
    with pytest.raises(VaultUnreachable):
        await solver.publish([one])
    await solver.withdraw([one])
    kv.away = False
    await make(kv).publish([one])
    assert solver.find(one.token) is None
    clock[0] += challenges.AWAY_SECONDS
    assert await ask(solver, one.token) == one
    reader.cancel()


async def test_a_missed_token_is_not_looked_for_again_for_a_moment() -> None:
    kv = MemoryKv()
    clock = [0.0]
    solver = make(kv, clock=lambda: clock[0])
    reader = asyncio.create_task(solver.run())
    one = challenge()
    assert await ask(solver, one.token) is None
    assert solver.find(one.token) is None, "at once: it was just not there"
    assert await solver.find_all([one.token, one.token]) == {}
    assert kv.reads == 1
    await make(kv).publish([one])
    clock[0] += challenges.MISS_SECONDS
    assert await ask(solver, one.token) == one
    reader.cancel()


async def test_the_memory_of_missed_tokens_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(challenges, "MAX_MISSED", 100)
    solver = make(MemoryKv())
    solver._note_missed(f"{number:020}" for number in range(500))
    assert len(solver._missed) == 100
    assert solver.find(f"{499:020}") is None
    waiting = solver.find(f"{0:020}")
    assert waiting is not None
    waiting.close()  # type: ignore[union-attr]


async def test_several_are_found_with_one_look() -> None:
    kv = MemoryKv()
    ours, theirs = challenge(1), challenge(2)
    tls = challenge(3)._replace(kind=TLS_ALPN)
    await make(kv).publish([theirs, tls])
    solver = make(kv)
    await solver.publish([ours])
    kv.reads = 0
    reader = asyncio.create_task(solver.run())
    tokens = [ours.token, theirs.token, tls.token, secrets.token_urlsafe(24), "no"]
    found = await asyncio.wait_for(solver.find_all(tokens), 10)
    assert found == {ours.token: ours, theirs.token: theirs}
    assert await solver.find_all([ours.token]) == {ours.token: ours}
    assert kv.reads == 1
    reader.cancel()


async def test_a_read_that_hangs_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(challenges, "READ_SECONDS", 0.02)
    kv = MemoryKv()

    async def hang(*_: object) -> KvSecret:
        await asyncio.sleep(60)
        raise AssertionError

    kv.read_kv_latest = hang  # type: ignore[method-assign, assignment]
    solver = make(kv)
    reader = asyncio.create_task(solver.run())
    assert await asyncio.wait_for(ask(solver, secrets.token_urlsafe(24)), 10) is None
    assert solver.find(secrets.token_urlsafe(24)) is None
    reader.cancel()


async def test_waiters_of_one_read_are_woken_a_few_in_each_iteration() -> None:
    solver = make(MemoryKv())
    waits = [asyncio.ensure_future(ask(solver, secrets.token_urlsafe(24))) for _ in range(500)]
    await asyncio.sleep(0)
    reader = asyncio.create_task(solver.run())
    before = 0
    while not all(wait.done() for wait in waits):
        await asyncio.sleep(0)
        done = sum(wait.done() for wait in waits)
        assert done - before <= WAKES_A_TURN
        before = done
    reader.cancel()
