"""``sidecar audit subject`` and ``forget``: a person's pseudonyms, and their end."""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TypeVar

import msgspec

from sidecar.audit_trail.key_store import KeyPlace, KeyStore
from sidecar.cli.admin_client import request_admin
from sidecar.cli.arguments import add_config, add_token_file
from sidecar.cli.output import add_json, ask, print_aside, print_json
from sidecar.cli.vault_token import operator_token
from sidecar.common.clock import monotonic_seconds, wall_seconds
from sidecar.common.errors import Fault
from sidecar.common.printable import printable
from sidecar.common.redact import redact
from sidecar.config import model
from sidecar.config.load import load_config
from sidecar.observability.audit.day_keys import DAY_SECONDS
from sidecar.observability.audit.entry import MAX_SUBJECT
from sidecar.observability.audit.pseudonyms import (
    address_of_day,
    address_of_subject,
    subject_pseudonym,
)
from sidecar.vault.client import VaultClient

EXIT_OK, EXIT_WRONG = 0, 1
_OK = 200
T = TypeVar("T")


def add_subject(command: argparse.ArgumentParser) -> None:
    """Add the options of ``audit subject``."""
    command.description = (
        "Print the pseudonym that a subject has in the audit trail, for a person who asks what is "
        "recorded of them. Who reads the keys can do this for anybody: see docs/audit.md for the "
        "policy."
    )
    _add_common(command, "read the entry of audit.pseudonyms")
    command.add_argument(
        "--address",
        metavar="ADDRESS",
        help="print the pseudonyms of this address too: in lines of the subject, and of each day "
        "in lines that have no subject",
    )
    add_json(command, "the pseudonyms")
    command.set_defaults(run=_subject)


def add_forget(command: argparse.ArgumentParser) -> None:
    """Add the options of ``audit forget``."""
    command.description = (
        "Delete the key of a subject: every audit line of that subject is anonymous from then on, "
        "for good, and the chain stays whole. Each sidecar uses the key until it reads the entry "
        "again; those of --admin do so at once."
    )
    _add_common(command, "read and write the entry of audit.pseudonyms")
    command.add_argument("--yes", action="store_true", help="do not ask")
    command.add_argument(
        "--admin",
        action="append",
        default=[],
        metavar="ADDRESS",
        help="the admin port of a sidecar that is to read the keys at once; may be repeated",
    )
    add_json(command, "what was deleted")
    command.set_defaults(run=_forget)


def _add_common(command: argparse.ArgumentParser, may: str) -> None:
    command.add_argument("tenant", metavar="TENANT", help="the tenant of the token; '' for none")
    command.add_argument("subject", metavar="SUBJECT", help="the subject of the token")
    add_config(command)
    add_token_file(command, may)


def _subject(options: argparse.Namespace) -> int:
    settings = _settings(options)
    keys = _with_store(options, settings, lambda store: store.read_only())
    tenant, subject = options.tenant, _recorded(options.subject)
    found = {"subject": subject_pseudonym(keys, tenant, subject)}
    if options.address is not None:
        found["address"] = address_of_subject(keys, tenant, subject, options.address)
        today = int(wall_seconds() // DAY_SECONDS)
        for day in range(keys.days.day, today + 1):
            name = f"address on {datetime.fromtimestamp(day * DAY_SECONDS, UTC):%Y-%m-%d}"
            found[name] = address_of_day(keys, day, options.address)
    if options.json:
        print_json(found)
    else:
        for name, pseudonym in found.items():
            print(f"{name}: {pseudonym}")
    return EXIT_OK


def _forget(options: argparse.Namespace) -> int:
    settings = _settings(options)
    subject = _recorded(options.subject)
    where = f"{settings.mount}/{settings.path}"
    if not options.yes and not _confirmed(options.tenant, subject):
        if options.json:
            print_json({"entry": where, "deleted": False, "read": {}})
        else:
            print_aside("nothing was deleted")
        return EXIT_WRONG
    _with_store(options, settings, lambda store: store.forget(options.tenant, subject))
    read = {each: _ask_to_read(each) for each in options.admin}
    if options.json:
        print_json({"entry": where, "deleted": True, "read": read})
    else:
        print(printable(f"Vault entry {where}: the key of this subject is deleted"))
        for address, is_read in read.items():
            if is_read:
                print(printable(f"{address}: reads the keys"))
            else:
                print_aside(f"{address}: could not be asked: it reads them by itself")
    return EXIT_OK if all(read.values()) else EXIT_WRONG


def _recorded(subject: str) -> str:
    """Return a subject as audit lines have it."""
    return redact(subject, MAX_SUBJECT)


def _confirmed(tenant: str, subject: str) -> bool:
    if not sys.stdin.isatty():
        raise Fault("nobody can be asked here: give --yes to delete the key for good")
    of = f"subject {subject} of tenant {tenant}"
    question = f"The lines of {of} will be anonymous for good. Delete the key? [yes/no]"
    return ask(question) == "yes"


def _ask_to_read(address: str) -> bool:
    try:
        status, _ = request_admin(address, "POST", "/keys/refresh")
    except Fault:
        return False
    return status == _OK


def _settings(options: argparse.Namespace) -> model.PseudonymSettings:
    settings = load_config(options.config).audit.pseudonyms
    if settings is None:
        raise Fault(f"{options.config} has no audit.pseudonyms: audit lines have none")
    return settings


def _with_store(
    options: argparse.Namespace,
    settings: model.PseudonymSettings,
    call: Callable[[KeyStore], Awaitable[T]],
) -> T:
    login = operator_token(options.token_file)
    config = load_config(options.config)
    return asyncio.run(_call(msgspec.structs.replace(config.vault, auth=login), settings, call))


async def _call(
    vault: model.Vault, settings: model.PseudonymSettings, call: Callable[[KeyStore], Awaitable[T]]
) -> T:
    client = VaultClient(vault, clock=monotonic_seconds)
    try:
        place = KeyPlace(settings.mount, settings.path)
        return await call(KeyStore(client, place, address_days=settings.address_days))
    finally:
        await client.close()
