"""The steps of docs/quick-start.md, pasted into a shell beside the demo that runs."""

import os
import re
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.own_domain import play_own_domain
from demo.show import reader_token
from demo.stack import Stack
from tests.support.consoles import Console, Step, steps_of

STEPS = steps_of("docs/quick-start.md", "tests/docs/test_quick_start.py")
WRONG_CONFIGURATION = 2
_seen = {"id": "none was printed"}
"""The id of the last decision that was shown to the reader."""


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    with Stack(on_demand={}) as stack:
        play_own_domain(stack)
        token = reader_token(stack)
        path = f"{sysconfig.get_path('scripts')}:{os.environ['PATH']}"
        yield Console(
            Path(tmp_path_factory.mktemp("reader")),
            {**os.environ, "PATH": path},
            {
                "<folder>": lambda: str(stack.folder),
                "<edge>": lambda: f"https://localhost:{stack.ports.https}",
                "<admin>": lambda: f"127.0.0.1:{stack.admin_port}",
                "<token>": lambda: token,
                "<id>": lambda: _seen["id"],
            },
        )


def test_the_page_has_its_steps() -> None:
    commands = [step.command.split()[0] for step in STEPS]
    assert commands == ["curl", "curl", "sidecar", "curl", "sidecar", "sed", "sidecar"]


@pytest.mark.parametrize("step", STEPS, ids=[step.command[:40] for step in STEPS])
def test_a_step_prints_what_the_page_shows(step: Step, console: Console) -> None:
    wrong = step.command.startswith("sidecar config check")
    # A line of the audit log is written after the answer has left.
    late = step.command.startswith("sidecar explain")
    printed = console.run(step, status=WRONG_CONFIGURATION if wrong else 0, until=late)
    if found := re.search(r"urn:septem:decision:(\w+)", printed):
        _seen["id"] = found[1]
