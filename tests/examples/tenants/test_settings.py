"""The settings' file says where secrets are; what is wrong with it is named."""

from pathlib import Path

import pytest

from examples.tenants.settings import ExampleSettings, ExampleSettingsFault, read_settings

NAMES = ExampleSettings.__slots__
GOOD = {name: f"the {name}" for name in NAMES}


def written(folder: Path, text: str) -> Path:
    path = folder / "settings.toml"
    path.write_text(text)
    return path


def toml(settings: dict[str, str]) -> str:
    return "".join(f'{name} = "{value}"\n' for name, value in settings.items())


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    assert read_settings(written(tmp_path, toml(GOOD))) == ExampleSettings(**GOOD)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (toml({name: value for name, value in GOOD.items() if name != "kek"}), "kek"),
        (toml({**GOOD, "password": "x"}), "password"),
        (toml(GOOD).replace('"the socket"', "7"), "socket"),
        ("socket = ", "TOML"),
        ("\xff", "TOML"),
    ],
    ids=["missing", "unknown", "no text", "no TOML", "no value"],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(ExampleSettingsFault, match=named):
        read_settings(written(tmp_path, text))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ExampleSettingsFault, match=r"none\.toml"):
        read_settings(tmp_path / "none.toml")
