"""``sidecar demo``: see it work, row by row."""

import contextlib
import json
import signal
import sys
import time
from contextlib import ExitStack
from typing import NamedTuple, NoReturn

from rich.console import Console

from demo.own_domain import play_own_domain, show_own_domain
from demo.scenarios import SCENARIOS
from demo.show import as_document, play_all, show_addresses, show_table
from demo.stack import Stack
from sidecar.common.errors import Fault

_WATCH_SECONDS = 0.5
_PIPED_COLUMNS = 120


class DemoFault(Fault):
    """A part of the demo ended."""


class DemoOptions(NamedTuple):
    """What the command line says."""

    once: bool = False
    tls_min: str = "1.3"
    scenario: str | None = None
    json: bool = False


def run_demo(options: DemoOptions) -> int:
    """Run the stack, play the cases, show the table; 0 only if every row is right.

    With ``scenario`` it plays that one instead, with a timeline, and leaves. Otherwise,
    without ``once``, it stays until Ctrl-C. Processes and files are gone in every case.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    piped_width = None if sys.stdout.isatty() else _PIPED_COLUMNS
    # With --json the tables are for who watches; standard output is for the document.
    console = Console(width=piped_width, highlight=False, stderr=options.json)
    with ExitStack() as exits:
        with console.status("starting …") as status:

            def say(what: str) -> None:
                status.update(f"starting {what} …")
                if not console.is_terminal:
                    console.print(f"starting {what} …")

            scenario = SCENARIOS[options.scenario] if options.scenario else None
            differs = {"on_demand": {}} if scenario is None else scenario.stack
            stack = exits.enter_context(Stack(tls_min=options.tls_min, say=say, **differs))
        if scenario is not None:
            good = scenario.play(stack, console)
            if options.json:
                print(json.dumps({"scenario": options.scenario, "good": good}))
            return 0 if good else 1
        rows = play_all(stack, console)
        all_good = show_table(rows, console)
        visits = play_own_domain(stack)
        all_good &= show_own_domain(visits, console)
        if options.json:
            print(json.dumps(as_document(rows, visits), indent=2))
        if options.once or not all_good:
            return 0 if all_good else 1
        with contextlib.suppress(KeyboardInterrupt):
            show_addresses(stack, console)
            _watch(stack)
    return 0


def _watch(stack: Stack) -> NoReturn:
    """Wait for Ctrl-C; a program that dies ends the demo with a message."""
    while True:
        for process in stack.processes:
            if process.returncode is not None:
                raise DemoFault(f"{process.name} ended unexpectedly:\n{process.tail()}")
        time.sleep(_WATCH_SECONDS)


def _interrupt(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt
