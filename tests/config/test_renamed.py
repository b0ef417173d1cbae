"""A setting with a new name: the old one is refused, and the message says the new one."""

import typing
from types import UnionType
from typing import Annotated, Any, get_args, get_origin

import msgspec
import pytest
import yaml

from sidecar.common.errors import ConfigFault
from sidecar.config import Config, parse_config
from sidecar.config.renamed import RENAMED, new_name
from tests.config.documents import MINIMAL


def members(kind: Any) -> list[Any]:
    """Return the structures that a type may hold: of a union, a list or a mapping, each."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return [kind]
    if get_origin(kind) in (Annotated, UnionType, typing.Union, tuple, dict):
        return [found for each in get_args(kind) for found in members(each)]
    return []


def is_a_setting(path: str) -> bool:
    structs: list[Any] = [Config]
    for step in path.split("."):
        fields = [
            field
            for struct in structs
            for field in msgspec.structs.fields(struct)
            if field.encode_name == step
        ]
        if not fields:
            return False
        structs = [found for field in fields for found in members(field.type)]
    return True


def holding(path: str) -> str:
    """Write a configuration that has 1 at ``path``, and what else is wrong with that besides."""
    config = yaml.safe_load(MINIMAL)
    *sections, last = path.split(".")
    place = config
    for section in sections:
        place = place.setdefault(section, {})
        place = place[0] if isinstance(place, list) else place
    place[last] = 1
    return yaml.safe_dump(config)


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_the_old_name_is_refused_with_the_new_one(old: str, new: str) -> None:
    with pytest.raises(ConfigFault) as fault:
        parse_config(holding(old), "test.yaml")
    told = [each for each in fault.value.problems if f"{old}: " in each]
    assert len(told) == 1
    assert told[0].endswith(f"{old}: has a new name: write {new} instead")
    assert told[0].startswith("line ")


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_only_the_new_name_is_a_setting(old: str, new: str) -> None:
    assert not is_a_setting(old)
    assert is_a_setting(new)


def test_the_position_in_a_list_is_no_part_of_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(typing.cast("dict[str, str]", RENAMED), "routes.realm", "routes.tenant")
    assert new_name(("routes", 7, "realm")) == "routes.tenant"
    assert new_name(("routes", 7, "name")) is None
