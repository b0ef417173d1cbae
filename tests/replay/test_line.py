"""A line of a file that nobody vouches for: it is a decision's, or it is skipped."""

import json
from typing import Any

import pytest

from sidecar.observability.audit.inputs import CUT, NO_INPUTS, RecordedInputs
from sidecar.replay.line import inputs_of, parse_line
from tests.replay.lines import INPUTS, line, raw_line
from tests.support.minting import NOW


def changed(**changes: Any) -> bytes:
    """Return a line with these members; ``None`` removes one."""
    members = {**json.loads(raw_line()), **changes}
    kept = {name: value for name, value in members.items() if value is not None}
    return json.dumps(kept).encode()


def test_a_line_is_read_back() -> None:
    read = line()
    assert (read.at, read.reason, read.route, read.method) == (NOW, "token_verified", "api", "GET")
    assert inputs_of(read) == INPUTS


def test_members_of_later_versions_are_ignored() -> None:
    read = parse_line(changed(seq=7, chain="ab", request_id="r", trace_id="t", new={"a": [1]}))
    assert read is not None
    assert inputs_of(read) == INPUTS


def test_a_pseudonym_is_a_subject_like_another() -> None:
    read = parse_line(changed(subject="p:0123", source="p:4567"))
    assert read is not None
    assert (read.subject, read.source) == ("p:0123", "p:4567")


NO_DECISIONS = {
    "nothing": b"{}",
    "no JSON": b"null pointer",
    "a list": b"[]",
    "a number": b"1",
    "deep": b"[" * 100_000,
    "no time": changed(time=None),
    "a time that is none": changed(time="yesterday"),
    "a time of nowhere": changed(time="2026-11-24T03:00:00"),
    "a number for a time": changed(time=5),
    "another outcome": changed(outcome="maybe"),
    "a list for a path": changed(path=["/"]),
    "a text for a status": changed(status="200"),
    "not UTF-8": raw_line().replace(b"user-42", b"user-\xff"),
    "half a character": raw_line().replace(b"user-42", b"\\ud800"),
    "torn": raw_line()[:-20],
    "two lines in one": raw_line() + raw_line(),
    "a checkpoint": b'{"checkpoint":"septem","size":5}',
}


@pytest.mark.parametrize("what", NO_DECISIONS)
def test_what_is_no_decision_is_skipped(what: str) -> None:
    assert parse_line(NO_DECISIONS[what]) is None


OF_PARTS = {
    "cut when it was written": {"cut": True},
    "of another version": {"iss": "i", "device": "d"},
    "of another type": {"iss": 5},
    "a list": [],
    "a time beyond numbers": {"iss": "i", "exp": 1e300},
    "a time before all numbers": {"iss": "i", "nbf": -1e300},
}


@pytest.mark.parametrize("what", OF_PARTS)
def test_nobody_decides_by_a_part_of_inputs(what: str) -> None:
    read = parse_line(changed(inputs=OF_PARTS[what]))
    assert read is not None
    assert inputs_of(read) is CUT


def test_a_line_without_inputs_has_none() -> None:
    assert inputs_of(line(inputs=NO_INPUTS)) is None
    read = parse_line(changed(inputs={}))
    assert read is not None
    assert inputs_of(read) == RecordedInputs()
