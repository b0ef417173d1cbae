"""The lines of an archive: what is written is read, and nothing else."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.vault_backup.entries import (
    MAX_LINE_BYTES,
    EntryFault,
    EntryRules,
    StoredEntry,
    entry_line,
    first_line,
    last_line,
    read_entries,
)

ENTRY = StoredEntry(
    "secret",
    "iam/keys",
    7,
    1.5,
    {"value": "a secret", "n": 2**70, "nested": {"é": [True, None, 1.25]}},
    EntryRules(1, cas_required=True, delete_version_after="1h0m0s", custom={"owner": "é"}),
)
LINES = [first_line(), entry_line(ENTRY), last_line(1)]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def test_an_entry_is_read_as_it_was_written() -> None:
    assert list(read_entries(LINES)) == [ENTRY]
    assert list(read_entries([first_line(), last_line(0)])) == []


@given(data=st.dictionaries(st.text(), JSON, max_size=4), cut=st.integers(1, 50))
def test_whatever_vault_holds_in_whatever_pieces(data: dict[str, Any], cut: int) -> None:
    entry = StoredEntry("kv", "a", 1, 0.0, data)
    content = first_line() + entry_line(entry) * 2 + last_line(2)
    pieces = [content[at : at + cut] for at in range(0, len(content), cut)]
    found = [each.data for each in read_entries(pieces)]
    assert json.dumps(found) == json.dumps([data, data])


def _changed(**changes: Any) -> bytes:
    return json.dumps(json.loads(LINES[1]) | changes).encode() + b"\n"


NOT_OURS: dict[str, tuple[list[bytes], str]] = {
    "nothing": ([], "no entries of Vault"),
    "another backup": ([b"PGDMP\x01\x02"], "no entries of Vault in format 1"),
    "a newer format": ([b'{"format_of_entries":2}\n'], "a newer"),
    "no end": (LINES[:2], "no right end"),
    "too few": ([LINES[0], LINES[2]], "no right end"),
    "too many": ([LINES[0], LINES[1], LINES[1], LINES[2]], "no right end"),
    "something behind the end": ([*LINES, LINES[1]], "no right end"),
    "no JSON": ([LINES[0], b"{\n", LINES[2]], "entry 1 of the archive is no entry"),
    "deep JSON": ([LINES[0], b"[" * 200_000 + b"\n"], "entry 1"),
    "a list": ([LINES[0], b"[]\n"], "entry 1"),
    "a field too many": ([LINES[0], _changed(more=1)], "entry 1"),
    "data that is no object": ([LINES[0], _changed(data=[])], "entry 1"),
    "a version that is no number": ([LINES[0], _changed(version="7")], "entry 1"),
    "a path that leaves": ([LINES[0], _changed(path="iam/../sys")], "entry 1"),
    "a path from the root": ([LINES[0], _changed(path="/iam")], "entry 1"),
    "an empty path": ([LINES[0], _changed(path="")], "entry 1"),
    "a path with a line end": ([LINES[0], _changed(path="a\nb")], "entry 1"),
    "a path that is too long": ([LINES[0], _changed(path="a" * 1100)], "entry 1"),
    "rules of another kind": ([LINES[0], _changed(rules={"max": 1})], "entry 1"),
}


@pytest.mark.parametrize(("lines", "said"), NOT_OURS.values(), ids=NOT_OURS)
def test_what_is_not_written_by_us_is_refused(lines: list[bytes], said: str) -> None:
    with pytest.raises(EntryFault, match=said) as raised:
        list(read_entries(lines))
    assert "a secret" not in str(raised.value)


def test_a_line_has_a_bound() -> None:
    with pytest.raises(EntryFault, match="more than 33554432 bytes"):
        list(read_entries([first_line(), b"x" * (MAX_LINE_BYTES + 1)]))
    long = StoredEntry("kv", "a", 1, 0.0, {"value": "x" * MAX_LINE_BYTES})
    with pytest.raises(EntryFault, match="kv/a has more than"):
        entry_line(long)


def test_a_representation_has_names_and_no_values() -> None:
    assert repr(ENTRY) == (
        "StoredEntry('secret/iam/keys', version=7, fields=['n', 'nested', 'value'])"
    )
    assert math.isclose(ENTRY.written_at, 1.5)
