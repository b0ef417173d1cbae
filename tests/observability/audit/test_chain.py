"""The chain of audit lines: what a line gets, and what follows what."""

import json
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest

from sidecar.observability.audit.chain import (
    BEGAN,
    CHECKPOINT,
    FOREIGN,
    FORGOTTEN,
    LOST,
    NO_CHAIN,
    SINK_DROPPED,
    Head,
    chain_lines,
    follows,
    read_link,
    read_trail_line,
    trail_line,
)
from sidecar.observability.audit.entry import AuditEntry, encode_entry, is_line, read_lines

TRAIL = b"0123456789abcdef"
TIME = "2026-11-26T05:53:41.123+00:00"


def line(number: int = 1, path: str = "/api") -> bytes:
    return encode_entry(
        AuditEntry(
            at=float(number), decision_id=f"d{number}", outcome="deny", reason="token_expired",
            status=401, route="api", latency_us=42, path=path,
        )
    )  # fmt: skip


def test_a_chained_line_is_the_line_with_three_members_more() -> None:
    (first, second), head = chain_lines(Head(TRAIL), [line(1), line(2)])
    read = json.loads(second)
    assert list(read)[-3:] == ["trail", "seq", "chain"]
    assert (read.pop("trail"), read.pop("seq")) == (TRAIL.decode(), 2)
    chain = read.pop("chain")
    assert read == json.loads(line(2))
    # As the documents tell a reader to reckon it, with other tools.
    hashed = second[: second.index(b',"chain":')]
    assert chain == sha256(json.loads(first)["chain"].encode() + hashed).hexdigest()
    assert head == Head(TRAIL, 2, chain.encode())


def test_what_follows_what() -> None:
    chained, _ = chain_lines(Head(TRAIL), [line(n) for n in range(1, 5)])
    links = [read_link(each[:-1]) for each in chained]
    assert None not in links
    heads = [Head(TRAIL), *(link.head for link in links if link is not None)]
    for at, before in enumerate(heads[:-1]):
        for number, link in enumerate(links):
            assert link is not None
            assert follows(before, link) == (at == number)
    (other,), _ = chain_lines(Head(b"f" * 16), [line()])
    link = read_link(other[:-1])
    assert link is not None
    assert follows(heads[-1], link), "the first line of another trail follows anything"
    altered = link._replace(body=link.body.replace(b"/api", b"/apj"))
    assert not follows(heads[-1], altered)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text[:-1],
        lambda text: text + b" ",
        lambda text: text.replace(b'"seq":1', b'"seq":01'),
        lambda text: text.replace(b'"seq":1', b'"seq":-1'),
        lambda text: text.replace(b'"seq":1', b'"seq":'),
        lambda text: text.replace(b'"seq":1', b'"seq":' + b"9" * 30),
        lambda text: text.replace(b'"seq":1', b'"seq": 1'),
        lambda text: text.replace(TRAIL, TRAIL[:-1]),
        lambda text: text.replace(TRAIL, TRAIL.upper()),
        lambda text: text.replace(b',"chain"', b',"chian"'),
        lambda text: text.replace(b',"trail"', b',"trial"'),
        lambda text: text[:-66] + b"G" * 64 + b'"}',
        lambda _text: b"",
        lambda _text: line()[:-1],
    ],
)  # fmt: skip
def test_what_has_no_link(spoil: Callable[[bytes], bytes]) -> None:
    (chained,), _ = chain_lines(Head(TRAIL), [line()])
    assert read_link(chained[:-1]) is not None
    assert read_link(spoil(chained[:-1])) is None


def test_a_head_is_named_in_one_word() -> None:
    head = Head(TRAIL, 17, b"a" * 64)
    assert Head.parse(head.text) == head
    for text in ("", "a-b-c", "a-1", f"{head.text}-1", "a-01-c"):
        assert Head.parse(text) is None


OWN: dict[str, dict[str, Any]] = {
    BEGAN: {"after": Head(TRAIL, 1, NO_CHAIN).text},
    LOST: {"lost": 3},
    FOREIGN: {"foreign_bytes": 3, "foreign_sha256": "00"},
    CHECKPOINT: {"note": "text\n"},
    FORGOTTEN: {"key_version": 2},
    SINK_DROPPED: {"sink": "file", "first": 3, "last": 5},
}


@pytest.mark.parametrize("reason", OWN)
def test_lines_of_the_trails_own_are_recognised_chained_or_not(reason: str) -> None:
    own = trail_line(TIME, reason, "why", **OWN[reason])
    (chained,), _ = chain_lines(Head(TRAIL), [own])
    for form in (own, chained):
        read = read_trail_line(form[:-1])
        assert read is not None
        assert (read.reason, read.outcome, read.detail) == (reason, "trail", "why")
        assert {name: getattr(read, name) for name in OWN[reason]} == OWN[reason]


@pytest.mark.parametrize("reason", OWN)
def test_a_process_whose_lines_are_queued_can_forge_none(reason: str) -> None:
    own = trail_line(TIME, reason, "why", **OWN[reason])
    assert not is_line(own[:-1])
    assert read_lines(own) is None
    bare = trail_line(TIME, reason, "why")
    assert is_line(bare[:-1])
    assert read_trail_line(bare[:-1]) is None


def test_a_process_whose_lines_are_queued_sends_no_links_and_nothing_behind_the_bracket() -> None:
    (chained,), _ = chain_lines(Head(TRAIL), [line()])
    assert is_line(line()[:-1])
    assert read_lines(line(1) + line(2)) is not None
    for bad in (chained, line()[:-1] + b" \n", line()[:-1] + b"\t\n"):
        assert not is_line(bad[:-1])
        assert read_lines(bad) is None
        assert read_lines(line() + bad) is None
