"""Where a value belongs, as bytes: no two places have the same."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workload.encryption.errors import FieldInputFault
from workload.encryption.places import FieldColumn, KeyPurpose, KeyScope, RowId, encode_row

NAMES = st.text(st.sampled_from("ab\x01é"), min_size=1, max_size=4)
ROWS = NAMES | st.integers() | st.tuples(NAMES, NAMES) | st.tuples(NAMES)


@given(*[st.tuples(NAMES, NAMES, NAMES, NAMES, NAMES, ROWS)] * 2)
def test_two_places_have_one_encoding_only_if_they_are_one(
    one: tuple[str, str, str, str, str, RowId], other: tuple[str, str, str, str, str, RowId]
) -> None:
    def encoded(place: tuple[str, str, str, str, str, RowId]) -> bytes:
        tenant, kind, subject, table, column, row = place
        scope = KeyScope(tenant, kind, subject)
        return scope.encoded + FieldColumn(table, column).encoded + encode_row(row)

    def same(row: RowId) -> tuple[str, ...]:
        return tuple(str(part) for part in (row if isinstance(row, tuple) else (row,)))

    assert (encoded(one) == encoded(other)) == (
        (*one[:5], same(one[5])) == (*other[:5], same(other[5]))
    )


def test_a_purpose_is_part_of_a_scope() -> None:
    scope = KeyScope("t", "pii", "person")
    assert scope.for_index() == KeyScope("t", "pii", purpose=KeyPurpose.INDEX)
    assert KeyScope("t", "pii").encoded != scope.for_index().encoded


def test_a_row_is_named_by_what_a_key_can_be() -> None:
    identifier = UUID("7F1C9A52-0000-4000-8000-000000000001")
    assert encode_row(identifier) == encode_row(str(identifier)) == encode_row((identifier,))
    assert encode_row(12) == encode_row("12")
    assert encode_row(("a", "bc")) != encode_row(("ab", "c"))


@pytest.mark.parametrize(
    "row",
    [None, "", True, 1.5, b"x", (), ("a", None), ("a",) * 17, "x" * 1025, "\ud800", 10**400, [1]],
    ids=repr,
)
def test_what_names_no_row(row: RowId) -> None:
    with pytest.raises(FieldInputFault):
        encode_row(row)


@pytest.mark.parametrize(
    ("tenant", "data_class"),
    [("", "pii"), ("t", ""), ("t" * 1025, "pii"), ("\ud800", "pii"), ("a\0", "pii"), (7, "c")],
)
def test_what_is_no_scope(tenant: str, data_class: str) -> None:
    with pytest.raises(FieldInputFault):
        KeyScope(tenant, data_class)


def test_an_index_is_a_tenants_and_a_column_has_a_name() -> None:
    with pytest.raises(FieldInputFault, match="no subject"):
        KeyScope("t", "pii", "person", KeyPurpose.INDEX)
    with pytest.raises(FieldInputFault, match="a table and a name"):
        FieldColumn("people", "")
