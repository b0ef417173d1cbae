"""The keys of pseudonyms as entries of Vault KV: read, and with one subject less. Pure.

The main entry has the index key, the upper nodes of each tree, and the version of each shard; a
shard has the nodes below its first eight bits, once a key of it was deleted. So no entry grows
with the subjects, and none beyond what Vault takes until some hundred thousand were deleted.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from sidecar.common.errors import Fault
from sidecar.observability.audit.day_keys import KEY_BYTES, DayKeys
from sidecar.observability.audit.key_forest import (
    DEPTH,
    SEED_BYTES,
    KeyForest,
    Node,
    decode_nodes,
    encode_nodes,
    merged,
)

SHARD_BITS = 8
_FORMAT = 1
_MAX_TREES = 10_000


class KeyEntryFault(Fault):
    """An entry is not one that holds keys of pseudonyms."""


class _Main(msgspec.Struct, forbid_unknown_fields=True):
    format: int
    index_key: str
    trees: list[str]
    shards: dict[str, int]


class _Shard(msgspec.Struct, forbid_unknown_fields=True):
    trees: list[str]


class _Days(msgspec.Struct, forbid_unknown_fields=True):
    day: int
    key: str


class MainEntry(NamedTuple):
    """The main entry: the index key, the upper nodes, and the versions of the shards."""

    index_key: bytes
    trees: tuple[Mapping[Node, bytes], ...]
    shards: Mapping[str, int]


def shard_of(position: int) -> str:
    """Return the name of the shard that a position is in."""
    return f"{position >> (DEPTH - SHARD_BITS):02x}"


def read_main(data: Mapping[str, Any]) -> MainEntry:
    """Read the main entry. Raises ``KeyEntryFault``, which quotes nothing of it."""
    try:
        main = msgspec.convert(dict(data), _Main)
        index_key = _decode(main.index_key)
        trees = tuple(decode_nodes(_decode(each)) for each in main.trees)
    except (msgspec.ValidationError, ValueError):
        raise KeyEntryFault("its content is not that of keys of pseudonyms") from None
    if main.format != _FORMAT:
        raise KeyEntryFault(f"its format {main.format} is of a newer sidecar")
    if len(index_key) != SEED_BYTES or not 0 < len(trees) <= _MAX_TREES:
        raise KeyEntryFault("its keys are not whole")
    return MainEntry(index_key, trees, main.shards)


def read_shard(data: Mapping[str, Any]) -> list[dict[Node, bytes]]:
    """Read the nodes of a shard, by tree. Raises ``KeyEntryFault``."""
    try:
        return [decode_nodes(_decode(each)) for each in msgspec.convert(dict(data), _Shard).trees]
    except (msgspec.ValidationError, ValueError):
        raise KeyEntryFault("its content is not that of keys of pseudonyms") from None


def join(main: MainEntry, shards: Mapping[str, list[dict[Node, bytes]]]) -> KeyForest:
    """Return the forest of which these are the parts."""
    trees = (
        merged([tree, *(each[number] for each in shards.values() if number < len(each))])
        for number, tree in enumerate(main.trees)
    )
    return KeyForest(main.index_key, tuple(trees))


def main_data(forest: KeyForest, shards: Mapping[str, int]) -> dict[str, Any]:
    """Return the content of the main entry of a forest."""
    upper = (
        {node: seed for node, seed in tree.items() if node[0] <= SHARD_BITS}
        for tree in forest.trees
    )
    return {
        "format": _FORMAT,
        "index_key": _encode(forest.index_key),
        "trees": [_encode(encode_nodes(tree)) for tree in upper],
        "shards": dict(shards),
    }


def shard_data(forest: KeyForest, shard: str) -> dict[str, Any]:
    """Return the content of one shard of a forest."""
    number = int(shard, 16)
    lower = (
        {
            node: seed
            for node, seed in tree.items()
            if node[0] > SHARD_BITS and node[1] >> (node[0] - SHARD_BITS) == number
        }
        for tree in forest.trees
    )
    return {"trees": [_encode(encode_nodes(tree)) for tree in lower]}


def read_days(data: Mapping[str, Any]) -> DayKeys:
    """Read the entry of the days' keys. Raises ``KeyEntryFault``."""
    try:
        days = msgspec.convert(dict(data), _Days)
        key = _decode(days.key)
    except (msgspec.ValidationError, ValueError):
        raise KeyEntryFault("its content is not that of keys of days") from None
    if len(key) != KEY_BYTES:
        raise KeyEntryFault("its key is not whole")
    return DayKeys(days.day, key)


def days_data(days: DayKeys) -> dict[str, Any]:
    """Return the content of the entry of the days' keys."""
    return {"day": days.day, "key": _encode(days.key)}


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as exc:
        raise ValueError("no base64") from exc
