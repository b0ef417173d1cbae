"""Predictions come true: what replaying says of a change is what a service with it then does."""

from collections import Counter
from pathlib import Path

import pytest

from sidecar.config import model, parse_config
from sidecar.replay.compare import Comparer, Comparison
from sidecar.replay.decider import Decider
from sidecar.replay.line import RecordedLine, parse_line
from sidecar.replay.verdict import ReplayVerdict
from tests.replay.changes import CHANGES, put
from tests.replay.traffic import ASKS, POLICY, configured, serve

QUIET = put(("audit: {record_inputs: true}\n", ""))


def parsed(lines: list[bytes]) -> list[RecordedLine]:
    found = [parse_line(line) for line in lines]
    return [line for line in found if line is not None]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> list[RecordedLine]:
    """The audit lines of all traffic under the first policy."""
    return parsed(serve(configured(), tmp_path_factory.mktemp("recorded") / "audit.jsonl"))


@pytest.fixture(scope="module")
def without_inputs(tmp_path_factory: pytest.TempPathFactory) -> list[RecordedLine]:
    """The lines of a sidecar that did not record what it decided from."""
    return parsed(serve(configured(QUIET), tmp_path_factory.mktemp("quiet") / "audit.jsonl"))


@pytest.mark.parametrize("what", CHANGES)
def test_what_is_predicted_comes_true(
    recorded: list[RecordedLine], tmp_path: Path, what: str
) -> None:
    changed = configured(CHANGES[what])
    actual = parsed(serve(changed, tmp_path / "audit.jsonl"))
    decider = Decider(changed)
    decided = 0
    for ask, then, now in zip(ASKS, recorded, actual, strict=True):
        made = decider.predict(then)
        if made.access == "unknown":
            assert made.open
            continue
        decided += 1
        assert made.access == now.outcome, (ask.name, then.reason, now.reason, made)
        if not made.open:
            predicted = (made.reason, made.status, made.route, made.shadowed)
            real = (now.reason, now.status, now.route, now.shadow_reason)
            assert predicted == real, (ask.name, then.reason)
    assert decided > 0.85 * len(ASKS)


def compared(
    lines: list[RecordedLine], new: model.Config, old: model.Config | None
) -> list[Comparison]:
    comparer = Comparer(new, old)
    return [comparer.compare(line) for line in lines]


OF_ROUTES = (
    "nothing", "a role more", "another role", "no role", "a scope on the api", "a method less",
    "the api gone", "a public route more", "public no more", "optional no more", "the api public",
    "everything in shadow", "shadow no more", "another tenant's route", "nobody's domain",
    "cookies alone", "another cookie", "another client", "unbound too", "binding required",
    "an audience less", "the first issuer gone", "a retired key", "no page", "every page",
)  # fmt: skip


@pytest.mark.parametrize("what", OF_ROUTES)
def test_what_two_configurations_make_of_a_log_without_inputs_comes_true(
    without_inputs: list[RecordedLine], tmp_path: Path, what: str
) -> None:
    changed = configured(CHANGES[what])
    actual = parsed(serve(changed, tmp_path / "audit.jsonl"))
    made = compared(without_inputs, changed, configured())
    for ask, then, now, found in zip(ASKS, without_inputs, actual, made, strict=True):
        if found.verdict is ReplayVerdict.UNKNOWN:
            assert found.cause
            continue
        is_other = then.outcome != now.outcome
        assert (found.verdict in {ReplayVerdict.LOST, ReplayVerdict.GAINED}) is is_other, (
            ask.name,
            found,
        )
        if is_other:
            assert found.after.access == now.outcome, ask.name


def test_configurations_that_are_equal_leave_nothing_open_and_nothing_different(
    recorded: list[RecordedLine], without_inputs: list[RecordedLine]
) -> None:
    for lines in (recorded, without_inputs):
        found = compared(lines, configured(), configured())
        assert {each.verdict for each in found} == {ReplayVerdict.SAME}


def test_without_the_old_one_a_log_without_inputs_says_what_routes_say(
    without_inputs: list[RecordedLine],
) -> None:
    found = compared(without_inputs, configured(CHANGES["the api gone"]), None)
    lost = [line for line, each in zip(without_inputs, found, strict=True)
            if each.verdict is ReplayVerdict.LOST]  # fmt: skip
    assert {line.route for line in lost} == {"api"}
    assert len(lost) == sum(line.route == "api" and line.outcome == "allow"
                            for line in without_inputs)  # fmt: skip
    others = {"api", "tried"}
    verified = [each for line, each in zip(without_inputs, found, strict=True)
                if line.reason == "token_verified" and line.route not in others]  # fmt: skip
    assert {each.verdict for each in verified} == {ReplayVerdict.UNKNOWN}
    assert all("audit.record_inputs" in each.cause for each in verified)


def test_headers_that_differ_are_named_where_both_configurations_are_given(
    recorded: list[RecordedLine],
) -> None:
    changed = configured(put(("headers:\n", "headers:\n  referrer_policy: no-referrer\n")))
    assert {each.verdict for each in compared(recorded, changed, None)} <= {
        ReplayVerdict.SAME, ReplayVerdict.UNKNOWN,
    }  # fmt: skip
    found = Counter(each.cause for each in compared(recorded, changed, configured()))
    assert found["headers: response referrer-policy"] > 0.9 * len(recorded)


def test_a_difference_of_the_recorded_world_is_no_difference_of_the_configurations(
    recorded: list[RecordedLine],
) -> None:
    old, new = configured(CHANGES["the api gone"]), configured(CHANGES["the api gone"])
    found = compared(recorded, new, old)
    assert {each.verdict for each in found} == {ReplayVerdict.SAME}
    unlike = [line for line, each in zip(recorded, found, strict=True)
              if each.old is not None and each.old.access != line.outcome]  # fmt: skip
    assert {line.route for line in unlike} == {"api"}


def test_a_policy_parses_as_it_is_written() -> None:
    assert parse_config(POLICY, "test") == configured()
