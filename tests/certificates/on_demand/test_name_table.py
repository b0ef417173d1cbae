"""The table of names on demand: what is served from which certificate, within bounds."""

import pytest

from sidecar.certificates.on_demand.domains import Registration
from sidecar.certificates.on_demand.name_table import MAX_SPELLINGS, Entry, NameTable

ALICES = Registration("*.shop.example", "alice")
NAME = "a.shop.example"


def filled(**asked_at: float) -> NameTable:
    """A table with a certificate for each name, asked for at these times."""
    table = NameTable()
    for name, at in asked_at.items():
        table.put(name, name, table.entry(name, ALICES), at)
    return table


def test_a_name_and_its_certificate_are_found_by_every_spelling() -> None:
    table = NameTable()
    entry = table.entry(NAME, ALICES)
    assert not table.holds(entry), "no name is put to it yet"
    for spelling in (NAME, "A.shop.example"):
        assert table.put(spelling, NAME, entry, 1.0) is None
        assert table.canonical(spelling) == NAME
        assert table.entry_of(spelling) is entry
        assert spelling in table
    assert (len(table), list(table.entries())) == (2, [entry])
    assert table.entry(NAME, None) is entry, "there is one for each certificate"
    assert (table.canonical("other"), table.entry_of("other")) == (None, None)


def test_the_normal_form_and_a_few_spellings_have_room() -> None:
    table = NameTable()
    entry = table.entry(NAME, ALICES)
    for number in range(MAX_SPELLINGS):
        assert table.has_room(f"spelling{number}", NAME)
        table.put(f"spelling{number}", NAME, entry, 1.0)
        table.put(f"spelling{number}", NAME, entry, 2.0)  # asked for again, it is counted once
    assert not table.has_room("one more", NAME)
    assert table.has_room(NAME, NAME)
    assert table.has_room("one more", "b.shop.example")
    table.remove("spelling0")
    assert table.has_room("one more", NAME)


def test_an_entry_without_names_is_returned_to_be_released() -> None:
    table = NameTable()
    before, after = Entry("*.shop.example", ALICES), Entry(NAME, ALICES)
    for spelling in (NAME, "A.shop.example"):
        table.put(spelling, NAME, before, 1.0)
    assert table.put(NAME, NAME, after, 2.0) is None, "another spelling is served from it still"
    assert table.put("A.shop.example", NAME, after, 2.0) is before
    assert not table.holds(before)
    assert table.remove(NAME) is None
    assert table.remove("A.shop.example") is after
    assert (len(table), list(table.entries()), after.asked) == (0, [], set())


def test_an_entry_that_was_replaced_under_its_key_is_not_the_one_that_is_held() -> None:
    table = NameTable()
    before, after = Entry(NAME, ALICES), Entry(NAME, ALICES)
    table.put(NAME, NAME, before, 1.0)
    assert table.put(NAME, NAME, after, 2.0) is before
    assert table.holds(after)
    assert not table.holds(before)


EXCESS: list[tuple[str, int, float, int, list[str]]] = [
    ("all fit, and all are asked for", 3, 0.0, 10, []),
    ("one too many", 2, 0.0, 10, ["b"]),
    ("two too many, but one at a time", 1, 0.0, 1, ["b"]),
    ("asked for at that very moment", 3, 2.0, 10, []),
    ("not asked for since", 3, 2.1, 10, ["b"]),
    ("none was asked for since", 3, 9.0, 10, ["b", "c", "a"]),
    ("none since, in steps", 3, 9.0, 2, ["b", "c"]),
]


@pytest.mark.parametrize(
    ("most", "before", "limit", "dropped"), [e[1:] for e in EXCESS], ids=[e[0] for e in EXCESS]
)
def test_which_are_dropped(most: int, before: float, limit: int, dropped: list[str]) -> None:
    table = filled(a=1.0, b=2.0, c=3.0)
    entry = table.entry_of("a")
    assert entry is not None
    table.put("a", "a", entry, 4.0)  # asked for again, it comes last
    assert table.excess(most, before, limit) == dropped
