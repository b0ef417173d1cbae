"""Convert a tree of plain values to the types of ``model``, and collect every problem.

msgspec checks a whole value and stops at the first fault. A person who corrects a file wants
to see all of them, so this module walks the structures itself and leaves only single values
to msgspec.
"""

import re
import typing
from collections.abc import Iterable
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, get_args, get_origin

import msgspec

from sidecar.config.problem import Path, Problem
from sidecar.config.renamed import new_name

T = TypeVar("T")
_AT_PATH = re.compile(r" - at `\$(.*)`$")
_UNION_ORIGINS = (UnionType, typing.Union)


def convert(value: Any, expected: type[T], problems: list[Problem]) -> T | None:
    """Convert ``value`` to ``expected``, or add every fault in it to ``problems``."""
    before = len(problems)
    _walk(value, expected, (), problems)
    if len(problems) > before:
        return None
    return msgspec.convert(value, expected)


def _walk(value: Any, expected: Any, path: Path, problems: list[Problem]) -> None:
    bare = _without_annotation(expected)
    if get_origin(bare) in _UNION_ORIGINS and not _is_plain(bare):
        bare = _pick(value, bare, path, problems)
        if bare is None:
            return
    if isinstance(bare, type) and issubclass(bare, msgspec.Struct):
        _walk_struct(value, bare, path, problems)
    elif get_origin(bare) is tuple and isinstance(value, list):
        if _leaf([], expected, path, problems) if not value else True:
            for index, item in enumerate(value):
                _walk(item, get_args(bare)[0], (*path, index), problems)
    elif get_origin(bare) is dict and isinstance(value, dict):
        key_type, item_type = get_args(bare)
        for key, item in value.items():
            if _leaf(key, key_type, (*path, key), problems):
                _walk(item, item_type, (*path, key), problems)
    else:
        _leaf(value, expected, path, problems)


def _walk_struct(
    value: Any, struct: type[msgspec.Struct], path: Path, problems: list[Problem]
) -> None:
    if not isinstance(value, dict):
        problems.append(Problem(path, f"must be a mapping, not {_kind(value)}"))
        return
    fields = {field.encode_name: field for field in msgspec.structs.fields(struct)}
    tag_field = struct.__struct_config__.tag_field
    unknown = value.keys() - fields.keys() - {tag_field}
    problems.extend(_unknown((*path, key), fields) for key in unknown)
    for name, field in fields.items():
        if name in value:
            _walk(value[name], field.type, (*path, name), problems)
        elif field.required:
            problems.append(Problem((*path, name), "is missing"))


def _unknown(path: Path, fields: Iterable[str]) -> Problem:
    renamed = new_name(path)
    if renamed is not None:
        return Problem(path, f"has a new name: write {renamed} instead")
    return Problem(path, f"is not a setting; the settings here are: {', '.join(sorted(fields))}")


def _is_plain(union: Any) -> bool:
    """Return whether a union is of two plain values, such as ``bool | Literal["where_there"]``."""
    members = [member for member in get_args(union) if member is not NoneType]
    return len(members) > 1 and not any(hasattr(each, "__struct_config__") for each in members)


def _pick(value: Any, union: Any, path: Path, problems: list[Problem]) -> Any:
    """Return the member of a union that is meant: by its tag, or the only one beside ``None``."""
    members = [member for member in get_args(union) if member is not NoneType]
    if value is None and NoneType in get_args(union):
        return None
    if len(members) == 1:
        return _without_annotation(members[0])
    tags = {member.__struct_config__.tag: member for member in members}
    tag_field = members[0].__struct_config__.tag_field
    if not isinstance(value, dict):
        problems.append(Problem(path, f"must be a mapping, not {_kind(value)}"))
        return None
    choices = ", ".join(sorted(tags))
    if tag_field not in value:
        problems.append(Problem((*path, tag_field), f"is missing; it must be one of: {choices}"))
        return None
    tag = value[tag_field]
    if not isinstance(tag, str) or tag not in tags:
        problems.append(Problem((*path, tag_field), f"must be one of: {choices}"))
        return None
    return tags[tag]


def _leaf(value: Any, expected: Any, path: Path, problems: list[Problem]) -> bool:
    try:
        msgspec.convert(value, expected)
    except msgspec.ValidationError as exc:
        message = _AT_PATH.sub("", str(exc))
        problems.append(Problem(path, message[0].lower() + message[1:]))
        return False
    return True


def _without_annotation(expected: Any) -> Any:
    return get_args(expected)[0] if get_origin(expected) is Annotated else expected


def _kind(value: Any) -> str:
    match value:
        case None:
            return "empty"
        case bool():
            return "true or false"
        case list():
            return "a list"
        case str():
            return "text"
        case _:
            return "a number"
