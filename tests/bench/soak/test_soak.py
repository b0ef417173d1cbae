"""A soak of seconds: real servers, a dense schedule, and not one wrong answer."""

import asyncio
import shutil
import sys
from pathlib import Path

import pytest

from bench.soak.act import Outcome, play
from bench.soak.plan import Plan
from bench.soak.report import story

pytestmark = pytest.mark.real
SEED = 11


@pytest.fixture(scope="module")
def outcome() -> Outcome:
    beside = Path(sys.executable).parent / "redis-server"
    if not beside.exists() and shutil.which("redis-server") is None:
        pytest.skip("there is no redis-server")
    plan = Plan(
        "short", SEED, 12, 2, clients=6, pace=6, dual_key_seconds=4, poll_seconds=1,
        lanes=("vault", "configuration", "processes", "certificates", "load", "redis"),
    )  # fmt: skip
    return asyncio.run(play(plan, lambda _: None))


def test_nothing_is_wrong(outcome: Outcome) -> None:
    assert not outcome.judge.wrong_counts, "\n".join(map(story, outcome.judge.wrong))


def test_it_met_what_it_is_about(outcome: Outcome) -> None:
    shapes = {name.partition(" ")[0] for name in outcome.judge.answers}
    assert shapes >= {"get", "grpc", "stream", "socket", "install", "limited"}
    assert len(outcome.done) >= 12, outcome.done
    assert outcome.judge.total > 300
    assert outcome.certificates > 30
    assert outcome.audit.lines > 0.9 * outcome.audit.answers
