"""Every command of the documents is run, in its page's order, and prints what the page says."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.openbao import OpenBao
from tests.docs.prepared import AFTER, BEFORE, PREPARED
from tests.docs.worlds import World, world_of
from tests.support.documented_commands import SYSTEMS, Shell, by_form, commands_of, fits
from tests.support.documents import BLOCKS, Kind, kind_of, not_marked

COMMANDS = [block for block in BLOCKS if kind_of(block) is Kind.COMMANDS and not_marked(block)]
PAGES = list(dict.fromkeys(block.page for block in COMMANDS))


def prepare(world: World, text: str) -> None:
    for (page, beginning), step in BEFORE.items():
        if page == world.page and text.startswith(beginning):
            step(world)


def problems(world: World) -> Iterator[str]:
    with Shell(world.folder, world.environment, world.places) as shell:
        for command in (c for b in COMMANDS if b.page == world.page for c in commands_of(b)):
            prepare(world, command.text)
            ended = shell.run(command.text)
            where = f"{world.page}:{command.line}: {command.text}"
            if command.output and not fits(command.output, ended.output):
                yield f"{where}printed, by form:\n{by_form(ended.output)}\n"
            if not command.output and ended.status:
                yield f"{where}ended with {ended.status}:\n{ended.output}"


@pytest.mark.real
@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page(page: str, openbao: OpenBao, tmp_path: Path) -> None:
    text = "".join(block.text for block in COMMANDS if block.page == page)
    absent = [name for name in SYSTEMS if name in text.split() and shutil.which(name) is None]
    if absent:
        pytest.skip(f"the page needs {absent}")
    with world_of(page, openbao, tmp_path) as world:
        if page in PREPARED:
            PREPARED[page](world)
        found = list(problems(world))
        if page in AFTER and not found:
            AFTER[page](world)
    assert not found, "\n".join(found)
