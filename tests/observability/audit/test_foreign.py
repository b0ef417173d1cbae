"""Bytes between lines that are none: what they are taken for."""

import pytest

from sidecar.observability.audit.chain import FOREIGN, read_trail_line, trail_line
from sidecar.observability.audit.chain_file import foreign_fields
from sidecar.observability.audit.foreign import ForeignBytes

TIME = "2026-11-26T05:53:41.123+00:00"


def collected(*parts: bytes) -> ForeignBytes:
    foreign = ForeignBytes()
    for number, part in enumerate(parts, 1):
        foreign.add(part, "file", number)
    return foreign


@pytest.mark.parametrize("data", [b"{", b"{\n", b"\0" * 100_000, b"a\nb\n", b"a\nb", b"\n"])
def test_the_line_behind_them_names_them(data: bytes) -> None:
    own = read_trail_line(trail_line(TIME, FOREIGN, "", **foreign_fields(data))[:-1])
    assert own is not None
    for parts in ((data, b"\n"), (data[:1], data[1:], b"\n")):
        foreign = ForeignBytes()
        for part in filter(None, parts):
            foreign.add(part, "file", 1)
        assert foreign.is_named_by(own)
    assert collected(data).is_named_by(own)
    assert not collected(data, b"x").is_named_by(own)
    assert not collected(data, b"\n", b"\n").is_named_by(own)
    assert not collected(b"x" + data[1:], b"x\n").is_named_by(own)


def test_the_place_is_that_of_the_first() -> None:
    foreign = collected(b"a\n", b"b\n", b"c")
    assert (foreign.place.line, foreign.lines) == (1, 3)
    assert not ForeignBytes()
    assert foreign


def test_half_a_line_is_the_beginning_of_a_whole_one() -> None:
    assert collected(b'{"time":').is_begin_of(b'{"time":"2026"}')
    for parts in (
        (b'{"time":\n',),
        (b'{"time":"2027',),
        (b'{"time":"2026"}',),
        (b"x",),
        (b"a\n", b"{"),
    ):
        assert not collected(*parts).is_begin_of(b'{"time":"2026"}')


def test_a_line_end_alone_is_blank() -> None:
    assert collected(b"\n").is_blank
    assert not collected(b"\n", b"\n").is_blank
    assert not collected(b"x").is_blank
