"""A configuration as YAML: every setting with the value in force, the defaults marked.

What is shown is a configuration again: read, it is the same. The exception is a value whose type
says that it may be a secret (``SecretUrl``); of that only the origin is shown.
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, get_args, get_origin
from urllib.parse import urlsplit

import msgspec

from sidecar.config.expected import bare_type, is_secret, members_of
from sidecar.config.model import Config
from sidecar.config.problem import Path, show_path

_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./-]*")
_NOT_TEXT = frozenset({"true", "false", "null", "True", "False", "Null", "TRUE", "FALSE", "NULL"})
_SURROGATES = re.compile(r"(?<!\\)((?:\\\\)*)(\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2})")
HIDDEN = "(not shown)"


class Setting(NamedTuple):
    """One value in force."""

    path: Path
    value: Any
    is_default: bool


def effective(config: Config, written: Any) -> Iterator[Setting]:
    """Yield every setting in the order of the model; ``written`` is the tree of the file."""
    yield from _settings(config, Config, written, ())


def _settings(value: Any, kind: Any, written: Any, path: Path) -> Iterator[Setting]:
    if isinstance(value, msgspec.Struct):
        tag_field = value.__struct_config__.tag_field
        if tag_field:
            tag = value.__struct_config__.tag
            yield Setting((*path, tag_field), tag, not _has(written, tag_field))
        for field in msgspec.structs.fields(value):
            own, inside = getattr(value, field.name), _of(written, field.encode_name)
            yield from _settings(own, field.type, inside, (*path, field.encode_name))
    elif isinstance(value, dict) and value:
        item_type = _item_type(kind)
        for key, item in value.items():
            yield from _settings(item, item_type, _of(written, key), (*path, key))
    elif isinstance(value, tuple) and any(
        isinstance(each, msgspec.Struct | dict) for each in value
    ):
        item_type = _item_type(kind)
        for at, item in enumerate(value):
            yield from _settings(item, item_type, _of(written, at), (*path, at))
    else:
        shown = list(value) if isinstance(value, tuple) else value
        hidden = is_secret(kind) and value is not None
        yield Setting(path, _origin(value) if hidden else shown, written is _ABSENT)


class _Absent:
    """Stands for what is not in the file."""


_ABSENT = _Absent()


def _of(written: Any, step: str | int) -> Any:
    return written[step] if _has(written, step) else _ABSENT


def _has(written: Any, step: str | int) -> bool:
    if isinstance(written, dict):
        return step in written
    return isinstance(written, list) and isinstance(step, int) and step < len(written)


def _item_type(kind: Any) -> Any:
    """Return the type of the items of a list or mapping; where it is neither, ``Any``."""
    for member in members_of(kind):
        bare = bare_type(member)
        if get_origin(bare) in {tuple, dict}:
            return get_args(bare)[-1 if get_origin(bare) is dict else 0]
    return Any


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/{HIDDEN}"


def as_yaml(settings: Sequence[Setting]) -> Iterator[str]:
    """Yield the lines; a default is marked at the end of its line."""
    before: Path = ()
    for path, value, is_default in settings:
        common = 0
        while common < min(len(before), len(path) - 1) and before[common] == path[common]:
            common += 1
        mark = "  # default" if is_default else ""
        steps = path[common:]
        start = _indent(path[:common])
        for at, step in enumerate(steps):
            is_last = at == len(steps) - 1
            if isinstance(step, int):
                start += "- "
                if is_last:
                    yield f"{start}{scalar(value)}{mark}"
                continue
            yield f"{start}{scalar(step)}:{f' {scalar(value)}{mark}' if is_last else ''}"
            start = _indent(path[: common + at + 1])
        before = path


def _indent(path: Path) -> str:
    """Return the indentation of what is inside a path."""
    return "  " * len(path)


def scalar(value: Any) -> str:
    """Return a value in one line of YAML, in ASCII."""
    if isinstance(value, str):
        plain = _PLAIN.fullmatch(value) and value not in _NOT_TEXT
        return value if plain else _SURROGATES.sub(_one_escape, json.dumps(value))
    if isinstance(value, list):
        return f"[{', '.join(map(scalar, value))}]"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return json.dumps(value)


def _one_escape(found: re.Match[str]) -> str:
    """Return the escape of YAML for a character that JSON writes as two (YAML 1.2 §5.7)."""
    character = json.loads(f'"{found[2]}"')
    return f"{found[1]}\\U{ord(character):08x}"


def as_document(settings: Sequence[Setting]) -> dict[str, Any]:
    """Return the settings by path, for programs."""
    return {
        show_path(each.path): {"value": each.value, "default": each.is_default} for each in settings
    }
