"""The board of challenges: shared by a fleet, bounded, and cheap under made-up tokens."""

import asyncio
import secrets
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from demo.openbao import OpenBao
from sidecar.certificates.challenges import http01 as challenges
from sidecar.certificates.challenges.http01 import Challenge, ChallengeFault, DistributedSolver
from sidecar.common.clock import monotonic_seconds, wall_seconds
from sidecar.common.pacing import WAKES_A_TURN
from sidecar.vault.client import KvSecret, VaultClient
from sidecar.vault.errors import VaultConflict, VaultNotFound, VaultUnreachable
from tests.support.policies import FLEET_POLICY
from tests.support.real import TokenFile

NOW = 1_000_000.0


class Kv:
    """One entry that can be away, where a real Vault would have to be broken each time."""

    def __init__(self) -> None:
        self.data: Mapping[str, Any] | None = None
        self.version = 0
        self.reads = 0
        self.away = False

    async def read_kv(self, mount: str, path: str) -> KvSecret:
        self.reads += 1
        await asyncio.sleep(0)
        if self.away:
            raise VaultUnreachable(f"{mount}/{path}: cannot be reached")
        if self.data is None:
            raise VaultNotFound(f"{mount}/{path}")
        return KvSecret(self.data, self.version)

    async def read_kv_version(self, _mount: str, _path: str) -> int:
        return self.version

    async def write_kv(self, _mount: str, path: str, data: Mapping[str, Any], cas: int) -> int:
        if self.away:
            raise VaultUnreachable(path)
        if cas != self.version:
            raise VaultConflict(path)
        self.data, self.version = data, self.version + 1
        return self.version

    async def read_time(self) -> float:
        return NOW


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
        "septem/certificates/challenges",
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
    kv = Kv()
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
    kv = Kv()
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


async def test_nobody_waits_beyond_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(challenges, "MAX_WAITING", 2)
    solver = make(Kv())
    waits = [asyncio.ensure_future(ask(solver, secrets.token_urlsafe(24))) for _ in range(5)]
    await asyncio.sleep(0)
    assert [wait.done() for wait in waits] == [False, False, True, True, True]
    for wait in waits:
        wait.cancel()


@pytest.mark.parametrize("token", ["", "short", "x" * 129, "a/b" * 10, "../" * 8, "é" * 20])
async def test_what_is_no_token_is_not_looked_for(token: str) -> None:
    assert make(Kv()).find(token) is None


async def test_a_vault_that_is_away_answers_nobody_and_ends_nothing() -> None:
    kv = Kv()
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


async def test_what_a_dead_sidecar_left_ends_by_itself() -> None:
    kv = Kv()
    gone, fresh = challenge(1, ends_in=-1), challenge(2)
    kv.data, kv.version = {"challenges": {gone.token: gone._asdict()}}, 5
    solver = make(kv)
    await solver.publish([fresh])
    assert kv.data == {"challenges": {fresh.token: fresh._asdict()}}


async def test_what_stands_in_vault_is_read_with_care() -> None:
    kv = Kv()
    good = challenge(3)
    kv.data = {
        "challenges": {
            good.token: good._asdict(),
            "no": good._asdict(),
            challenge().token: {"host": 1},
            challenge().token: {**good._asdict(), "answer": "x" * 1000},
        }
    }
    kv.version = 1
    listed, _ = await make(kv)._read()
    assert listed == {good.token: good}
    kv.data = {"challenges": ["what"]}
    assert await make(kv)._read() == ({}, 1)


async def test_there_are_never_too_many() -> None:
    kv = Kv()
    many = {f"{n:020}": challenge(n)._replace(token=f"{n:020}")._asdict() for n in range(1000)}
    kv.data, kv.version = {"challenges": many}, 1
    with pytest.raises(ChallengeFault, match="1000 challenges in flight"):
        await make(kv).publish([challenge()])


@pytest.mark.real
async def test_many_sidecars_write_one_list(openbao: OpenBao, token_file: TokenFile) -> None:
    token_file.write(openbao.token_for(FLEET_POLICY, name="challenges"))
    vaults = [
        VaultClient(token_file.settings(openbao.address), clock=monotonic_seconds) for _ in range(8)
    ]
    boards = [make(vault, now=wall_seconds) for vault in vaults]
    start = wall_seconds()
    wanted = [challenge(number, start=start) for number in range(8)]
    await asyncio.gather(
        *(solver.publish([each]) for solver, each in zip(boards, wanted, strict=True))
    )
    listed, _ = await boards[0]._read()
    assert set(listed.values()) == set(wanted)
    await asyncio.gather(
        *(solver.withdraw([each]) for solver, each in zip(boards, wanted, strict=True))
    )
    assert (await boards[0]._read())[0] == {}
    for vault in vaults:
        await vault.close()


async def test_a_token_that_was_not_there_is_not_looked_for_again_for_a_moment() -> None:
    kv = Kv()
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


async def test_what_is_remembered_of_made_up_tokens_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(challenges, "MAX_MISSED", 100)
    solver = make(Kv())
    solver._note_missed(f"{number:020}" for number in range(500))
    assert len(solver._missed) == 100
    assert solver.find(f"{499:020}") is None
    waiting = solver.find(f"{0:020}")
    assert waiting is not None
    waiting.close()  # type: ignore[union-attr]


async def test_several_are_found_with_one_look() -> None:
    kv = Kv()
    ours, theirs = challenge(1), challenge(2)
    tls = challenge(3)._replace(kind=challenges.TLS_ALPN)
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


async def test_a_vault_that_hangs_holds_nobody_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(challenges, "READ_SECONDS", 0.02)
    kv = Kv()

    async def hang(*_: object) -> KvSecret:
        await asyncio.sleep(60)
        raise AssertionError

    kv.read_kv = hang  # type: ignore[method-assign, assignment]
    solver = make(kv)
    reader = asyncio.create_task(solver.run())
    assert await asyncio.wait_for(ask(solver, secrets.token_urlsafe(24)), 10) is None
    assert solver.find(secrets.token_urlsafe(24)) is None
    reader.cancel()


async def test_those_that_waited_for_one_read_are_woken_a_few_a_turn() -> None:
    solver = make(Kv())
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
