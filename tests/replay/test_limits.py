"""Limits at recorded times: what a limiter refuses then, and what is not counted."""

from pathlib import Path

import pytest

from sidecar.config import model, parse_config
from sidecar.replay.compare import Comparer
from sidecar.replay.line import parse_line
from sidecar.replay.verdict import ReplayVerdict
from tests.replay.lines import line
from tests.replay.traffic import MAIN, POLICY, Ask, serve
from tests.support.minting import NOW


def limited(settings: str, route: str = "") -> model.Config:
    text = POLICY.replace("routes:\n", f"limits: {{{settings}}}\nroutes:\n", 1)
    return parse_config(text.replace("csp: api}", f"csp: api{route}}}", 1), "test")


LOGIN = (
    ", auth: none, methods: [POST], limits: {login: {account_json: /user, "
    "attempts: {requests: 1, per_seconds: 60}, account_attempts: {requests: 1, per_seconds: 60}}}"
)


def verdicts(
    new: model.Config, count: int, every: float = 0.01, **changes: object
) -> list[ReplayVerdict]:
    comparer = Comparer(new)
    return [
        comparer.compare(line(at=NOW + every * number, **changes)).verdict
        for number in range(count)
    ]


def test_what_comes_faster_than_a_limit_is_lost() -> None:
    found = verdicts(limited("tenant: {requests: 10, per_seconds: 1, burst: 3}"), 103)
    # Three at once, then one each tenth of a second, of 103 in 1.03 s.
    assert found.count(ReplayVerdict.LOST) == 103 - 3 - 10
    assert found[:3] == [ReplayVerdict.SAME] * 3


def test_slow_requests_and_those_of_many_tenants_are_not() -> None:
    config = limited("tenant: {requests: 10, per_seconds: 1, burst: 1}")
    assert set(verdicts(config, 20, every=0.2)) == {ReplayVerdict.SAME}
    comparer = Comparer(config)
    each = (comparer.compare(line(tenant=f"{number:08}-0000-4000-8000-000000000000"))
            for number in range(50))  # fmt: skip
    assert {found.verdict for found in each} == {ReplayVerdict.SAME}


def test_requests_are_counted_by_their_own_token_and_address() -> None:
    by_token = limited("token: {requests: 1, per_seconds: 60, burst: 1}")
    by_address = limited("address: {requests: 1, per_seconds: 60, burst: 1}")
    for config, field in ((by_token, "token_digest"), (by_address, "source")):
        comparer = Comparer(config)
        found = [comparer.compare(line(**{field: f"ab{number % 2}"})) for number in range(4)]
        assert [each.verdict for each in found] == [ReplayVerdict.SAME] * 2 + [
            ReplayVerdict.LOST
        ] * 2
        assert "simulated" in found[-1].cause


def test_a_refusal_by_a_limit_that_is_the_same_stays_one() -> None:
    config = limited("tenant: {requests: 10, per_seconds: 1, burst: 3}")
    detail = "tenant: 10 requests per second, burst 3; would have passed in 0.050 s"
    then = line(outcome="deny", reason="rate_limited", status=429, detail=detail)
    assert Comparer(config).compare(then).verdict is ReplayVerdict.SAME
    shadow = limited("tenant: {requests: 10, per_seconds: 1, burst: 3, shadow: true}")
    assert Comparer(shadow).compare(then).verdict is ReplayVerdict.GAINED
    wider = limited("tenant: {requests: 100, per_seconds: 1, burst: 30}")
    assert Comparer(wider).compare(then).verdict is ReplayVerdict.GAINED
    assert Comparer(parse_config(POLICY, "test")).compare(then).verdict is ReplayVerdict.GAINED


def test_a_limit_in_shadow_refuses_nobody() -> None:
    config = limited("tenant: {requests: 1, per_seconds: 60, burst: 1, shadow: true}")
    assert set(verdicts(config, 5)) == {ReplayVerdict.SAME}


def test_logins_are_not_counted_and_said_to_be() -> None:
    comparer = Comparer(limited("address: {requests: 1000, per_seconds: 1}", LOGIN))
    found = [comparer.compare(line(reason="public", tenant="", method="POST")) for _ in range(5)]
    assert {each.verdict for each in found} == {ReplayVerdict.SAME}
    assert comparer.new.limits.uncounted == 5


@pytest.mark.parametrize(
    "settings",
    [
        "tenant: {requests: 20, per_seconds: 1, burst: 5}",
        "address: {requests: 7, per_seconds: 2, burst: 4}",
        "token: {requests: 1, per_seconds: 3, burst: 2}, tenant: {requests: 9, per_seconds: 1}",
    ],
)
def test_what_is_predicted_comes_true(tmp_path: Path, settings: str) -> None:
    tokens = [MAIN.mint(sub=f"user-{number}") for number in range(3)]
    asks = [
        Ask(str(number), path, tokens[number % 3])
        for number in range(60)
        for path in ("/api/x", "/public/x", "/acme/x")
    ]
    asks += [Ask("nobody", "/api/x") for _ in range(20)]

    def at(number: int) -> float:
        return NOW + number * 0.016

    recorded = serve(parse_config(POLICY, "test"), tmp_path / "then", asks, at=at)
    actual = serve(limited(settings), tmp_path / "now", asks, at=at)
    decider = Comparer(limited(settings)).new
    predicted = []
    for raw in recorded:
        then = parse_line(raw)
        assert then is not None
        predicted.append(decider.predict(then).access)
    now = [parse_line(raw) for raw in actual]
    assert predicted == [each and each.outcome for each in now]
    assert "rate_limited" in {each.reason for each in now if each is not None}
