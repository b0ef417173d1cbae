"""docs/reload.md says of every section whether it is live, as the table does."""

import re
from pathlib import Path

from sidecar.config.reloading import LIVE, RESTART

PAGE = (Path(__file__).parents[2] / "docs/reload.md").read_text()


def named(heading: str) -> set[str]:
    """The settings in the first column of the table with this heading."""
    table = PAGE.partition(f"| {heading} |")[2].partition("\n\n")[0]
    cells = [line.split("|")[1] for line in table.splitlines()[2:]]
    return {name for cell in cells for name in re.findall(r"`([a-z_.\[\]]+)`", cell)}


def test_what_is_live_is_listed() -> None:
    tops = {name.partition(".")[0].removesuffix("[]") for name in LIVE}
    assert {name.partition(".")[0] for name in named("Live")} >= tops


def test_what_needs_a_restart_is_listed() -> None:
    listed = named("Needs a restart")
    tops = {name.partition(".")[0] for name in listed}
    assert {name.partition(".")[0] for name in RESTART} <= tops
    assert {name for name in listed if name in LIVE} == set()
