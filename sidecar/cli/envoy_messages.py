"""Reads an Envoy configuration by Envoy's own API: misspelt fields and values of a wrong type.

Envoy says such a thing too, when it starts, and of the first one only. Here all are found where
no Envoy is at hand. The messages are those of ``envoy-data-plane``, which may be older than the
Envoy: a message or field that it does not know is let pass, unless a known one is spelt nearly so.
"""

import re
from collections.abc import Iterator
from difflib import get_close_matches
from importlib import import_module
from typing import Any

import betterproto2
from betterproto2.casing import safe_snake_case
from pydantic import ValidationError

_PACKAGE = "envoy_data_plane"
_PREFIX = "type.googleapis.com/"
_BOOTSTRAP = "envoy.config.bootstrap.v3.Bootstrap"
_SECTIONS = {"static_resources", "dynamic_resources", "admin", "node", "layered_runtime"}
_PLACEHOLDER = {"@type": f"{_PREFIX}google.protobuf.Empty"}
_UNKNOWN = re.compile(r"Unknown field '(?P<field>.*)' in message (?P<message>\w+)")
_NEARLY = 0.85
"""How alike two names are of which one is taken for the other, misspelt (``difflib``)."""
_MAX_NEWER = 50
"""Fields of one message that are newer than ``envoy-data-plane``: then no more is looked for."""
_MAX_DEPTH = 100
"""Of messages and lists in each other; Envoy's protobuf reads no more either."""


def message_problems(document: Any) -> Iterator[str]:
    """Yield what Envoy's API does not know in a document, with the path of its message.

    ``document`` is what YAML or JSON gave: a bootstrap, or anything with typed messages in it.
    """
    yield from _nested(document, "", 0)
    if isinstance(document, dict) and _SECTIONS & document.keys():
        yield from _check(_BOOTSTRAP, document, "")


def _nested(node: Any, path: str, depth: int) -> Iterator[str]:
    """Yield the problems of every typed message inside ``node``, the innermost first."""
    if depth > _MAX_DEPTH:
        yield f"{path}: messages are nested more than {_MAX_DEPTH} deep"
        return
    if isinstance(node, list):
        for index, each in enumerate(node):
            yield from _nested(each, f"{path}[{index}]", depth + 1)
    elif isinstance(node, dict):
        for key, each in node.items():
            yield from _nested(each, f"{path}.{key}" if path else str(key), depth + 1)
        if "@type" in node:
            yield from _typed(node, path)


def _typed(node: dict[Any, Any], path: str) -> Iterator[str]:
    url = str(node["@type"])
    if not url.startswith(_PREFIX):
        yield f"{path}: @type must begin with {_PREFIX}, not {url[:100]!r}"
        return
    fields = {key: each for key, each in node.items() if key != "@type"}
    yield from _check(url.removeprefix(_PREFIX), fields, path)


def _check(name: str, fields: dict[Any, Any], path: str) -> Iterator[str]:
    message = _message(name)
    if message is None:
        return
    where, kind = path or "the file", name.rpartition(".")[2]
    own = {key: _without_typed(each) for key, each in fields.items()}
    for _ in range(_MAX_NEWER):
        try:
            message.from_dict(own)
        except ValidationError as exc:
            for error in exc.errors(include_input=False, include_url=False):
                field = ".".join(map(str, error["loc"]))
                yield f"{where}: {field} of {kind}: {error['msg']}"
        except KeyError as exc:
            found = _UNKNOWN.match(str(exc.args[0]))
            if found is None:
                yield f"{where}: {kind} can't be read: {exc.args[0]}"
                return
            if meant := _meant(message, found["message"], found["field"]):
                yield f"{where}: {found['field']} is no field of {found['message']}; {meant} is"
            own = _without_field(message, own, found["message"], found["field"])
            continue
        except (AttributeError, OverflowError, TypeError, ValueError) as exc:
            yield f"{where}: {kind} can't be read: {exc}"
        return


def _meant(message: type[betterproto2.Message], kind: str, field: str) -> str | None:
    """Return the field whose name is nearly ``field``, of the message inside that is meant."""
    fields: set[str] = set()
    waiting, seen = [message], {message}
    while waiting:
        each: Any = waiting.pop()
        about = each._betterproto  # noqa: SLF001 - the package's only list of a message's fields
        if each.__name__ == kind:
            fields |= set(about.meta_by_field_name)
        for inner in about.cls_by_field.values():
            if issubclass(inner, betterproto2.Message) and inner not in seen:
                seen.add(inner)
                waiting.append(inner)
    return next(iter(get_close_matches(field, fields, 1, _NEARLY)), None)


def _without_field(message: Any, node: Any, kind: str, field: str) -> Any:
    """Return a copy in which no message of this kind has the field; others keep theirs."""
    if isinstance(node, list):
        return [_without_field(message, each, kind, field) for each in node]
    if not isinstance(node, dict):
        return node
    about = message._betterproto  # noqa: SLF001 - the package's only list of a message's fields
    kept: dict[Any, Any] = {}
    for key, each in node.items():
        name = safe_snake_case(str(key))
        if message.__name__ == kind and name == field:
            continue
        inner = about.cls_by_field.get(name)
        value = about.cls_by_field.get(f"{name}.value")
        if value is not None and isinstance(each, dict) and issubclass(value, betterproto2.Message):
            kept[key] = {at: _without_field(value, one, kind, field) for at, one in each.items()}
        elif inner is not None and issubclass(inner, betterproto2.Message):
            kept[key] = _without_field(inner, each, kind, field)
        else:
            kept[key] = each
    return kept


def _message(name: str) -> "type[betterproto2.Message] | None":
    package, _, kind = name.rpartition(".")
    if not all(part.isidentifier() for part in package.split(".")):
        return None
    try:
        found = getattr(import_module(f"{_PACKAGE}.{package}"), kind, None)
    except ImportError:
        return None
    return found if isinstance(found, type) and issubclass(found, betterproto2.Message) else None


def _without_typed(node: Any) -> Any:
    """Return a copy whose typed messages, which are checked by themselves, are empty ones."""
    if isinstance(node, list):
        return [_without_typed(each) for each in node]
    if isinstance(node, dict):
        if "@type" in node:
            return dict(_PLACEHOLDER)
        return {key: _without_typed(each) for key, each in node.items()}
    return node
