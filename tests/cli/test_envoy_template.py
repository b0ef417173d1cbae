"""The template of Envoy's file, and the complete files that are made of it."""

import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

from sidecar.cli import envoy_template
from sidecar.cli.envoy_template import fill

ROOT = Path(__file__).parents[2]
LINES = """\
always @A@
#| if one
one
#| if two and not three
two without three
#| end
one again
#| end
#| if not one
none
#| end
"""


@pytest.mark.parametrize(
    ("parts", "made"),
    [
        ([], "always x\nnone\n"),
        (["one"], "always x\none\none again\n"),
        (["one", "two"], "always x\none\ntwo without three\none again\n"),
        (["one", "two", "three"], "always x\none\none again\n"),
        (["two"], "always x\nnone\n"),
    ],
)
def test_parts_stand_in_each_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, parts: list[str], made: str
) -> None:
    (tmp_path / "t.yaml").write_text(LINES)
    monkeypatch.setattr(envoy_template, "files", lambda _package: tmp_path)
    assert fill(parts, {"A": "x"}, "t.yaml") == made
    assert fill([*parts, "other"], {"A": "@A@"}, "t.yaml").startswith("always @A@"), (
        "a value is none of the template"
    )
    with pytest.raises(KeyError):
        fill(parts, {}, "t.yaml")


def test_every_part_that_begins_ends() -> None:
    lines = files("sidecar.cli").joinpath("envoy_edge.yaml").read_text("utf-8").splitlines()
    begun = [line for line in lines if line.startswith("#| if ")]
    ended = [line for line in lines if line.startswith("#| ") and line not in begun]
    assert set(ended) == {"#| end"}
    assert len(begun) == len(ended)


def test_the_complete_files_are_those_of_the_template() -> None:
    command = [sys.executable, str(ROOT / "tools/write_envoy_files.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"run `make envoy-files`\n{done.stderr}"
