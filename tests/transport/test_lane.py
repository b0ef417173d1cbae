"""The slow lane: many signature checks at once hold up nobody."""

import asyncio
from itertools import pairwise

from sidecar.authz.memory import Passage
from sidecar.authz.policy import build_snapshot
from sidecar.authz.service import CheckService, Outcome
from sidecar.clock import elapsed_ns
from sidecar.config import parse_config
from sidecar.tokens.cache import TokenCache
from sidecar.transport.lane import SlowLane
from tests.authz.checks import check_request, read_answer
from tests.authz.conftest import CONFIG
from tests.minting import NOW, Issuer


async def test_one_a_turn_and_in_order() -> None:
    lane = SlowLane(asyncio.get_running_loop())
    done: list[int] = []
    assert lane.free()
    assert not lane.free()
    futures = [lane.later(lambda n=n: done.append(n) or b"x") for n in range(5)]  # type: ignore[misc]
    seen: list[int] = []
    while len(done) < 5:
        await asyncio.sleep(0)
        seen.append(len(done))
    assert done == list(range(5))
    assert max(b - a for a, b in pairwise(seen)) <= 1
    assert [await future for future in futures] == [b"x"] * 5
    await asyncio.sleep(0)
    assert lane.free()


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

        def passed(self, passage: Passage) -> None:
            verified.append(passage[1].outcome)

    service = CheckService(
        build_snapshot(parse_config(CONFIG, "test"), issuer.ring),
        now=lambda: NOW,
        elapsed_ns=elapsed_ns,
        new_id=lambda: "id",
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
