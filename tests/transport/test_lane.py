"""The slow lane: many signature checks at once hold up nobody."""

import asyncio
from functools import partial
from itertools import pairwise

from sidecar.authz.ports import Outcome
from sidecar.authz.response_cache import AllowedCheck
from sidecar.authz.service import CheckService
from sidecar.authz.snapshot import build_snapshot
from sidecar.common.clock import elapsed_ns
from sidecar.config import parse_config
from sidecar.tokens.cache import TokenCache
from sidecar.transport.lane import BATCH, QUIET_SECONDS, SlowLane
from tests.authz.checks import check_request, read_answer
from tests.authz.conftest import CONFIG
from tests.support.ids import one_id
from tests.support.minting import NOW, Issuer


async def test_one_a_turn_and_in_order() -> None:
    lane = SlowLane(asyncio.get_running_loop())
    done: list[int] = []
    assert lane.free()
    assert not lane.free()

    def answer(number: int) -> bytes:
        done.append(number)
        return b"x"

    futures = [lane.later(partial(answer, number)) for number in range(5)]
    seen: list[int] = []
    while len(done) < 5:
        await asyncio.sleep(0)
        seen.append(len(done))
    assert done == list(range(5))
    assert max(b - a for a, b in pairwise(seen)) <= 1
    assert [await future for future in futures] == [b"x"] * 5
    await asyncio.sleep(0)
    assert lane.free()


class Answered:
    """What a process has answered; ``beside`` of them are answered beside each call of the lane."""

    def __init__(self, beside: int) -> None:
        self.count = 0
        self.beside = beside

    def total(self) -> int:
        return self.count

    async def turns(self, lane: SlowLane, calls: int) -> list[int]:
        """Run so many calls; return how many ran in each turn of the loop."""

        def call() -> None:
            self.count += 1

        futures = [lane.later(call) for _ in range(calls)]
        turns, before = [], self.count
        while not all(each.done() for each in futures):
            self.count += self.beside
            before += self.beside
            await asyncio.sleep(0)
            turns.append(self.count - before)
            before = self.count
        return [each for each in turns if each]


async def test_where_nobody_else_is_answered_a_turn_has_several_calls() -> None:
    loop = asyncio.get_running_loop()
    answered = Answered(beside=0)
    lane = SlowLane(loop, answered.total)
    assert max(await answered.turns(lane, 8)) == 1, "it has only just looked"
    await asyncio.sleep(QUIET_SECONDS * 1.5)
    assert await answered.turns(lane, 11) == [BATCH, BATCH, 3]
    await asyncio.sleep(0)
    assert lane.free()
    answered.count += 1  # the call that was let run at once is its own
    assert await answered.turns(lane, 4) == [BATCH]


async def test_beside_others_one_call_runs_a_turn_and_for_a_while_after() -> None:
    loop = asyncio.get_running_loop()
    answered = Answered(beside=1)
    lane = SlowLane(loop, answered.total)
    await asyncio.sleep(QUIET_SECONDS * 1.5)
    assert set(await answered.turns(lane, 8)) == {1}
    answered.beside = 0
    assert set(await answered.turns(lane, 8)) == {1}


async def test_who_has_left_is_passed_over() -> None:
    lane = SlowLane(asyncio.get_running_loop())
    lane.free()
    gone = lane.later(lambda: b"never")
    gone.cancel()
    assert await lane.later(lambda: b"next") == b"next"


async def test_warm_checks_are_answered_between_cold_ones(issuer: Issuer) -> None:
    verified: list[str] = []

    class Observer:
        def decided(self, outcome: Outcome) -> None:
            verified.append(outcome.decision.outcome)

        def allowed_fast(self, passage: AllowedCheck) -> None:
            verified.append(passage[1].outcome)

    service = CheckService(
        build_snapshot(parse_config(CONFIG, "test"), issuer.ring),
        now=lambda: NOW,
        elapsed_ns=elapsed_ns,
        new_id=one_id,
        observer=Observer(),
        on_fault=lambda _: None,
        cache=TokenCache(),
        lane=SlowLane(asyncio.get_running_loop()),
    )

    def ask(token: bytes) -> bytes:
        return check_request(headers={"authorization": f"Bearer {token.decode()}"})

    warm = ask(issuer.mint())
    assert isinstance(service.handle(warm), bytes)
    await asyncio.sleep(0.01)
    forger = Issuer.generate()
    cold = [ask(forger.mint(jti=f"t{n}")) for n in range(64)]
    verified.clear()
    answers = [service.handle(raw) for raw in cold]
    assert sum(isinstance(answer, bytes) for answer in answers) == 1
    answer = service.handle(warm)
    assert isinstance(answer, bytes), "from memory, with 63 before it in the lane"
    assert read_answer(answer).allowed
    assert verified == ["signature_invalid", "token_verified"], "of the cold ones only the first"
    await asyncio.sleep(0)
    assert len(verified) <= 4, "and one a turn from here"
    denied = [answer if isinstance(answer, bytes) else await answer for answer in answers]
    assert {read_answer(each).status for each in denied} == {401}
    assert len(verified) == 65


async def test_those_that_asked_the_fleet_take_the_lane_one_by_one(issuer: Issuer) -> None:
    """Two hundred forged tokens wait for one read; a warm Check waits for one of them."""
    verified: list[str] = []

    class Observer:
        def decided(self, outcome: Outcome) -> None:
            verified.append(outcome.decision.outcome)

        def allowed_fast(self, passage: AllowedCheck) -> None:
            verified.append(passage[1].outcome)

    class Fleet:
        def __init__(self) -> None:
            self.read = asyncio.Event()

        async def find(self, _token: str) -> None:
            await self.read.wait()

    fleet = Fleet()
    lane = SlowLane(asyncio.get_running_loop())
    config = CONFIG.replace("routes:\n", "routes:\n  - {name: below, path_prefix: /.well-known}\n")
    service = CheckService(
        build_snapshot(parse_config(config, "test"), issuer.ring),
        now=lambda: NOW,
        elapsed_ns=elapsed_ns,
        new_id=one_id,
        observer=Observer(),
        on_fault=lambda _: None,
        cache=TokenCache(),
        lane=lane,
    )
    service.challenges = fleet
    warm = check_request(headers={"authorization": f"Bearer {issuer.mint().decode()}"})
    service.handle(warm)
    forger = Issuer.generate()
    waiting = []
    for number in range(200):
        bearer = f"Bearer {forger.mint(jti=f't{number}').decode()}"
        raw = check_request(
            path=f"/.well-known/acme-challenge/{number:040}", headers={"authorization": bearer}
        )
        answer = service.handle(raw)
        assert not isinstance(answer, bytes)
        waiting.append(asyncio.ensure_future(answer))
    await asyncio.sleep(0.01)
    verified.clear()
    fleet.read.set()
    before = 0
    while verified.count("signature_invalid") < 200:
        await asyncio.sleep(0)
        assert verified.count("signature_invalid") - before <= 1, "one a turn"
        before = verified.count("signature_invalid")
        assert isinstance(service.handle(warm), bytes)
    assert {read_answer(await each).status for each in waiting} == {401}
    assert len(lane) == 0
