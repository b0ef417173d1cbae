"""``sidecar vault backup`` and ``restore``: the entries of a configuration, sealed in a file.

The operator's own token reads and writes the entries. The key of the archive is wrapped by
another Vault (``--seal-vault``): one that is lost with the entries could open nothing.
"""

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from sidecar.cli.arguments import add_config, add_token_file, time_argument
from sidecar.cli.output import add_json, print_aside, print_json
from sidecar.cli.vault_token import operator_token
from sidecar.common.clock import monotonic_seconds, wall_seconds
from sidecar.common.errors import Fault
from sidecar.common.printable import printable
from sidecar.config import model
from sidecar.config.load import load_config
from sidecar.config.network import in_the_clear
from sidecar.vault.client import VaultClient
from sidecar.vault_backup.places import KvPlace, places_of
from sidecar.vault_backup.reading import BackupRow, back_up
from sidecar.vault_backup.restoring import Overwriting, RestoreOutcome, restore_archive
from sidecar.vault_backup.sealed_file import ClientWrapping, opened_archive, sealed_entries
from workload.backups.archive import new_label
from workload.backups.expectations import Expectations
from workload.backups.keys import BackupKeys

EXIT_OK, EXIT_HELD_BACK = 0, 1
NAME = "sidecar vault"
"""What such an archive is a backup of; another one is refused."""
T = TypeVar("T")


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``backup`` and ``restore``."""
    backup = commands.add_parser(
        "backup",
        help="seal the entries of Vault that a configuration names into a file",
        description="Read every entry of Vault KV that these settings name, and seal them into a "
        "file: accounts, stored certificates, publishers, revocations, keys of pseudonyms and "
        "whatever else is configured. Session ticket keys, transit keys and the keys of a PKI are "
        "not in it.",
    )
    backup.add_argument(
        "--output", type=Path, required=True, metavar="FILE", help="the archive to write"
    )
    backup.add_argument("--overwrite", action="store_true", help="replace a file that is there")
    backup.set_defaults(run=_backup)
    restore = commands.add_parser(
        "restore",
        help="write the entries of such a file back",
        description="Open an archive of `sidecar vault backup`, compare its entries with what "
        "Vault has, and write those that are missing or older there. If Vault has a newer version "
        "of one, or it was deleted there, nothing at all is written, exit 1. An entry that the "
        "settings do not name is never written.",
    )
    restore.add_argument("archive", type=Path, metavar="ARCHIVE", help="the file")
    which = restore.add_mutually_exclusive_group()
    which.add_argument(
        "--missing-only", action="store_true", help="write only what Vault does not have at all"
    )
    which.add_argument(
        "--overwrite-newer", action="store_true", help="write over newer and deleted entries too"
    )
    restore.add_argument(
        "--newer-than", type=time_argument, metavar="TIME", help="fail unless made after this time"
    )
    restore.set_defaults(run=_restore)
    for each in (backup, restore):
        _add_common(each)


def _add_common(command: argparse.ArgumentParser) -> None:
    add_config(command)
    add_token_file(command, "do what `sidecar vault policy --for` prints for this command")
    command.add_argument(
        "--without",
        action="append",
        default=[],
        metavar="SETTING",
        help="leave the entries of this setting out, such as audit.pseudonyms; may be repeated",
    )
    command.add_argument("--dry-run", action="store_true", help="only say what would be done")
    seal = command.add_argument_group("the Vault that wraps the archive's key")
    seal.add_argument(
        "--seal-vault", required=True, metavar="URL", help="another Vault than the settings'"
    )
    seal.add_argument(
        "--seal-token-file", type=Path, required=True, metavar="FILE", help="a token of that Vault"
    )
    seal.add_argument("--seal-ca-file", metavar="FILE", help="its CA, PEM")
    seal.add_argument("--seal-namespace", metavar="NAME", help="its namespace")
    seal.add_argument(
        "--mount", default="transit", metavar="MOUNT", help="its transit mount (default: transit)"
    )
    seal.add_argument(
        "--key", default="backups", metavar="KEY", help="its transit key (default: backups)"
    )
    add_json(command, "what became of each entry,")


class _Vaults(NamedTuple):
    entries: VaultClient
    keys: BackupKeys
    places: tuple[KvPlace, ...]


def _run(
    options: argparse.Namespace, command: Callable[[argparse.Namespace, _Vaults], Awaitable[T]]
) -> T:
    config = load_config(options.config)
    places = places_of(config, options.without)
    own = msgspec.structs.replace(config.vault, auth=operator_token(options.token_file))
    sealing = _sealing_vault(options)

    async def run() -> T:
        entries = VaultClient(own, clock=monotonic_seconds)
        seal = VaultClient(sealing, clock=monotonic_seconds)
        wrapping = ClientWrapping(seal, options.mount, options.key)
        keys = BackupKeys(wrapping, options.mount, options.key)
        try:
            return await command(options, _Vaults(entries, keys, places))
        finally:
            await entries.close()
            await seal.close()

    return asyncio.run(run())


def _sealing_vault(options: argparse.Namespace) -> model.Vault:
    given = {
        "address": options.seal_vault,
        "auth": {
            "method": "token_file",
            "path": operator_token(options.seal_token_file, "--seal-token-file").path,
        },
        "ca_file": options.seal_ca_file,
        "namespace": options.seal_namespace,
    }
    try:
        vault = msgspec.convert(given, model.Vault)
    except msgspec.ValidationError:
        raise Fault("--seal-vault must be https://host:port or unix:/path of a Vault") from None
    if in_the_clear(vault.address):
        raise Fault("--seal-vault must be https: the archive's key would cross the network")
    return vault


def _backup(options: argparse.Namespace) -> int:
    rows = _run(options, _write_archive)
    count = sum(row.version is not None for row in rows)
    if options.json:
        print_json(
            {"sealed": 0 if options.dry_run else count, "entries": [row._asdict() for row in rows]}
        )
        return EXIT_OK
    for row in rows:
        version = "nothing there" if row.version is None else f"version {row.version}"
        print(printable(f"{row.name}: {version}  # {', '.join(row.settings)}"))
    done = "would be sealed" if options.dry_run else f"sealed in {options.output}"
    print(printable(f"{_entries(count)} {done}"))
    return EXIT_OK


async def _write_archive(options: argparse.Namespace, vaults: _Vaults) -> list[BackupRow]:
    if options.dry_run:
        return await back_up(vaults.entries, vaults.places, lambda _: None)
    label = new_label(NAME, wall_seconds(), mount=options.mount, key=options.key)
    async with sealed_entries(
        options.output, vaults.keys, label, overwrite=options.overwrite
    ) as writer:
        return await back_up(vaults.entries, vaults.places, writer.add)


def _restore(options: argparse.Namespace) -> int:
    outcome = _run(options, _write_entries)
    if options.json:
        print_json({"written": outcome.written, "entries": [row._asdict() for row in outcome.rows]})
        return EXIT_HELD_BACK if outcome.is_held_back else EXIT_OK
    for row in outcome.rows:
        there = f", version {row.there} there" if row.there else ""
        does = "written" if row.is_written else "left"
        print(printable(f"{row.name}: {row.standing}{there}: {does}"))
    if outcome.is_held_back:
        print_aside(
            "nothing was written: Vault has newer versions, or deleted entries. Look at them; "
            "then --missing-only leaves them, and --overwrite-newer writes over them"
        )
        return EXIT_HELD_BACK
    planned = sum(row.is_written for row in outcome.rows)
    print(f"{_entries(planned)} would be" if options.dry_run else f"{_entries(planned)}", "written")
    return EXIT_OK


async def _write_entries(options: argparse.Namespace, vaults: _Vaults) -> RestoreOutcome:
    overwriting = Overwriting.NOT_NEWER
    if options.missing_only:
        overwriting = Overwriting.MISSING_ONLY
    elif options.overwrite_newer:
        overwriting = Overwriting.ALL
    expected = Expectations(NAME, newer_than=options.newer_than)
    with opened_archive(options.archive, vaults.keys, expected) as archive:
        return await restore_archive(
            vaults.entries, archive, vaults.places, overwriting, dry_run=options.dry_run
        )


def _entries(count: int) -> str:
    return f"{count} {'entry' if count == 1 else 'entries'}"
