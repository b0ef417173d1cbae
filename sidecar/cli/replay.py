"""``sidecar replay``: what another configuration makes of the requests of an audit log."""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from sidecar.cli.output import add_json, print_json
from sidecar.cli.replay_text import show
from sidecar.common.clock import monotonic_seconds
from sidecar.common.errors import ConfigFault, Fault
from sidecar.common.printable import printable
from sidecar.config.load import load_config
from sidecar.replay.compare import Comparer
from sidecar.replay.run import replay, report
from sidecar.replay.source import read_lines
from sidecar.replay.tally import Tally
from sidecar.replay.verdict import ReplayVerdict

EXIT_OK, EXIT_FOUND, EXIT_UNREADABLE = 0, 1, 2
_FAILING = {
    "lost": {ReplayVerdict.LOST},
    "gained": {ReplayVerdict.GAINED},
    "any": {ReplayVerdict.LOST, ReplayVerdict.GAINED},
    "nothing": set[ReplayVerdict](),
}
_FIRST_PROGRESS, _NEXT_PROGRESS = 2.0, 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``replay``."""
    parser.description = (
        "Decide the requests of an audit log again, by another configuration, with the server's "
        "own code. Print who would gain access, who would lose it, what else would change, by "
        "route and tenant. With audit.record_inputs the lines have what is needed; what a line "
        "does not tell is counted as unknown and never guessed. Exit 1 if there is a difference "
        "that --fail-on names, 2 if something can't be read, or has no decision in it."
    )
    parser.add_argument(
        "audit", type=Path, nargs="+", metavar="AUDIT",
        help="files of audit lines, rotated and compressed (gzip, zstd) ones too; - for "
        "standard input",
    )  # fmt: skip
    parser.add_argument(
        "--config", type=Path, required=True, metavar="NEW", help="the configuration to decide by"
    )
    parser.add_argument(
        "--against", type=Path, metavar="OLD",
        help="the configuration of then: both decide, and what differs is the configurations' "
        "doing alone; headers are compared too",
    )  # fmt: skip
    parser.add_argument(
        "--fail-on", choices=tuple(_FAILING), default="any",
        help="which differences make the exit code 1 (default: lost or gained)",
    )  # fmt: skip
    parser.add_argument(
        "--top", type=_positive, default=10, metavar="N",
        help="how many groups of each kind are shown (default: %(default)s); --json has all",
    )  # fmt: skip
    add_json(parser, "the differences")
    parser.set_defaults(run=_replay)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def _replay(options: argparse.Namespace) -> int:
    try:
        return _compare(options)
    except ConfigFault:
        raise
    except Fault as fault:
        # Not 1: that says that there are differences.
        text = printable(f"sidecar: {fault}")
        print(json.dumps({"error": str(fault)}) if options.json else text, file=sys.stderr)
        return EXIT_UNREADABLE


def _compare(options: argparse.Namespace) -> int:
    new = load_config(options.config)
    old = None if options.against is None else load_config(options.against)
    comparer, tally = Comparer(new, old), Tally()
    progress = _ReplayProgress(tally, is_shown=sys.stderr.isatty(), now=monotonic_seconds)
    replay(read_lines(options.audit, tally), comparer, tally, progress.show)
    progress.clear()
    if not tally.replayed:
        named = ", ".join(map(str, options.audit))
        raise Fault(f"{named}: there is no decision in it: give files of audit lines (audit.to)")
    against = None if options.against is None else str(options.against)
    found = report(tally, comparer, str(options.config), against)
    if options.json:
        print_json(found)
    else:
        show(found, options.top, str(options.audit[0]))
    failing = _FAILING[options.fail_on]
    return EXIT_FOUND if any(tally.verdicts[each] for each in failing) else EXIT_OK


class _ReplayProgress:
    """A line on a terminal that says how far it is, from the third second on."""

    def __init__(self, tally: Tally, *, is_shown: bool, now: Callable[[], float]) -> None:
        self._tally = tally
        self._is_shown = is_shown
        self._now = now
        self._began = now()
        self._next = self._began + _FIRST_PROGRESS
        self._was_shown = False

    def show(self) -> None:
        """Show the line, if it is time."""
        now = self._now()
        if not self._is_shown or now < self._next:
            return
        self._next = now + _NEXT_PROGRESS
        done = self._tally.replayed
        rate = done / (now - self._began)
        print(f"\r{done:,} requests, {rate:,.0f} a second", end="", file=sys.stderr, flush=True)
        self._was_shown = True

    def clear(self) -> None:
        """End the line, if there is one."""
        if self._was_shown:
            print(file=sys.stderr)
