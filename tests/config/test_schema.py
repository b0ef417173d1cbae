"""The JSON Schema of the settings: current, complete, and of one opinion with the checker."""

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator

from sidecar.config.model import Config
from sidecar.config.yamltree import parse_yaml
from tests.config.walking import ROUNDS, bound_values, fits, places, sample, with_value
from tools.write_schema import REFERENCE, SCHEMA, rows, structs_at, text

ROOT = Path(__file__).parents[2]
DOCUMENT = json.loads(SCHEMA.read_text())
VALIDATOR = Draft202012Validator(DOCUMENT)
ROWS = list(rows(REFERENCE.read_text()))


def test_the_file_is_current() -> None:
    assert SCHEMA.read_text() == text(), "run: make schema"


def test_it_is_a_json_schema() -> None:
    Draft202012Validator.check_schema(DOCUMENT)
    assert DOCUMENT["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_every_setting_has_a_description() -> None:
    for name, definition in DOCUMENT["$defs"].items():
        assert definition["description"], name
        for setting, shown in definition["properties"].items():
            assert "$ref" in shown or shown.get("description"), f"{name}.{setting}"


def test_the_example_names_it_and_is_valid() -> None:
    written = (ROOT / "config.example.yaml").read_text()
    (named,) = re.findall(r"^# yaml-language-server: \$schema=(.*)$", written, re.MULTILINE)
    assert (ROOT / named) == SCHEMA
    assert list(VALIDATOR.iter_errors(parse_yaml(written).value)) == []


@pytest.mark.parametrize("number", range(ROUNDS))
def test_a_document_with_every_setting_is_valid(number: int) -> None:
    assert list(VALIDATOR.iter_errors(sample(Config, number))) == []


def test_it_and_the_checker_agree_on_every_value_of_the_example() -> None:
    example = parse_yaml((ROOT / "config.example.yaml").read_text()).value
    wrong: list[Any] = [None, True, -1, 1.5, "", "é ", [], ["a"], {}, {"a": 1}]
    for place in places(example):
        for value in wrong:
            changed = with_value(example, place, value)
            assert VALIDATOR.is_valid(changed) == fits(changed, Config), (place, value)


STRUCTS = {each.__name__: each for row in ROWS for each, _ in structs_at(row.path, row.tag)}


@pytest.mark.parametrize("struct", STRUCTS)
def test_it_has_the_bounds_of_the_model(struct: str) -> None:
    for field in msgspec.structs.fields(STRUCTS[struct]):
        shown = DOCUMENT["$defs"][struct]["properties"][field.encode_name]
        validator = Draft202012Validator({**shown, "$defs": DOCUMENT["$defs"]})
        for value, good in bound_values(field.type):
            assert validator.is_valid(value) is good, (field.name, str(value)[:60])


REQUIRED = "\N{EN DASH}"
"""What stands in the reference for a setting without a default."""


def defaults() -> list[tuple[str, str, Any]]:
    """Every default of the reference that is a value, beside that of the model."""
    form = re.compile(rf"`\[?[^`\]]*\]?`|[0-9.]+|true|false|none|{REQUIRED}")
    return [
        (row.path, row.default.strip("`[]").replace('"', ""), field)
        for row in ROWS
        if form.fullmatch(row.default)
        for struct, name in structs_at(row.path, row.tag)
        for field in msgspec.structs.fields(struct)
        if field.name == name
    ]


@pytest.mark.parametrize(("path", "said", "field"), defaults(), ids=[d[0] for d in defaults()])
def test_the_reference_says_the_models_defaults(path: str, said: str, field: Any) -> None:
    """Two defaults of one thing are one."""
    if field.required:
        assert said in {REQUIRED, "none"}, path
        return
    default = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    match default:
        case bool():
            assert str(default).lower() == said, path
        case int() | float():
            assert default == float(said), path
        case str():
            assert default == said, path
        case tuple():
            shown = [] if said in {"none", "all"} else said.split(", ")
            assert [*map(str, default)] == shown, path
        case msgspec.Struct():
            pass  # its settings have rows of their own
        case _:
            assert default in (None, {}), path
            assert said in {"none", REQUIRED}, path
