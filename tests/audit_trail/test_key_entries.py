"""The keys of pseudonyms as entries of Vault: everything is there again, in pieces of any size."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.audit_trail.key_entries import (
    KeyEntryFault,
    days_data,
    join,
    main_data,
    read_days,
    read_main,
    read_shard,
    shard_data,
    shard_of,
)
from sidecar.observability.audit.day_keys import DayKeys
from sidecar.observability.audit.key_forest import DEPTH, KeyForest

FOREST = KeyForest(b"i" * 16, ({(0, 0): b"r" * 16},))


@settings(max_examples=30)
@given(st.lists(st.integers(0, 2**DEPTH - 1), max_size=8))
def test_a_forest_is_entries_and_back(deleted: list[int]) -> None:
    forest = FOREST
    for position in deleted:
        forest = forest.without(position)
    shards = {shard_of(position): 1 for position in deleted}
    main = read_main(main_data(forest, shards))
    assert main.shards == shards
    assert join(main, {each: read_shard(shard_data(forest, each)) for each in shards}) == forest


def test_an_entry_grows_with_what_is_deleted_in_its_shard_alone() -> None:
    forest = FOREST
    for number in range(100):
        forest = forest.without(number << 20)
    main = str(main_data(forest, {"00": 1}))
    shard = str(shard_data(forest, "00"))
    assert len(main) < 1000
    assert len(shard) < 100 * 1000
    assert not any(read_shard(shard_data(forest, "01")))


MAIN = main_data(FOREST, {})


@pytest.mark.parametrize(
    "data",
    [
        {},
        {**MAIN, "format": 2},
        {**MAIN, "more": 1},
        {**MAIN, "index_key": "AAAA"},
        {**MAIN, "index_key": "!"},
        {**MAIN, "trees": []},
        {**MAIN, "trees": ["AAAA"]},
        {**MAIN, "trees": "AAAA"},
        {**MAIN, "shards": {"00": "1"}},
    ],
)
def test_what_is_no_main_entry(data: dict[str, Any]) -> None:
    with pytest.raises(KeyEntryFault) as caught:
        read_main(data)
    assert "AAAA" not in str(caught.value)


@pytest.mark.parametrize("data", [{}, {"trees": ["!"]}, {"trees": ["AAAA"]}, {"trees": 1}])
def test_what_is_no_shard(data: dict[str, Any]) -> None:
    with pytest.raises(KeyEntryFault):
        read_shard(data)


def test_the_keys_of_days() -> None:
    days = DayKeys(20_000, b"d" * 16)
    assert read_days(days_data(days)) == days
    for data in (
        {},
        {"day": 1, "key": "AAAA"},
        {"day": 1, "key": "!"},
        {"day": "1", "key": "AA=="},
    ):
        with pytest.raises(KeyEntryFault):
            read_days(data)
