"""Writes sidecar/config/schema.json: the model as JSON Schema, described by the reference.

The types, bounds and defaults are the model's; what each setting is for is said once, in the
table of docs/configuration.md, and copied from there.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_origin

import msgspec

from sidecar.config.expected import bare_type, members_of
from sidecar.config.model import Config

ROOT = Path(__file__).parents[1]
SCHEMA = ROOT / "sidecar/config/schema.json"
REFERENCE = ROOT / "docs/configuration.md"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
Structs = list[type[msgspec.Struct]]


class Row(NamedTuple):
    """One setting of the reference."""

    path: str
    tag: str | None
    """The member of a union that has it, where the row says which."""
    default: str
    description: str
    """As plain text."""
    markdown: str
    """The same as it is written, with its links."""


_CELLS = 3
"""The columns of the reference's table."""


def rows(page: str) -> Iterator[Row]:
    """Yield the settings of the reference's table; a row may name several."""
    for line in page.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) == _CELLS and cells[0].startswith("`"):
            yield from _settings(*cells)


def _settings(cell: str, default: str, description: str) -> Iterator[Row]:
    names = re.findall(r"`([^`]+)`", cell)
    tag = None
    said = re.match(r"`(\w+)`(?:: |$)", description)
    if said:
        tag = said.group(1)
    if re.match(r"`\w+`: ", cell):
        tag, base = names.pop(0), "issuers[]"
    else:
        base = names[0].rpartition(".")[0]
    defaults = [each.strip() for each in default.split("; " if "; " in default else ", ")]
    for at, name in enumerate(names):
        path = f"{base}{name}" if name.startswith(".") else name
        own = defaults[at] if len(defaults) == len(names) else default
        yield Row(path, tag, own, _plain(description), description)


def _plain(text: str) -> str:
    """Return Markdown as plain text."""
    text = re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", text).replace("`", "").replace("\\|", "|")
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def structs_at(path: str, tag: str | None) -> list[tuple[type[msgspec.Struct], str]]:
    """Return the structures that have the setting at a path, each with the field's name."""
    structs: Structs = [Config]
    path = re.sub(r"(\.<\w+>)+$", "", path)
    *steps, last = path.split(".")
    for step in steps:
        name = step.removesuffix("[]")
        if step.startswith("<"):
            continue
        structs = [each for struct in structs for each in _inside(struct, name)]
    having = [each for each in structs if last.removesuffix("[]") in each.__struct_fields__]
    tagged = [each for each in having if each.__struct_config__.tag == tag]
    return [(each, last.removesuffix("[]")) for each in tagged or having]


def _inside(struct: type[msgspec.Struct], name: str) -> Structs:
    fields = {field.encode_name: field.type for field in msgspec.structs.fields(struct)}
    return list(_structs_of(fields[name])) if name in fields else []


def _structs_of(kind: Any) -> Iterator[type[msgspec.Struct]]:
    for member in members_of(kind):
        bare = bare_type(member)
        if isinstance(bare, type) and issubclass(bare, msgspec.Struct):
            yield bare
        elif get_origin(bare) in {tuple, dict}:
            yield from _structs_of(get_args(bare)[-1 if get_origin(bare) is dict else 0])


def schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a configuration file."""
    made = msgspec.json.schema(Config)
    definitions: dict[str, Any] = made["$defs"]
    for struct in _all(Config, set()):
        _describe(struct, definitions[struct.__name__])
    for row in rows(REFERENCE.read_text()):
        for struct, field in structs_at(row.path, row.tag):
            shown = definitions[struct.__name__]["properties"].get(field)
            if shown is not None and row.description:
                shown["description"] = row.description
    for name, definition in definitions.items():
        _without_needless_tags(name, definitions)
        definition.pop("title", None)
    return {
        "$schema": DIALECT,
        "title": "Settings of Septem Sidecar",
        **_clean({"$ref": made["$ref"], "$defs": dict(sorted(definitions.items()))}),
    }


def _describe(struct: type[msgspec.Struct], definition: dict[str, Any]) -> None:
    """Describe a structure, its tag, and those of its settings that hold structures."""
    properties = definition["properties"]
    definition["description"] = _about(struct)
    if struct.__struct_config__.tag_field:
        properties[struct.__struct_config__.tag_field]["description"] = _about(struct)
    for field in msgspec.structs.fields(struct):
        inside = list(dict.fromkeys(_structs_of(field.type)))
        if len(inside) > 1:
            tags = ", ".join(str(each.__struct_config__.tag) for each in inside)
            words = f"By {inside[0].__struct_config__.tag_field}, one of: {tags}."
            properties[field.encode_name]["description"] = words
        if len(inside) == 1 and "$ref" not in properties[field.encode_name]:
            properties[field.encode_name]["description"] = _about(inside[0])


def _about(struct: type[msgspec.Struct]) -> str:
    """Return the first paragraph of a structure's docstring, in one line."""
    paragraph = (struct.__doc__ or "").split("\n\n")[0]
    return " ".join(paragraph.split()).replace("``", "`")


def _without_needless_tags(name: str, definitions: dict[str, Any]) -> None:
    """Let the member of a union that is its default be written without its tag."""
    for struct in _all(Config, set()):
        if struct.__name__ != name:
            continue
        for field in msgspec.structs.fields(struct):
            default = type(field.default)
            members = members_of(field.type)
            if default in members and len(list(_structs_of(field.type))) > 1:
                tag = default.__struct_config__.tag_field
                required = definitions[default.__name__].get("required", [])
                definitions[default.__name__]["required"] = [e for e in required if e != tag]


def _all(
    struct: type[msgspec.Struct], seen: set[type[msgspec.Struct]]
) -> Iterator[type[msgspec.Struct]]:
    if struct in seen:
        return
    seen.add(struct)
    yield struct
    for field in msgspec.structs.fields(struct):
        for each in _structs_of(field.type):
            yield from _all(each, seen)


def _clean(value: Any) -> Any:
    """Leave out what is OpenAPI's and not JSON Schema's, and empty lists of what is required."""
    if isinstance(value, list):
        return [_clean(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _clean(each)
        for key, each in value.items()
        if not (key == "discriminator" and "anyOf" in value)
        and not (key == "required" and not each)
    }


def text() -> str:
    """Return the file's text."""
    return json.dumps(schema(), indent=1) + "\n"


if __name__ == "__main__":
    SCHEMA.write_text(text(), encoding="utf-8")
