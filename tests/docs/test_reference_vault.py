"""The reference of Vault's entries: no need is without its text, and no text is of something else.

That a need has a text is the type's own demand; that the page shows it is what these tests hold.
"""

import ast
import base64
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

import msgspec
import pytest

from sidecar.audit_trail.key_entries import main_data
from sidecar.certificates.challenges.dns01.acme_dns import read_account
from sidecar.certificates.challenges.dns01.tsig import ALGORITHMS, read_tsig_key
from sidecar.certificates.on_demand.domains import Registration
from sidecar.common.errors import Fault
from sidecar.config import model
from sidecar.doctor import needs
from sidecar.doctor.entry_texts import audit_trail, certificates, commands, secrets, tokens
from sidecar.doctor.entry_texts.text import EntryText
from sidecar.observability.audit.key_forest import KeyForest
from sidecar.sds.secrets.session_tickets import TicketRing
from sidecar.tokens.revocation_entry import RevocationEntry
from tests.doctor.test_needs import LOGINS, PUBLIC_IN_VAULT, places
from tools.reference import settings
from tools.reference.vault_entries import (
    SPECIMENS,
    commands_needs,
    parsed,
    shown_path,
    shown_setting,
    vault_page,
)

PAGE = (Path(__file__).parents[2] / "docs/reference-vault.md").read_text()
CONFIGS = [parsed(each) for each in SPECIMENS]
MODULES: tuple[ModuleType, ...] = (tokens, certificates, secrets, audit_trail, commands)
TEXTS = {
    text.title: text
    for module in MODULES
    for text in vars(module).values()
    if isinstance(text, EntryText)
}
NEEDS = [*(need for config in CONFIGS for need in needs.needs_of(config)), *commands_needs(CONFIGS)]


def test_every_text_is_on_the_page_and_of_a_need() -> None:
    assert {need.text.title for need in NEEDS} == set(TEXTS)
    assert re.findall(r"^### (.+)$", PAGE, re.MULTILINE) == list(
        dict.fromkeys(need.text.title for need in NEEDS)
    )


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_text_leaves_nothing_out(text: EntryText) -> None:
    said = text._asdict()
    assert [name for name, what in said.items() if not what] == []
    assert all(name and what for name, what in text.content)
    sentences = (text.purpose, text.read, text.missing, text.malformed, text.away)
    assert [each for each in sentences if not each.endswith(".")] == []
    assert re.fullmatch(r"\[[^\]]+\]\([a-z-]+\.md(#[a-z0-9-]+)?\)", text.page)


def lines_run(function: Callable[[], object], path: str) -> set[int]:
    """Return the lines of a file that run when a function is called."""
    found: set[int] = set()

    def trace(frame: FrameType, event: str, _argument: object) -> Any:
        if frame.f_code.co_filename != path:
            return None
        if event == "line":
            found.add(frame.f_lineno)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function()
    finally:
        sys.settrace(before)
    return found


def test_the_specimens_need_all_that_there_is_a_rule_for() -> None:
    def ask() -> None:
        for config in CONFIGS:
            needs.needs_of(config)
        list(commands_needs(CONFIGS))

    run = lines_run(ask, needs.__file__)
    tree = ast.parse(Path(needs.__file__).read_text())
    yields = [each for each in ast.walk(tree) if isinstance(each, ast.Yield | ast.YieldFrom)]
    never = [
        each.lineno
        for each in yields
        if run.isdisjoint(range(each.lineno, (each.end_lineno or 0) + 1))
    ]
    assert len(yields) > 30
    assert never == [], "name it in SPECIMENS of tools/reference/vault_entries.py"


def instances(node: Any) -> Iterator[type]:
    if isinstance(node, msgspec.Struct):
        yield type(node)
        for each in msgspec.structs.fields(type(node)):
            yield from instances(getattr(node, each.name))
    elif isinstance(node, tuple):
        for each in node:
            yield from instances(each)


def test_the_specimens_have_every_section_that_names_a_mount() -> None:
    named = {kind for config in CONFIGS for kind in instances(config)}
    assert set(places(model.Config)) - LOGINS - PUBLIC_IN_VAULT <= named


@pytest.mark.parametrize("need", NEEDS, ids=lambda need: f"{need.path} of {need.setting}")
def test_a_need_has_its_row(need: Any) -> None:
    section = PAGE.split(f"\n### {need.text.title}\n", 1)[1].split("\n#", 1)[0]
    names = ", ".join(f"`{each}`" for each in sorted(need.capabilities))
    row = f"| `{shown_path(need.path)}` | {names} | `{shown_setting(need.setting)}` |"
    assert row in section
    assert need.without in section


def test_settings_that_the_page_names_are_there() -> None:
    paths = {place.path for place in settings.places()}
    named = set(re.findall(r"`([a-z_\[\]]+(?:\.[a-z_\[\]]+)+)`", PAGE))
    assert len(named) > 20
    assert {each for each in named if each not in paths} == set()


def test_what_is_named_twice_would_be_one_section() -> None:
    assert len({text.title for text in TEXTS.values()}) == sum(
        isinstance(text, EntryText) for module in MODULES for text in vars(module).values()
    )


def fields_of(text: EntryText) -> list[str]:
    return [name.strip("`") for name, _ in text.content if name.startswith("`")]


RING = TicketRing().successor(0, rotate_seconds=1, lead_seconds=1, fresh=bytes(80))
ENTRIES: Mapping[str, tuple[EntryText, set[str]]] = {
    "revocations": (tokens.REVOCATIONS, {"iss", *RevocationEntry._fields}),
    "a domain's entry": (certificates.DOMAIN_ENTRIES, set(Registration.__struct_fields__)),
    "a list of domains": (
        certificates.DOMAIN_LIST,
        {"domains", *Registration.__struct_fields__},
    ),
    "session tickets": (secrets.SESSION_TICKETS, set(RING.to_entry() if RING else ())),
}


@pytest.mark.parametrize(("text", "fields"), ENTRIES.values(), ids=ENTRIES)
def test_a_text_names_the_fields_of_its_entry(text: EntryText, fields: set[str]) -> None:
    assert set(fields_of(text)) == fields


def test_the_keys_of_pseudonyms_are_described() -> None:
    (said,) = (what for name, what in audit_trail.PSEUDONYMS.content if name == "the entry itself")
    assert set(re.findall(r"`(\w+)`", said)) == set(main_data(KeyForest.fresh(), {}))


READERS: Mapping[str, tuple[EntryText, Callable[[Any, str], object], Mapping[str, str]]] = {
    "acme-dns": (
        certificates.ACME_DNS_ACCOUNT,
        read_account,
        {"fulldomain": "a.example", "username": "u", "password": "p", "subdomain": "s"},
    ),
    "TSIG": (
        certificates.TSIG_KEY,
        read_tsig_key,
        {
            "name": "key.example",
            "secret": base64.b64encode(bytes(16)).decode(),
            "algorithm": "hmac-sha512",
        },
    ),
}


@pytest.mark.parametrize(("text", "read", "entry"), READERS.values(), ids=READERS)
def test_an_entry_of_the_fields_that_a_text_names_is_read(
    text: EntryText, read: Callable[[Any, str], object], entry: Mapping[str, str]
) -> None:
    assert set(fields_of(text)) == set(entry)
    read(entry, "here")
    for name in set(entry) - {"algorithm"}:
        with pytest.raises(Fault):
            read({field: value for field, value in entry.items() if field != name}, "here")


def test_the_algorithms_of_tsig_are_those_that_are_read() -> None:
    (said,) = (what for name, what in certificates.TSIG_KEY.content if name == "`algorithm`")
    assert set(re.findall(r"`([\w-]+)`", said)) == set(ALGORITHMS)


def test_a_secret_of_fifteen_bytes_is_too_short_as_the_page_says() -> None:
    entry = {"name": "key.example", "secret": base64.b64encode(bytes(15)).decode()}
    with pytest.raises(Fault, match="fewer than 16 bytes"):
        read_tsig_key(entry, "here")


def test_the_page_says_what_commands_need_apart() -> None:
    serving, apart = vault_page().split("\n## What operators' commands need besides\n", 1)
    assert "sidecar doctor" not in re.findall(r"^\| `([^`]+)`", serving, re.MULTILINE)
    for text in (commands.DOCTOR_ROLE, commands.CERTS_REVOKE, commands.BACKUP, commands.RESTORE):
        assert f"\n### {text.title}\n" in apart
        assert f"\n### {text.title}\n" not in serving
