"""ACME's challenges in workers: one question at a time, however many ask."""

import asyncio
from collections.abc import Collection, Mapping

import msgspec
import pytest

from sidecar.authz.acme_challenge import PendingChallenge
from sidecar.common.pacing import WAKES_A_TURN
from sidecar.config import model
from sidecar.runtime.workers import challenges as challenges_module
from sidecar.runtime.workers.challenges import RequestedChallenges
from sidecar.runtime.workers.frames import MAX_TOKENS, KnownChallenge
from tests.authz.checks import check_request, read_answer
from tests.runtime.workers.pooled import Pool
from tests.support.minting import Issuer

KNOWN = KnownChallenge("a-token-in-flight-0123456789", "shop.acme.example", "the answer")


class Main:
    """What the main process is asked, and the challenges of a worker that asks it."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, tuple[str, ...]]] = []
        self.challenges = RequestedChallenges(lambda *question: self.asked.append(question))

    def look(self, token: str) -> "asyncio.Future[KnownChallenge | None]":
        found = self.challenges.find(token)
        if found is None:
            done: asyncio.Future[KnownChallenge | None] = asyncio.Future()
            done.set_result(None)
            return done
        return asyncio.ensure_future(found)


async def test_one_question_is_open_and_the_next_is_about_all_that_came_since() -> None:
    main = Main()
    first = main.look(KNOWN.token)
    await asyncio.sleep(0)
    others = [main.look(f"made-up-{number % 500}") for number in range(3000)]
    await asyncio.sleep(0)
    assert main.asked == [(1, (KNOWN.token,))]
    main.challenges.take_reply(7, [KNOWN])  # no question of ours
    assert not first.done()
    main.challenges.take_reply(1, [KNOWN])
    assert await first == KNOWN
    while len(main.asked) < 4:
        number, tokens = main.asked[-1]
        assert len(tokens) <= 500, "each token once"
        main.challenges.take_reply(number, [])
        await asyncio.sleep(0)
    main.challenges.take_reply(main.asked[-1][0], [])
    assert set(await asyncio.gather(*others)) == {None}
    assert len(main.asked) == 1 + 3000 // MAX_TOKENS + 1


async def test_waiting_calls_are_woken_a_few_at_a_time() -> None:
    main = Main()
    waits = [main.look(f"made-up-{number}") for number in range(200)]
    await asyncio.sleep(0)
    main.challenges.take_reply(1, [])
    await asyncio.sleep(0)
    main.challenges.take_reply(2, [])
    before = 0
    while not all(wait.done() for wait in waits):
        await asyncio.sleep(0)
        done = sum(wait.done() for wait in waits)
        assert done - before <= 2 * WAKES_A_TURN, "of two answers at most"
        before = done


async def test_a_request_that_is_not_answered_times_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(challenges_module, "WAIT_SECONDS", 0.02)
    main = Main()
    assert list(await asyncio.gather(main.look("one"), main.look("two"))) == [None, None]
    assert main.challenges.find("three") is None
    assert len(main.asked) == 1, "a second question is a breach of the protocol"
    main.challenges.take_reply(1, [])
    again = main.look(KNOWN.token)
    await asyncio.sleep(0)
    main.challenges.take_reply(2, [KNOWN])
    assert await again == KNOWN


async def test_the_bound_of_those_that_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(challenges_module, "MAX_WAITING", 3)
    main = Main()
    waits = [main.look(f"made-up-{number}") for number in range(9)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert sum(not wait.done() for wait in waits) == 4, "one is asked about, three wait"
    for wait in waits:
        wait.cancel()


class Board:
    """What the fleet knows; the first look is a defect, and the second finds what can't be told."""

    def __init__(self) -> None:
        self.looks = 0

    async def find_all(self, tokens: Collection[str]) -> Mapping[str, PendingChallenge]:
        self.looks += 1
        await asyncio.sleep(0)
        if self.looks == 1:
            raise ValueError("a defect")
        if self.looks == 2:
            return {token: KnownChallenge(token, "\ud800", "") for token in tokens}
        return {token: KNOWN for token in tokens if token == KNOWN.token}


async def test_a_real_worker_answers_a_ca(issuer: Issuer) -> None:
    """Also where the settings it began with have no ACME issuer: a reload may bring the first."""
    running = Pool()
    listen = msgspec.structs.replace(running.config.listen, sds=model.SdsListen())
    config = msgspec.structs.replace(running.config, listen=listen)
    assert config.issuers == ()
    running = Pool(config=config)
    running.pool.challenges.source = solver = Board()
    running.publish(issuer.ring)
    await running.pool.start()
    raw = check_request(path=f"/.well-known/acme-challenge/{KNOWN.token}", host="shop.acme.example")
    for _ in range(2):
        assert read_answer(await running.call(0, raw)).status == 403, "the look at it failed"
    answer = read_answer(await running.call(0, raw))
    assert (answer.status, answer.body) == (200, "the answer")
    assert [type(each) for each in running.faults] == [ValueError, UnicodeEncodeError]
    assert solver.looks == 3
    await running.pool.stop()
