"""Values sealed and opened; whatever was done to one, it fails in one way that tells nothing."""

import time
from collections.abc import Callable
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.workload.encryption.keys_in_hand import EMAIL, in_hand
from workload.encryption import FieldColumn, KeyScope, ScopeKeys
from workload.encryption.data_key import FieldKey
from workload.encryption.errors import FieldInputFault, FieldKeysAway, ValueDoesNotOpen
from workload.encryption.sealed import MAX_VALUE_BYTES, OVERHEAD_BYTES

SCOPE = KeyScope("acme", "contact")
ROWS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)
KEYS = in_hand(SCOPE, 1, 2)
ROW = uuid4()
VALUE = "someone@example.com"
SEALED = KEYS.seal_text(VALUE, EMAIL, ROW)


def refused(open_it: Callable[[], object]) -> None:
    with pytest.raises(ValueDoesNotOpen) as raised:
        open_it()
    assert str(raised.value) == "the sealed value does not open"
    assert raised.value.__context__ is None, "nor does what it was raised from"


@given(st.binary(max_size=200), ROWS)
def test_what_was_sealed_opens_where_it_belongs(value: bytes, row: str | int) -> None:
    sealed = KEYS.seal(value, EMAIL, row)
    assert len(sealed) == len(value) + OVERHEAD_BYTES
    assert KEYS.open(sealed, EMAIL, row) == value
    assert KEYS.open(memoryview(sealed).tobytes(), EMAIL, row) == value


def test_a_text_opens_as_one_and_bytes_that_are_none_do_not() -> None:
    assert KEYS.open_text(SEALED, EMAIL, ROW) == VALUE
    assert KEYS.open_text(KEYS.seal_text("", EMAIL, ROW), EMAIL, ROW) == ""
    refused(lambda: KEYS.open_text(KEYS.seal(b"\xff", EMAIL, ROW), EMAIL, ROW))


def test_every_bit_counts() -> None:
    for bit in range(len(SEALED) * 8):
        changed = bytearray(SEALED)
        changed[bit // 8] ^= 1 << bit % 8
        refused(lambda changed=changed: KEYS.open(bytes(changed), EMAIL, ROW))  # type: ignore[misc]


def test_every_cut_counts() -> None:
    for length in range(len(SEALED)):
        refused(lambda length=length: KEYS.open(SEALED[:length], EMAIL, ROW))  # type: ignore[misc]
        refused(lambda length=length: KEYS.open(SEALED[length + 1 :], EMAIL, ROW))  # type: ignore[misc]


@given(st.data())
@settings(max_examples=200)
def test_pieces_of_several_values_are_none(data: st.DataObject) -> None:
    other = KEYS.seal_text("another@example.com", EMAIL, ROW)
    cut, at = (data.draw(st.integers(0, len(each))) for each in (SEALED, other))
    spliced = SEALED[:cut] + other[at:] + data.draw(st.binary(max_size=3))
    if spliced in {SEALED, other}:
        assert KEYS.open(spliced, EMAIL, ROW)
    else:
        refused(lambda: KEYS.open(spliced, EMAIL, ROW))


def shared(scope: KeyScope) -> ScopeKeys:
    """Return keys of another scope with the same key bytes: only the place differs."""
    keys = ScopeKeys(scope, lambda: 0.0)
    keys.update(KEYS.held(), KEYS.writing_version, float("inf"))
    return keys


@pytest.mark.parametrize(
    ("keys", "column", "row"),
    [
        (KEYS, EMAIL, uuid4()),
        (KEYS, EMAIL, (ROW, "x")),
        (KEYS, FieldColumn("people", "phone"), ROW),
        (KEYS, FieldColumn("users", "email"), ROW),
        (KEYS, FieldColumn("peoplee", "mail"), ROW),
        (shared(KeyScope("other", "contact")), EMAIL, ROW),
        (shared(KeyScope("acme", "health")), EMAIL, ROW),
        (shared(KeyScope("acme", "contact", "person")), EMAIL, ROW),
        (shared(SCOPE.for_index()), EMAIL, ROW),
        (in_hand(SCOPE, 1, 2), EMAIL, ROW),
        (in_hand(SCOPE, 1), EMAIL, ROW),
    ],
    ids=[
        "another row", "a longer key", "another column", "another table", "the border moved",
        "another tenant", "another class", "a person", "an index", "another key", "no such version",
    ],
)  # fmt: skip
def test_a_value_that_was_moved_does_not_open(
    keys: ScopeKeys, column: FieldColumn, row: object
) -> None:
    refused(lambda: keys.open(SEALED, column, row))  # type: ignore[arg-type]


@pytest.mark.parametrize("sealed", [None, "text", 7, b"", b"someone@example.com" * 9])
def test_what_is_no_sealed_value_does_not_open(sealed: bytes) -> None:
    refused(lambda: KEYS.open(sealed, EMAIL, ROW))


def test_one_value_is_never_sealed_to_the_same_bytes() -> None:
    assert len({KEYS.seal_text(VALUE, EMAIL, ROW)[21:33] for _ in range(2000)}) == 2000


def test_both_versions_are_read_and_the_new_one_writes() -> None:
    keys = ScopeKeys(SCOPE, lambda: 0.0)
    held = KEYS.held()
    keys.update({1: held[1]}, 1, 1.0)
    old = keys.seal(b"old", EMAIL, 1)
    keys.update(held, 1, 1.0)
    assert keys.versions == (2, 1)
    assert keys.writing_version == 1, "the new one is only read at first"
    keys.update(held, 2, 1.0)
    new = keys.seal(b"new", EMAIL, 1)
    assert (old[4], new[4]) == (1, 2)
    assert (keys.open(old, EMAIL, 1), keys.open(new, EMAIL, 1)) == (b"old", b"new")
    assert [key.version for key in keys.live_keys()] == [2, 1]


def test_keys_past_their_time_are_wiped_whoever_holds_them() -> None:
    now = 0.0
    keys = ScopeKeys(SCOPE, lambda: now)
    made = in_hand(SCOPE).held()
    keys.update(made, 1, 10.0)
    sealed = keys.seal(b"x", EMAIL, 1)
    now = 9.9
    assert keys.open(sealed, EMAIL, 1) == b"x"
    now = 10.0
    with pytest.raises(FieldKeysAway, match="past their time"):
        keys.open(sealed, EMAIL, 1)
    with pytest.raises(FieldKeysAway, match="past their time"):
        keys.seal(b"x", EMAIL, 1)
    now = 0.0
    with pytest.raises(FieldKeysAway):
        keys.open(sealed, EMAIL, 1)
    with pytest.raises(FieldKeysAway):
        made[1].writer()


def test_keys_that_another_thread_wipes_meanwhile_are_away_and_the_value_is_not_called_bad(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keys = in_hand(SCOPE)
    sealed, look = keys.seal(b"x", EMAIL, 1), keys.writing_key

    def wiped_after_the_look() -> FieldKey:
        key = look()
        keys.wipe()
        return key

    monkeypatch.setattr(keys, "writing_key", wiped_after_the_look)
    with pytest.raises(FieldKeysAway):
        keys.open(sealed, EMAIL, 1)


@pytest.mark.parametrize(
    "value", ["text", None, 7, b"x" * (MAX_VALUE_BYTES + 1)], ids=["text", "null", "number", "long"]
)
def test_what_can_not_be_sealed(value: bytes) -> None:
    with pytest.raises(FieldInputFault):
        KEYS.seal(value, EMAIL, ROW)


@pytest.mark.parametrize("text", [None, b"bytes", "\ud800"])
def test_what_is_no_text(text: str) -> None:
    with pytest.raises(FieldInputFault):
        KEYS.seal_text(text, EMAIL, ROW)


def test_keys_of_an_index_seal_nothing() -> None:
    with pytest.raises(FieldInputFault, match="an index"):
        in_hand(SCOPE.for_index()).seal(b"x", EMAIL, ROW)


@pytest.mark.quiet
@pytest.mark.parametrize("what", ["seal", "open"])
def test_a_core_does_a_hundred_thousand_values_a_second(what: str) -> None:
    count = 20_000
    value, rows = VALUE.encode(), [f"{number:08}" for number in range(count)]
    best = 0.0
    for _ in range(5):
        started = time.process_time()
        sealed = [KEYS.seal(value, EMAIL, row) for row in rows]
        if what == "open":
            started = time.process_time()
            for each, row in zip(sealed, rows, strict=True):
                KEYS.open(each, EMAIL, row)
        best = max(best, count / (time.process_time() - started))
    assert best > 100_000, f"{best:.0f} values a second"
