"""Every setting's type is importable by one name, from ``sidecar.config.model``."""

import importlib
from pathlib import Path

import msgspec
import pytest

from sidecar.config import model
from sidecar.config.base import Settings

FOLDER = Path(model.__file__).parent


def settings_in(path: Path) -> set[str]:
    """The classes of a module of ``sidecar/config`` that are sections of the file."""
    module = importlib.import_module(f"sidecar.config.{path.stem}")
    return {
        name
        for name, each in vars(module).items()
        if isinstance(each, type)
        and issubclass(each, Settings)
        and each.__module__ == module.__name__
    }


PATHS = (path for path in FOLDER.glob("*.py") if path.stem not in {"__init__", "base"})
FILES = sorted(path for path in PATHS if settings_in(path))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_section_has_its_name_here(path: Path) -> None:
    module = importlib.import_module(f"sidecar.config.{path.stem}")
    for name in settings_in(path):
        assert name in model.__all__
        assert getattr(model, name) is getattr(module, name)


def test_every_section_is_immutable_and_knows_its_settings() -> None:
    for name in model.__all__:
        section = getattr(model, name)
        if isinstance(section, type) and issubclass(section, msgspec.Struct):
            assert section.__struct_config__.frozen, name
            assert section.__struct_config__.forbid_unknown_fields, name
