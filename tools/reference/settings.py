"""docs/reference-settings.md: every setting, from the model, the schema's source and the reload."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, get_args, get_origin

import msgspec

from sidecar.config.expected import bare_type, bounds_of, in_words, members_of
from sidecar.config.model import Config
from sidecar.config.reloading import restart_reason
from tools.reference.page import page, sentence
from tools.write_schema import REFERENCE, Row, rows, structs_at

Struct = type[msgspec.Struct]
Described = Mapping[tuple[Struct, str], Row]
_REQUIRED = "required"
_KINDS = re.compile(r"^(?:`\w+`(?:, )?)+: ")
"""The kinds of a section that a description in the table begins with."""
_INTRODUCTION = """
Each setting with its type, its range, its default, and what a change of it takes: a
[reload](reload.md), or a restart. [Configuration](configuration.md) explains how the file is
checked, compared and written, and what paths, credentials and certificates mean. The same is in
[`schema.json`](../sidecar/config/schema.json) for editors.

`[]` stands for an element of a list, `<name>` for a name that you choose.
"""


class Place(NamedTuple):
    """One field of the model where it stands in the file."""

    path: str
    struct: Struct
    field: msgspec.structs.FieldInfo
    reloads_as: str
    """The setting's name in the table of ``config.reloading``."""


def places() -> Iterator[Place]:
    """Yield every setting in the order of the model."""
    yield from _of_struct(Config, "", "")


def _of_struct(struct: Struct, path: str, reloads_as: str) -> Iterator[Place]:
    for field in msgspec.structs.fields(struct):
        at, reload_at = (
            f"{before}.{field.encode_name}".lstrip(".") for before in (path, reloads_as)
        )
        inner = list(_inside(field.type))
        yield Place(at, struct, field, reload_at)
        lists = any(mark == "[]" for mark, _ in inner)
        for mark, each in inner:
            shown = "[]" if lists else mark
            # A mapping's parts are one setting to a reload: it is compared as a whole.
            named = reload_at if mark.startswith(".") else f"{reload_at}{shown}"
            below = list(_of_struct(each, f"{at}{shown}", named))
            yield from (
                place._replace(reloads_as=reload_at) if mark.startswith(".") else place
                for place in below
            )


def _inside(kind: Any) -> Iterator[tuple[str, Struct]]:
    """Yield the structures that a type holds, each with the mark that follows the name."""
    seen = set()
    for member in members_of(kind):
        bare = bare_type(member)
        if isinstance(bare, type) and issubclass(bare, msgspec.Struct):
            found = [("", bare)]
        elif get_origin(bare) is tuple:
            found = [("[]", each) for _, each in _inside(get_args(bare)[0])]
        elif get_origin(bare) is dict:
            found = [(f".<name>{mark}", each) for mark, each in _inside(get_args(bare)[1])]
        else:
            found = []
        for mark, each in found:
            if each not in seen:
                seen.add(each)
                yield mark, each


def descriptions() -> Described:
    """Return the rows of docs/configuration.md by the fields that they describe."""
    return {
        (struct, field): row
        for row in rows(REFERENCE.read_text())
        for struct, field in structs_at(row.path, row.tag)
    }


def settings_page() -> str:
    """Return the page."""
    by_path: dict[str, list[Place]] = {}
    for place in places():
        by_path.setdefault(place.path, []).append(place)
    described = descriptions()
    body, section = [], ""
    for path, found in by_path.items():
        top = re.split(r"[.\[]", path)[0]
        if top != section:
            section = top
            body.append(f"## {top}")
            if path == top and list(_inside(found[0].field.type)):
                body.append(_entry(found, described))
                continue
        body.append(f"### `{path}`\n{_entry(found, described)}")
    source = "sidecar/config/ and the table of docs/configuration.md"
    return page("Settings", source, _INTRODUCTION, body)


def _entry(found: list[Place], described: Described) -> str:
    """Return the text of one setting; kinds of a section that have it say each what it is there."""
    texts: dict[str, list[str]] = {}
    for place in found:
        texts.setdefault(_text(place, described), []).append(_tag(place.struct))
    tag_field = found[0].struct.__struct_config__.tag_field
    if len(texts) == 1 and not all(texts[next(iter(texts))]):
        return next(iter(texts))
    return "\n".join(
        f"- `{tag_field}: {'`, `'.join(dict.fromkeys(tags))}`: {text}"
        for text, tags in texts.items()
    )


def _tag(struct: Struct) -> str:
    return str(struct.__struct_config__.tag or "")


def _text(place: Place, described: Described) -> str:
    row = described.get((place.struct, place.field.name))
    inner = list(_inside(place.field.type))
    about = row.markdown if row else _about(inner)
    words = sentence(_KINDS.sub("", about).replace("](#", f"]({REFERENCE.name}#"))
    default = _default(place.field, row, inner)
    change = _change(place.reloads_as, section=bool(inner))
    return f"{words} **Takes** {_kind(place.field.type, inner)}; {default}.{change}".strip()


def _change(setting: str, *, section: bool) -> str:
    """Return how a change takes effect; of a section whose parts differ, they say it."""
    reason = restart_reason(setting)
    if not reason:
        return " **Change:** reload."
    if reason == restart_reason("") and section:
        return ""
    return f" **Change:** restart; {reason}."


def _about(inner: list[tuple[str, Struct]]) -> str:
    paragraph = (inner[0][1].__doc__ or "").split("\n\n")[0] if inner else ""
    text = " ".join(paragraph.split()).replace("``", "`")
    return re.sub(r"SECURITY-MODEL (§\d+)", r"[security model](security-model.md) \1", text)


def _kind(kind: Any, inner: list[tuple[str, Struct]]) -> str:
    if not inner:
        return in_words(kind) + _of_each(kind)
    tags = [f"`{_tag(each)}`" for _, each in inner]
    one_of = f", one of {', '.join(tags)} by `{inner[0][1].__struct_config__.tag_field}`"
    marks = [mark for mark, _ in inner]
    name = "a section" if "" in marks else "a list of sections"
    if "" in marks and "[]" in marks:
        name = "a section, or a list of them"
    elif any(mark.startswith(".") for mark in marks):
        name = "sections by name"
    return name + (one_of if len(inner) > 1 else "")


def _of_each(kind: Any) -> str:
    """Return what each item of a list takes, where the list's own words do not say it."""
    for member in members_of(kind):
        bare = bare_type(member)
        if get_origin(bare) is tuple and not bounds_of(member).description:
            return f", each {in_words(get_args(bare)[0])}"
    return ""


def _default(
    field: msgspec.structs.FieldInfo, row: Row | None, inner: list[tuple[str, Struct]]
) -> str:
    if field.required:
        return _REQUIRED
    value = field.default
    if field.default_factory is not msgspec.NODEFAULT:
        value = field.default_factory()
    if value is None or inner:
        said = row.default if row and row.default != "\N{EN DASH}" else ""
        if inner or said in {"", "none"}:
            return "optional"
        return f"default: {said}"
    shown = json.dumps(msgspec.to_builtins(value), ensure_ascii=False)
    if shown in {"[]", "{}", '""'}:
        return "default: none"
    return f"default: `{shown}`"
