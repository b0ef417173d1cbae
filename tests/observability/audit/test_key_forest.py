"""A key for each subject, of which any can be deleted alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.observability.audit.key_forest import (
    DEPTH,
    KeyForest,
    decode_nodes,
    encode_nodes,
)

POSITIONS = st.integers(0, 2**DEPTH - 1)
FOREST = KeyForest(b"i" * 16, ({(0, 0): b"r" * 16},))


def test_a_subject_has_one_key_and_others_have_others() -> None:
    one, same = FOREST.position("t", "s"), FOREST.position("t", "s")
    others = [FOREST.position(*each) for each in (("t", "s2"), ("ts", ""), ("", "ts"), ("u", "s"))]
    assert one == same
    assert len({FOREST.key(each) for each in (one, *others)}) == 5
    assert KeyForest(b"j" * 16, FOREST.trees).position("t", "s") != one
    assert KeyForest.fresh().key(one) != KeyForest.fresh().key(one)


@given(st.lists(POSITIONS, min_size=1, max_size=6, unique=True), st.lists(POSITIONS, max_size=6))
def test_what_is_deleted_is_gone_and_everything_else_is_there(
    deleted: list[int], others: list[int]
) -> None:
    near = [position ^ 1 for position in deleted] + others
    kept = {position: FOREST.key(position) for position in near if position not in deleted}
    before = {position: FOREST.key(position) for position in deleted}
    forest = FOREST
    for position in deleted:
        forest = forest.without(position)
    assert {position: forest.key(position) for position in kept} == kept
    for position, key in before.items():
        with pytest.raises(LookupError):
            KeyForest(forest.index_key, forest.trees[:1]).key(position)
        assert forest.key(position) != key, "it is another person, as far as anybody can tell"
    assert not {key for tree in forest.trees for key in tree.values()} & set(before.values())
    assert len(forest.trees) == 2
    assert len(forest.trees[0]) <= DEPTH * len(deleted)


def test_who_is_deleted_again_gets_a_key_of_the_next_tree() -> None:
    keys = set()
    forest = FOREST
    for _ in range(4):
        keys.add(forest.key(7))
        forest = forest.without(7)
    assert len(keys) == 4
    assert len(forest.trees) == 5
    assert forest.key(8) == FOREST.key(8)


def test_a_key_that_no_tree_has_can_be_deleted_too() -> None:
    half = KeyForest(FOREST.index_key, FOREST.without(7).trees[:1])
    with pytest.raises(LookupError):
        half.key(7)
    assert half.without(7).key(7)


def test_the_ancestor_is_gone_with_what_stands_below_it() -> None:
    """As after a deletion that failed half-way: an ancestor, and nodes that come from it."""
    tree = {**FOREST.without(7).trees[0], **FOREST.trees[0]}
    forest = KeyForest(FOREST.index_key, (tree,)).without(9)
    with pytest.raises(LookupError):
        KeyForest(forest.index_key, forest.trees[:1]).key(9)
    assert forest.key(7) == FOREST.key(7)


@given(st.lists(POSITIONS, max_size=4))
def test_nodes_are_bytes_and_back(deleted: list[int]) -> None:
    forest = FOREST
    for position in deleted:
        forest = forest.without(position)
    for tree in forest.trees:
        assert decode_nodes(encode_nodes(tree)) == tree


@pytest.mark.parametrize(
    "data", [b"x", b"\0" * 23, b"\x29" + b"\0" * 21, b"\0" + b"\0\0\0\0\x01" + b"\0" * 16]
)
def test_what_are_no_nodes(data: bytes) -> None:
    with pytest.raises(ValueError, match="node"):
        decode_nodes(data)


def test_nothing_shows_a_key() -> None:
    assert repr(FOREST) == "KeyForest(1 trees)"
