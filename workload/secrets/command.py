"""``septem secrets scan``: finds secrets in code, manifests, images and Git's history.

It needs detect-secrets (the extra ``scan``).
"""

import argparse
import sys
import time
from pathlib import Path

from workload.errors import Fault
from workload.settings import SettingsFault

EXIT_FOUND = 1
EXIT_UNUSABLE = 2
_MAX_LIST_BYTES = 1_048_576
_FIRST_PROGRESS_SECONDS = 2.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommand ``scan``."""
    commands = parser.add_subparsers(dest="subcommand", required=True, metavar="COMMAND")
    scan = commands.add_parser("scan", help="find secrets where none may be; exit 1")
    scan.add_argument(
        "paths", nargs="+", type=Path, metavar="PATH",
        help="a folder, a file, or an image: an OCI layout or a tar of one",
    )  # fmt: skip
    scan.add_argument(
        "--history", action="store_true", help="every version that Git has, too, of each folder"
    )
    scan.add_argument("--allow", type=Path, metavar="FILE", help="what is meant so, with reasons")
    scan.add_argument("--entropy", action="store_true", help="also texts that look random")
    scan.add_argument("--json", action="store_true", help="the result as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Scan; return the exit status: 0, 1 for findings, 2 where something can't be scanned."""
    try:
        return _scan(arguments)
    except Fault as fault:
        print(f"septem: {fault}", file=sys.stderr)
        return EXIT_UNUSABLE


def _scan(arguments: argparse.Namespace) -> int:
    try:
        import detect_secrets  # noqa: F401, PLC0415 - an extra
    except ImportError:
        raise SettingsFault("detect-secrets is missing: install septem-workload[scan]") from None
    from workload.secrets.scan.findings import read_allowed  # noqa: PLC0415 - needs the extra
    from workload.secrets.scan.report import as_json, as_text  # noqa: PLC0415
    from workload.secrets.scan.run import scan  # noqa: PLC0415

    listed = "" if arguments.allow is None else _read(arguments.allow)
    allowed = read_allowed(listed, str(arguments.allow))
    progress = _Progress()
    result = scan(
        arguments.paths,
        history=arguments.history,
        entropy=arguments.entropy,
        allowed=allowed,
        progress=progress.show,
    )
    progress.end()
    print(as_json(result) if arguments.json else as_text(result), end="")
    return EXIT_FOUND if result.findings else 0


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_LIST_BYTES).decode()
    except (OSError, UnicodeDecodeError) as exc:
        raise SettingsFault(f"{path} can't be read: {exc}") from None


class _Progress:
    """A line on a terminal, from the third second on."""

    def __init__(self) -> None:
        self._next = time.monotonic() + _FIRST_PROGRESS_SECONDS
        self._shown = False

    def show(self, files: int) -> None:
        now = time.monotonic()
        if now >= self._next and sys.stderr.isatty():
            self._next = now + 0.2
            self._shown = True
            print(f"\r{files} files looked at", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        if self._shown:
            print(file=sys.stderr)
