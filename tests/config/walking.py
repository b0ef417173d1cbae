"""Walks the model: every setting with its type, and documents in which each has a value."""

from base64 import b64encode
from collections.abc import Iterator
from copy import deepcopy
from typing import Any, Literal, get_args, get_origin

import msgspec

from sidecar.config.convert import convert
from sidecar.config.expected import bare_type, bounds_of, members_of
from sidecar.config.model import Config
from sidecar.config.problem import Path, Problem

_TEXTS = (
    "a", "/a", "a.example", "127.0.0.1:9100", "https://a.example", "https://a.example/{name}",
    "7f1c9a52-3f0e-4c8e-9f3b-0d7a8f5d2c11", "mailto:a@b.example", "text/plain", "GET", "header",
    "spiffe://a/b", b64encode(bytes(32)).decode(), "GET:/a",
)  # fmt: skip
LONG = 1024
"""Longer lists are tried with one item too many alone: that is refused unread."""
ROUNDS = 5
"""As many as the largest union has members: each of them is in one document."""


def settings() -> list[tuple[str, Any]]:
    """Return every setting once, with the type that it has there."""
    found: dict[tuple[str, str], Any] = {}
    for path, kind in _walk(Config, ""):
        found.setdefault((path, repr(kind)), kind)
    return [(path, kind) for (path, _), kind in found.items()]


def _walk(kind: Any, path: str) -> Iterator[tuple[str, Any]]:
    for member in members_of(kind):
        bare = bare_type(member)
        if isinstance(bare, type) and issubclass(bare, msgspec.Struct):
            for field in msgspec.structs.fields(bare):
                where = f"{path}.{field.encode_name}" if path else field.encode_name
                yield where, field.type
                yield from _walk(field.type, where)
        elif get_origin(bare) is tuple:
            yield f"{path}[]", get_args(bare)[0]
            yield from _walk(get_args(bare)[0], f"{path}[]")
        elif get_origin(bare) is dict:
            yield f"{path}.<name>", get_args(bare)[1]
            yield from _walk(get_args(bare)[1], f"{path}.<name>")


def sample(kind: Any, round_: int = 0) -> Any:
    """Return a value of a type in which every setting is given."""
    members = members_of(kind)
    member = members[round_ % len(members)]
    bare = bare_type(member)
    origin = get_origin(bare)
    if origin is Literal:
        made: Any = get_args(bare)[round_ % len(get_args(bare))]
    elif origin is tuple:
        made = [sample(get_args(bare)[0], round_)]
    elif origin is dict:
        key_type, item_type = get_args(bare)
        made = {sample(key_type): sample(item_type, round_)}
    elif isinstance(bare, type) and issubclass(bare, msgspec.Struct):
        made = _struct(bare, round_)
    elif bare is str:
        made = next(text for text in _TEXTS if fits(text, member))
    elif bare is bool:
        made = bool(round_ % 2)
    else:
        made = _number(member)
    return made


def _struct(struct: type[msgspec.Struct], round_: int) -> dict[str, Any]:
    fields = msgspec.structs.fields(struct)
    made = {field.encode_name: sample(field.type, round_) for field in fields}
    config = struct.__struct_config__
    return {config.tag_field: config.tag, **made} if config.tag_field else made


def _least(kind: Any) -> Any:
    """Return a value of a type without what may be left out: a list may have thousands of it."""
    bare = bare_type(members_of(kind)[0])
    if not (isinstance(bare, type) and issubclass(bare, msgspec.Struct)):
        return sample(kind)
    needed = {each.encode_name for each in msgspec.structs.fields(bare) if each.required}
    config = bare.__struct_config__
    return {
        name: value
        for name, value in _struct(bare, 0).items()
        if name in needed or name == config.tag_field
    }


def _number(kind: Any) -> float:
    bounds = bounds_of(kind)
    if bounds.ge is not None:
        return bounds.ge
    return bounds.le if bounds.le is not None else 1


def fits(value: Any, kind: Any) -> bool:
    """Tell whether a value is one of a type."""
    found: list[Problem] = []
    convert(value, kind, found)
    return not found


def bound_values(kind: Any) -> Iterator[tuple[Any, bool]]:
    """Yield values at each bound of a type and one past it, and whether they are in it."""
    for member in members_of(kind):
        bare = bare_type(member)
        if bare in {int, float}:
            yield from _number_bounds(member)
        elif get_origin(bare) is tuple:
            item = _least(get_args(bare)[0])
            for length, good in _lengths(member):
                yield [item] * length, good
        elif get_origin(bare) is dict:
            key, item = sample(get_args(bare)[0]), _least(get_args(bare)[1])
            for length, good in _lengths(member):
                yield {_numbered(key, at): item for at in range(length)}, good
        elif bare is str:
            yield from _text_bounds(member)


def _number_bounds(kind: Any) -> Iterator[tuple[Any, bool]]:
    bounds = bounds_of(kind)
    step = 1 if bare_type(kind) is int else 1e-9
    if bounds.ge is not None:
        yield bounds.ge, True
        yield bounds.ge - step, False
    if bounds.gt is not None:
        yield bounds.gt + step, True
        yield bounds.gt, False
    if bounds.le is not None:
        yield bounds.le, True
        yield bounds.le + max(step, bounds.le * 1e-9 if step < 1 else 1), False


def _text_bounds(kind: Any) -> Iterator[tuple[Any, bool]]:
    bounds = bounds_of(kind)
    if bounds.min_length:
        yield "", False
    if bounds.max_length is not None:
        text = sample(kind)
        yield text + "a" * (bounds.max_length + 1 - len(text)), False
        longest = text + "a" * (bounds.max_length - len(text))
        if fits(longest, kind):
            yield longest, True


def _numbered(key: str, number: int) -> str:
    """Return a name of letters alone: not every name may have digits."""
    letters = "".join(chr(ord("a") + int(digit)) for digit in str(number))
    return f"{key}{letters}"


def _lengths(kind: Any) -> Iterator[tuple[int, bool]]:
    bounds = bounds_of(kind)
    if bounds.min_length:
        yield bounds.min_length, True
        yield bounds.min_length - 1, False
    if bounds.max_length is not None:
        if bounds.max_length <= LONG:
            yield bounds.max_length, True
        yield bounds.max_length + 1, False


def places(value: Any, path: Path = ()) -> Iterator[Path]:
    """Yield the path of every value of a document."""
    yield path
    if isinstance(value, dict):
        for key, item in value.items():
            yield from places(item, (*path, key))
    if isinstance(value, list):
        for at, item in enumerate(value):
            yield from places(item, (*path, at))


def with_value(document: Any, path: Path, value: Any) -> Any:
    """Return a document with another value in one place."""
    if not path:
        return value
    changed = deepcopy(document)
    holder = changed
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = value
    return changed
