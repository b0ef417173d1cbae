"""``septem backup``: seals archives, opens, verifies and inspects them, and rewraps their keys.

Exit status 0: done. 1: an archive is not what was sealed, or not the one that was asked for.
2: it can't be done. Where the output is a file, it appears only with status 0.
"""

import argparse
import asyncio
import contextlib
import io
import os
import resource
import sys
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from workload.backups.archive import (
    ByteSource,
    Write,
    new_label,
    read_archive_header,
    seal_archive,
    write_opened,
)
from workload.backups.errors import ArchiveAltered, ArchiveUnexpected, BackupFault
from workload.backups.expectations import Expectations, time_of
from workload.backups.inspection import inspect_as_json, inspect_as_text
from workload.backups.keys import BackupKeys, RotatedKeys
from workload.backups.output_file import OutputFile
from workload.backups.policies import JOBS, policy_of_job
from workload.backups.producer import CommandOutput
from workload.backups.progress import Progress
from workload.backups.rewrapping import rewrap_file
from workload.backups.vault_keys import TransitWrapping
from workload.clock import monotonic_seconds, wall_seconds
from workload.errors import Fault
from workload.vault.arguments import add_vault_arguments, vault_server
from workload.vault.client import VaultApi
from workload.vault.transit import Transit

EXIT_ALTERED = 1
EXIT_UNUSABLE = 2
EXIT_INTERRUPTED = 130
STREAM = "-"
_T = TypeVar("_T")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommands."""
    commands = parser.add_subparsers(dest="subcommand", required=True, metavar="COMMAND")
    seal = commands.add_parser("seal", help="seal a stream, or what a command writes")
    seal.add_argument("--name", required=True, help="what it is a backup of; authenticated")
    seal.add_argument("--tenant", default="", help="whose data it is (all tenants')")
    seal.add_argument("--input", default=STREAM, metavar="FILE", help="what to seal (-)")
    _add_output(seal)
    seal.add_argument(
        "producer",
        nargs="*",
        metavar="-- PROGRAM",
        help="seal what this program writes, if it ends with status 0",
    )
    opening = commands.add_parser("open", help="write the content of an archive")
    _add_output(opening)
    verify = commands.add_parser("verify", help="read an archive to its end, and write nothing")
    for each in (opening, verify):
        each.add_argument("archive", nargs="?", default=STREAM, metavar="ARCHIVE")
        each.add_argument("--name", help="fail unless it is a backup of this")
        each.add_argument("--tenant", help="fail unless it is this tenant's; '' for all tenants'")
        each.add_argument(
            "--newer-than", type=time_of, metavar="TIME", help="fail unless made after this time"
        )
    inspect = commands.add_parser("inspect", help="show a header, without the key")
    inspect.add_argument("archive", nargs="?", default=STREAM, metavar="ARCHIVE")
    inspect.add_argument("--json", action="store_true", help="as JSON")
    rewrap = commands.add_parser("rewrap", help="wrap keys by the newest version of their key")
    rewrap.add_argument("archives", nargs="+", metavar="ARCHIVE", help="files, changed in place")
    policy = commands.add_parser("policy", help="print the policy of a job")
    policy.add_argument("job", choices=JOBS)
    for each in (seal, opening, verify, rewrap, policy):
        each.add_argument("--mount", default="transit", help="the transit mount (transit)")
        each.add_argument("--key", default="backups", help="the transit key (backups)")
    for each in (seal, opening, verify, rewrap):
        add_vault_arguments(each)


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", required=True, metavar="FILE", help="- for standard output")
    parser.add_argument("--overwrite", action="store_true", help="replace a file that is there")


def run(arguments: argparse.Namespace) -> int:
    """Do one subcommand; return the exit status."""
    # A process that crashes leaves no copy of its memory on the disk.
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    try:
        return _RUN[arguments.subcommand](arguments)
    except (ArchiveAltered, ArchiveUnexpected) as fault:
        return _failed(fault, EXIT_ALTERED)
    except Fault as fault:
        return _failed(fault, EXIT_UNUSABLE)
    except BrokenPipeError:
        return _failed("the reader of the output has gone", EXIT_UNUSABLE)
    except OSError as exc:
        where = "the input or output" if exc.filename is None else exc.filename
        return _failed(f"{where}: {exc.strerror}", EXIT_UNUSABLE)
    except KeyboardInterrupt:
        return _failed("interrupted", EXIT_INTERRUPTED)


def _failed(why: object, status: int) -> int:
    # What an archive says of itself is printable; the name of a file need not be.
    text = "".join(each if each.isprintable() else "?" for each in str(why))
    print(f"septem: {text}", file=sys.stderr)
    return status


@dataclass
class _Output:
    write: Write
    commit: Callable[[], None]


def _seal(given: argparse.Namespace) -> int:
    if given.producer and given.input != STREAM:
        raise BackupFault("what is to be sealed is an --input or a program's output, not both")
    now = wall_seconds()
    label = new_label(given.name, now, tenant=given.tenant, mount=given.mount, key=given.key)
    with _output(given) as output:
        data_key, wrapped = _ask(_keys(given).new(label))
        try:
            with (
                _source(given.input, given.producer) as source,
                _counting(output.write) as write,
            ):
                size = seal_archive(source, write, label, data_key, wrapped)
        finally:
            data_key[:] = bytes(len(data_key))
        output.commit()
    if given.output != STREAM:
        print(f"{given.output}: {size} bytes sealed as {label.name}, key of {label.place}")
    return 0


def _open(given: argparse.Namespace) -> int:
    with _source(given.archive) as source, _output(given) as output:
        size = _opened(given, source, output.write)
        output.commit()
    if given.output != STREAM:
        print(f"{given.output}: {size} bytes, whole and authentic")
    return 0


def _verify(given: argparse.Namespace) -> int:
    with _source(given.archive) as source:
        size = _opened(given, source, lambda _: None)
    print(f"{given.archive}: {size} bytes, whole and authentic")
    return 0


def _opened(given: argparse.Namespace, source: ByteSource, write: Write) -> int:
    """Write the content. What is expected of the label is compared once it is authentic."""
    header = read_archive_header(source)
    data_key = _ask(_keys(given).unwrap(header))
    expected = Expectations(given.name, given.tenant, given.newer_than)
    with _counting(write) as counted:
        return write_opened(source, counted, header, data_key, expected.require)


def _inspect(given: argparse.Namespace) -> int:
    with _source(given.archive) as source:
        header = read_archive_header(source)
        size = _size_of_file(given.archive)
    show = inspect_as_json if given.json else inspect_as_text
    print(show(header, size), end="")
    return 0


def _rewrap(given: argparse.Namespace) -> int:
    keys, status = RotatedKeys(_wrapping(given), given.mount, given.key), 0
    for name in given.archives:
        try:
            before, after = _ask(rewrap_file(Path(name), keys.rewrap))
        except (ArchiveAltered, ArchiveUnexpected) as fault:
            status = _failed(f"{name}: {fault}", max(status, EXIT_ALTERED))
        except Fault as fault:
            status = _failed(f"{name}: {fault}", EXIT_UNUSABLE)
        else:
            print(f"{name}: wrapped by version {before} of {keys.place}, now by version {after}")
    return status


def _policy(given: argparse.Namespace) -> int:
    label = new_label("policy", 0, mount=given.mount, key=given.key)
    print(policy_of_job(given.job, label), end="")
    return 0


_RUN = {
    "seal": _seal,
    "open": _open,
    "verify": _verify,
    "inspect": _inspect,
    "rewrap": _rewrap,
    "policy": _policy,
}


def _wrapping(given: argparse.Namespace) -> TransitWrapping:
    api = VaultApi(vault_server(given), monotonic_seconds)
    return TransitWrapping(Transit(api, given.mount), given.key)


def _keys(given: argparse.Namespace) -> BackupKeys:
    return BackupKeys(_wrapping(given), given.mount, given.key)


def _ask(call: Coroutine[Any, Any, _T]) -> _T:
    return asyncio.run(call)


@contextlib.contextmanager
def _source(name: str, producer: list[str] | None = None) -> Iterator[ByteSource]:
    if producer:
        with CommandOutput(producer) as output:
            yield output
        return
    if name == STREAM and os.isatty(0):
        raise BackupFault("standard input is a terminal: name a file, or use a pipe")
    with io.FileIO(0 if name == STREAM else name, closefd=name != STREAM) as file:
        yield file


@contextlib.contextmanager
def _output(given: argparse.Namespace) -> Iterator[_Output]:
    if given.output != STREAM:
        with OutputFile(Path(given.output), overwrite=given.overwrite) as file:
            yield _Output(file.write, file.commit)
        return
    if os.isatty(1):
        raise BackupFault("standard output is a terminal: use a pipe, or --output FILE")

    def write(content: bytes) -> None:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(1, rest) :]

    yield _Output(write, lambda: None)


@contextlib.contextmanager
def _counting(write: Write) -> Iterator[Write]:
    progress = Progress(sys.stderr, monotonic_seconds)

    def counted(content: bytes) -> None:
        write(content)
        progress.add(len(content))

    try:
        yield counted
    finally:
        progress.end()


def _size_of_file(name: str) -> int | None:
    """Return the size of a regular file; nothing of a pipe is known before its end."""
    path = Path(name)
    return path.stat().st_size if name != STREAM and path.is_file() else None
