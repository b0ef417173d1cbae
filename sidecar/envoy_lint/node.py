"""A value inside an Envoy configuration, with its path: read without ever raising.

A part that is absent, or of another kind than a rule looks for, is an empty node; Envoy itself
refuses wrong kinds. Fields are found by their protobuf name and by its JSON name (``lowerCamel``).
"""

import re
from collections.abc import Iterator
from typing import Any

from sidecar.config.problem import Path

_DURATION = re.compile(r"(-?[0-9]{1,12}(?:\.[0-9]{1,9})?)s", re.ASCII)
_CAMEL = re.compile(r"[a-z0-9]+(?:[A-Z][a-z0-9]*)+", re.ASCII)
_CAPITAL = re.compile(r"[A-Z]")
_MAX_DIGITS = 19
_MAX_DEPTH = 100
_STRUCT = ".TypedStruct"


class Node:
    """One value (``None`` where there is none) and where it stands."""

    __slots__ = ("path", "value")

    def __init__(self, value: Any, path: Path = ()) -> None:
        self.value, self.path = value, path
        for _ in range(_MAX_DEPTH):
            if (inner := _unwrapped(self.value)) is None:
                break
            self.value, self.path = inner, (*self.path, "value")

    def __getitem__(self, name: str) -> "Node":
        """Return a field; an empty node, with the path it would have, where there is none."""
        if isinstance(self.value, dict):
            for key in (name, _json_name(name)):
                if key in self.value:
                    return Node(self.value[key], (*self.path, key))
        return Node(None, (*self.path, name))

    def __bool__(self) -> bool:
        """Return whether there is a value."""
        return self.value is not None

    def at(self, *names: str) -> "Node":
        """Return the field of a field of a field."""
        node = self
        for name in names:
            node = node[name]
        return node

    def each(self) -> Iterator["Node"]:
        """Yield the elements of a list."""
        if isinstance(self.value, list):
            for index, value in enumerate(self.value):
                yield Node(value, (*self.path, index))

    def members(self) -> Iterator[tuple[str, "Node"]]:
        """Yield the members of a map, by their keys."""
        if isinstance(self.value, dict):
            for key, value in self.value.items():
                yield str(key), Node(value, (*self.path, str(key)))

    @property
    def text(self) -> str:
        """A text, or an enum's name; empty for anything else."""
        return self.value if isinstance(self.value, str) else ""

    @property
    def is_true(self) -> bool:
        """Whether it is ``true``, by itself or as a ``BoolValue``."""
        return self.value is True or self["value"].value is True

    @property
    def is_false(self) -> bool:
        """Whether it is ``false``, likewise: what is left out is neither."""
        return self.value is False or self["value"].value is False

    @property
    def number(self) -> float | None:
        """A number, by itself, as text (64 bit in JSON) or as a wrapped value."""
        value = self.value
        if isinstance(value, bool):
            return None
        if isinstance(value, int | float):
            return float(value)
        if (
            isinstance(value, str)
            and len(value) <= _MAX_DIGITS
            and value.isascii()
            and value.isdigit()
        ):
            return float(value)
        return self["value"].number if isinstance(value, dict) else None

    @property
    def seconds(self) -> float | None:
        """A duration (``0.5s``); ``None`` for anything else."""
        found = _DURATION.fullmatch(self.text)
        return float(found[1]) if found else None

    @property
    def kind(self) -> str:
        """The type of a typed message (its ``@type`` without the package's owner)."""
        return self["@type"].text.rpartition("/")[2]

    def plain(self) -> Any:
        """Return a copy of the value in which every field has its protobuf name."""
        return _plain(self.value, 0)

    def walk(self) -> Iterator["Node"]:
        """Yield this node and every map inside it, bounded in depth."""
        waiting = [(self, 0)]
        while waiting:
            node, depth = waiting.pop()
            if isinstance(node.value, dict):
                yield node
            if depth < _MAX_DEPTH:
                inner = [*node.each(), *(member for _, member in node.members())]
                waiting += [(each, depth + 1) for each in reversed(inner)]


def _unwrapped(value: Any) -> dict[str, Any] | None:
    """Return the message that is written as a ``TypedStruct``, in the usual form; else ``None``.

    Envoy takes it for the message that ``type_url`` names (``xds.type.v3.TypedStruct``).
    """
    if not isinstance(value, dict) or not str(value.get("@type", "")).endswith(_STRUCT):
        return None
    inner = value.get("value")
    named = value.get("type_url", value.get("typeUrl", ""))
    return {**(inner if isinstance(inner, dict) else {}), "@type": named}


def _json_name(name: str) -> str:
    """Return the JSON name of a protobuf field: ``fooBar`` of ``foo_bar``."""
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _plain(value: Any, depth: int) -> Any:
    if depth > _MAX_DEPTH:
        return None
    if isinstance(value, list):
        return [_plain(each, depth + 1) for each in value]
    if isinstance(value, dict):
        if (inner := _unwrapped(value)) is not None:
            return _plain(inner, depth + 1)
        return {_protobuf_name(key): _plain(each, depth + 1) for key, each in value.items()}
    return value


def _protobuf_name(key: Any) -> Any:
    """Return the protobuf name of a field in lowerCamel; any other key as it is."""
    if isinstance(key, str) and _CAMEL.fullmatch(key):
        return _CAPITAL.sub(lambda found: f"_{found[0].lower()}", key)
    return key
