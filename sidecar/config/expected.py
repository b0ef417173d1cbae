"""Says in words what a type of the model takes: ``a whole number from 1 to 64``.

What is said of a text with a pattern is the ``description`` of its ``Meta``; the JSON Schema has
the same words. No message has a regular expression or a type's name of Python in it.
"""

from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from msgspec import Meta

UNIONS = (UnionType, Union)


class Bounds(NamedTuple):
    """What the annotations of a type say together."""

    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None
    description: str | None = None


def bounds_of(expected: Any) -> Bounds:
    """Return the bounds of a type; where annotations are nested, the outer one counts."""
    found: dict[str, Any] = {}
    if get_origin(expected) is Annotated:
        for meta in get_args(expected)[1:]:
            if isinstance(meta, Meta):
                values = {name: getattr(meta, name) for name in Bounds._fields}
                found |= {name: value for name, value in values.items() if value is not None}
    return Bounds(**found)


def bare_type(expected: Any) -> Any:
    """Return a type without its annotations."""
    return get_args(expected)[0] if get_origin(expected) is Annotated else expected


def members_of(expected: Any) -> tuple[Any, ...]:
    """Return the types of a union without ``None``; of another type itself."""
    bare = bare_type(expected)
    if get_origin(bare) not in UNIONS:
        return (expected,)
    return tuple(member for member in get_args(bare) if member is not NoneType)


def takes_null(expected: Any) -> bool:
    """Tell whether ``null`` is a value of a type."""
    bare = bare_type(expected)
    return bare is NoneType or (get_origin(bare) in UNIONS and NoneType in get_args(bare))


def is_secret(expected: Any) -> bool:
    """Tell whether a value of a type may be a secret, and must not be shown whole."""
    return any(
        isinstance(meta, Meta) and bool(meta.extra and meta.extra.get("secret"))
        for member in members_of(expected)
        if get_origin(member) is Annotated
        for meta in get_args(member)[1:]
    )


def in_words(expected: Any) -> str:
    """Return what a type takes, to follow "must be"."""
    members = members_of(expected)
    if len(members) != 1:
        structs = any(hasattr(each, "__struct_config__") for each in members)
        return "a mapping" if structs else ", or ".join(map(in_words, members))
    bounds, bare = bounds_of(members[0]), bare_type(members[0])
    if bounds.description:
        return bounds.description
    kind = get_origin(bare) or bare
    if kind is Literal:
        words = f"one of: {', '.join(map(str, get_args(bare)))}"
    elif kind in _COUNTED:
        name, one, many = _COUNTED[kind]
        words = f"{name}{_length(bounds, one, many)}"
    elif kind in {int, float}:
        words = f"a {'whole ' if kind is int else ''}number{_range(bounds)}"
    else:
        words = "true or false" if kind is bool else "a mapping"
    return words


_COUNTED = {
    tuple: ("a list", "item", "items"),
    dict: ("a mapping", "entry", "entries"),
    str: ("a text", "character", "characters"),
}


def _length(bounds: Bounds, one: str, many: str) -> str:
    low, high = bounds.min_length, bounds.max_length
    if low and high is not None:
        return (
            f" of {low} to {high} {many}"
            if low != high
            else f" of {low} {one if low == 1 else many}"
        )
    if high is not None:
        return f" of at most {high} {many}"
    return f" of at least {low} {one if low == 1 else many}" if low else ""


def _range(bounds: Bounds) -> str:
    parts = []
    if bounds.ge is not None and bounds.le is not None:
        return f" from {_number(bounds.ge)} to {_number(bounds.le)}"
    if bounds.ge is not None:
        parts.append(f"of at least {_number(bounds.ge)}")
    if bounds.gt is not None:
        parts.append(f"above {_number(bounds.gt)}")
    if bounds.lt is not None:
        parts.append(f"below {_number(bounds.lt)}")
    if bounds.le is not None:
        parts.append(f"of at most {_number(bounds.le)}")
    return f" {' and '.join(parts)}" if parts else ""


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else str(value)


def kind_of(value: Any) -> str:
    """Return what a value of a tree is, in words."""
    match value:
        case None:
            return "empty"
        case bool():
            return "true or false"
        case list():
            return "a list"
        case dict():
            return "a mapping"
        case str():
            return "text"
        case _:
            return "a number"
