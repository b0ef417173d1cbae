"""Convert a tree of plain values to the types of ``model``, and collect every problem.

msgspec checks a whole value, stops at the first fault and speaks of types and patterns. A person
who corrects a file wants to see all faults, in sentences, so this module walks the structures
itself: it builds each from its parts, and leaves only single values to msgspec. A fault is said
in the words of ``expected``.
"""

import re
from collections.abc import Collection, Iterable
from difflib import get_close_matches
from typing import Any, Final, TypeVar, get_args, get_origin

import msgspec

from sidecar.config.expected import (
    bare_type,
    bounds_of,
    in_words,
    kind_of,
    members_of,
    takes_null,
)
from sidecar.config.problem import Path, Problem
from sidecar.config.renamed import new_name

T = TypeVar("T")
_NEARLY = 0.8
"""How alike a name must be to be asked about."""


class _Faulty:
    """Stands for a wrong value; its problems are collected."""


_FAULTY: Final = _Faulty()


def convert(value: Any, expected: type[T], problems: list[Problem]) -> T | None:
    """Convert ``value`` to ``expected``, or add every fault in it to ``problems``."""
    made: T | _Faulty = _walk(value, expected, (), problems)
    return None if isinstance(made, _Faulty) else made


def _walk(
    value: Any, expected: Any, path: Path, problems: list[Problem], default: Any = None
) -> Any:
    """Convert a value; ``default`` is what its setting is where it is not given."""
    if value is None and takes_null(expected):
        return None
    members = _of_the_kind(value, members_of(expected))
    if len(members) == 1 or not hasattr(members[0], "__struct_config__"):
        member = members[0] if len(members) == 1 else expected  # plain values: bool | Literal
    else:
        member = _pick(value, members, default, path, problems)
    bare = bare_type(member)
    if member is None:
        made: Any = _FAULTY
    elif isinstance(bare, type) and issubclass(bare, msgspec.Struct):
        made = _struct(value, bare, path, problems)
    elif get_origin(bare) is tuple and isinstance(value, list):
        made = _list(value, member, path, problems)
    elif get_origin(bare) is dict and isinstance(value, dict):
        made = _mapping(value, member, path, problems)
    else:
        made = _leaf(value, member, path, problems)
    return made


def _of_the_kind(value: Any, members: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the members of a union that a value may mean: the list, or the others."""
    lists = tuple(each for each in members if get_origin(bare_type(each)) is tuple)
    if not lists or isinstance(value, list):
        return lists or members
    return tuple(each for each in members if each not in lists) or members


def _list(
    value: list[Any], expected: Any, path: Path, problems: list[Problem]
) -> tuple[Any, ...] | _Faulty:
    if not _fits(value, expected, path, problems):
        return _FAULTY
    item_type = get_args(bare_type(expected))[0]
    items = [_walk(each, item_type, (*path, at), problems) for at, each in enumerate(value)]
    return _FAULTY if _FAULTY in items else tuple(items)


def _struct(
    value: Any, struct: type[msgspec.Struct], path: Path, problems: list[Problem]
) -> msgspec.Struct | _Faulty:
    if not isinstance(value, dict):
        problems.append(Problem(path, f"must be a mapping, not {kind_of(value)}"))
        return _FAULTY
    fields = {field.encode_name: field for field in msgspec.structs.fields(struct)}
    tag_field = struct.__struct_config__.tag_field
    unknown = sorted(value.keys() - fields.keys() - {tag_field})
    problems.extend(_unknown((*path, key), fields) for key in unknown)
    made: dict[str, Any] = {}
    for name, field in fields.items():
        if name in value:
            where = (*path, name)
            made[field.name] = _walk(value[name], field.type, where, problems, field.default)
        elif field.required:
            problems.append(
                Problem((*path, name), f"is missing; it must be {in_words(field.type)}")
            )
            made[field.name] = _FAULTY
    return _FAULTY if unknown or _FAULTY in made.values() else struct(**made)


def _mapping(
    value: dict[str, Any], expected: Any, path: Path, problems: list[Problem]
) -> dict[str, Any] | _Faulty:
    if not _fits(value, expected, path, problems):
        return _FAULTY
    key_type, item_type = get_args(bare_type(expected))
    made: dict[str, Any] = {}
    for key, item in value.items():
        if _leaf(key, key_type, (*path, key), problems, "has a name that") is _FAULTY:
            made[key] = _FAULTY
        else:
            made[key] = _walk(item, item_type, (*path, key), problems)
    return _FAULTY if _FAULTY in made.values() else made


def _fits(value: Collection[Any], expected: Any, path: Path, problems: list[Problem]) -> bool:
    """Check the length of a list or a mapping."""
    bounds = bounds_of(expected)
    if len(value) < (bounds.min_length or 0):
        problems.append(Problem(path, f"must be {in_words(expected)}, and is empty"))
    elif bounds.max_length is not None and len(value) > bounds.max_length:
        problems.append(Problem(path, f"must be {in_words(expected)}, and has {len(value)}"))
    else:
        return True
    return False


def _unknown(path: Path, fields: Iterable[str]) -> Problem:
    renamed = new_name(path)
    if renamed is not None:
        return Problem(path, f"has a new name: write {renamed} instead")
    known = sorted(fields)
    if not known:
        return Problem(path, "is not a setting; there are none here: remove it")
    close = get_close_matches(str(path[-1]), known, 1, _NEARLY)
    meant = f"did you mean {close[0]}? The" if close else "the"
    return Problem(path, f"is not a setting; {meant} settings here are: {', '.join(known)}")


def _pick(
    value: Any, members: tuple[Any, ...], default: Any, path: Path, problems: list[Problem]
) -> Any:
    """Return the member of a union that is meant, by its tag; ``None`` where none is.

    Without a tag it is that of the setting's default, if that has what is written.
    """
    tags = {member.__struct_config__.tag: member for member in members}
    tag_field = members[0].__struct_config__.tag_field
    choices = ", ".join(sorted(tags))
    if not isinstance(value, dict):
        wanted = f"must be a mapping with {tag_field}, one of: {choices}"
        problems.append(Problem(path, f"{wanted}; not {kind_of(value)}"))
        return None
    if tag_field not in value:
        if type(default) in members and value.keys() <= _names(type(default)):
            return type(default)
        having = [tag for tag, each in tags.items() if value.keys() <= _names(each)]
        choices = ", ".join(sorted(having)) or choices
        problems.append(Problem((*path, tag_field), f"is missing; it must be one of: {choices}"))
        return None
    tag = value[tag_field]
    if not isinstance(tag, str) or tag not in tags:
        problems.append(Problem((*path, tag_field), f"must be one of: {choices}"))
        return None
    return tags[tag]


def _names(struct: type[msgspec.Struct]) -> set[str]:
    return set(struct.__struct_encode_fields__)


_SHOWN_BELOW = 10**12
"""A number with more digits than this says nothing to a reader."""


def _leaf(value: Any, expected: Any, path: Path, problems: list[Problem], which: str = "") -> Any:
    """Convert one value. ``which`` begins the message, where it is about something in it."""
    bounds = bounds_of(expected)
    too_long = bounds.max_length is not None and (
        isinstance(value, str) and len(value) > bounds.max_length
    )
    try:
        # A pattern looks at a text whose length is bounded only.
        made = _FAULTY if too_long else msgspec.convert(value, expected)
    except msgspec.ValidationError:
        made = _FAULTY
    if isinstance(made, str) and bounds.pattern and not _is_whole(made, bounds.pattern):
        made = _FAULTY
    if made is _FAULTY:
        message = f"{which} must be {in_words(expected)}{_why(value, expected, bounds.max_length)}"
        problems.append(Problem(path, message.strip()))
    return made


def _is_whole(text: str, pattern: str) -> bool:
    r"""Tell whether a pattern matches all of a text: ``$`` also matches before a last ``\n``."""
    return not (text.endswith("\n") and pattern.endswith("$")) or bool(
        re.fullmatch(f"(?:{pattern.removesuffix('$')})", text)
    )


def _why(value: Any, expected: Any, max_length: int | None) -> str:
    """Return what a value is instead, where that says more than what it must be."""
    if isinstance(value, str) and bare_type(expected) is str:
        described = bounds_of(expected).description
        if max_length is not None and len(value) > max_length:
            most = f", of at most {max_length} characters" if described else ""
            return f"{most}, and has {len(value)}"
        if value.endswith("\n"):
            return "; it ends with a line end: write >- or |- and not > or |"
        return "" if value else ", and is empty"
    kind, wanted = kind_of(value), in_words(expected)
    if kind == "a number" and bare_type(expected) in {int, float}:
        return f", not {value}" if abs(value) < _SHOWN_BELOW else ""
    if kind in wanted or (kind == "text" and wanted.startswith("one of")):
        return ""
    return f", not {kind}"
