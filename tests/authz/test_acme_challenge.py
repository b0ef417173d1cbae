"""ACME's http-01 (RFC 8555 §8.3): what the Check answers itself, and what it does not."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field

import pytest

from sidecar.authz.acme_challenge import Found
from sidecar.certificates.challenges.challenge_list import Challenge
from sidecar.common.reasons import Grant, Reason
from tests.authz.checks import check_request, read_answer
from tests.authz.conftest import Bench

TOKEN = "a_token-of-an-order-in-flight-0123456789"
PATH = f"/.well-known/acme-challenge/{TOKEN}"
KNOWN = Challenge(TOKEN, "shop.acme.example", f"{TOKEN}.thumbprint", 2e9)


@dataclass
class Source:
    """Knows one challenge, or learns it from the fleet."""

    known: dict[str, Challenge] = field(default_factory=dict)
    fleet: dict[str, Challenge] | None = None
    asked: list[str] = field(default_factory=list)

    def find(self, token: str) -> Challenge | Awaitable[Found] | None:
        self.asked.append(token)
        if self.fleet is not None and token not in self.known:
            return self._queue(token)
        return self.known.get(token)

    async def _queue(self, token: str) -> Found:
        await asyncio.sleep(0)
        return (self.fleet or {}).get(token)


@pytest.fixture
def source(bench: Bench) -> Source:
    bench.service.challenges = source = Source({TOKEN: KNOWN})
    return source


def test_a_token_in_flight_is_answered_and_no_route_is_asked(bench: Bench, source: Source) -> None:
    answer = bench.ask(path=PATH, host="shop.acme.example:80")
    assert not answer.allowed, "to Envoy it is a refusal"
    assert (answer.status, answer.body) == (200, KNOWN.answer)
    assert answer.metadata["reason"] == "challenge_answered"
    decision = bench.last.decision
    assert decision.outcome is Grant.CHALLENGE_ANSWERED
    assert (decision.host, decision.path) == ("shop.acme.example", PATH)
    assert source.asked == [TOKEN]


NOT_ANSWERED = [
    ("another token", PATH + "x", "GET", "shop.acme.example"),
    ("another host", PATH, "GET", "app.septemcore.com"),
    ("another method", PATH, "POST", "shop.acme.example"),
    ("a host that is none", PATH, "GET", "shop acme example"),
    ("no token", "/.well-known/acme-challenge/", "GET", "shop.acme.example"),
    ("a path below", PATH + "/x", "GET", "shop.acme.example"),
    ("a long one", PATH + "x" * 200, "GET", "shop.acme.example"),
    ("the prefix in capitals", PATH.upper(), "GET", "shop.acme.example"),
    ("a query", PATH + "?x", "GET", "shop.acme.example"),
]


@pytest.mark.parametrize(
    ("path", "method", "host"), [n[1:] for n in NOT_ANSWERED], ids=[n[0] for n in NOT_ANSWERED]
)
def test_everything_else_goes_the_way_of_every_request(
    bench: Bench, source: Source, path: str, method: str, host: str
) -> None:
    assert source.known
    answer = bench.ask(path=path, method=method, host=host)
    assert KNOWN.answer not in answer.body
    assert bench.last.decision.outcome in {Reason.ROUTE_UNKNOWN, Reason.HOST_MALFORMED}


async def test_what_the_fleet_knows_is_waited_for(bench: Bench, source: Source) -> None:
    source.known.clear()
    source.fleet = {TOKEN: KNOWN}
    waiting = bench.service.handle(check_request(path=PATH, host="shop.acme.example"))
    assert not isinstance(waiting, bytes)
    answer = read_answer(await waiting)
    assert (answer.status, answer.body) == (200, KNOWN.answer)
    source.fleet = {}
    waiting = bench.service.handle(check_request(path=PATH, host="shop.acme.example"))
    assert not isinstance(waiting, bytes)
    assert read_answer(await waiting).status == 403


def test_what_was_not_known_is_not_cached(bench: Bench, source: Source) -> None:
    """The fast path of a Check must not outlive the answer it was made from."""
    source.known.clear()
    path = PATH.replace("/.well-known", "/.well-known", 1)
    for _ in range(3):
        assert bench.ask(path=path, host="shop.acme.example").status == 403
    source.known[TOKEN] = KNOWN
    assert bench.ask(path=path, host="shop.acme.example").status == 200
    source.known.clear()
    assert bench.ask(path=path, host="shop.acme.example").status == 403


def test_where_there_is_no_acme_nothing_is_answered(bench: Bench) -> None:
    assert bench.ask(path=PATH, host="shop.acme.example").status == 403
