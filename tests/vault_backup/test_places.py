"""Which entries a configuration names, and the least that copying them takes."""

from pathlib import Path

import pytest

from sidecar.common.errors import Fault
from sidecar.config import parse_config
from sidecar.config.load import load_config
from sidecar.doctor.policy import policy_of
from sidecar.vault_backup.places import KvPlace, backup_needs, places_of, restore_needs

EXAMPLE = Path(__file__).parents[2] / "config.example.yaml"
CONFIG = parse_config(
    """\
listen: {sds: {address: "unix:/run/sds"}}
vault: {address: "http://127.0.0.1:1", auth: {method: token_file, path: /t}}
tokens: {issuers: [{issuer: "https://i.example", audiences: [a]}]}
keys: {revocations: {path: iam/revocations}}
modules: {mount: team/kv}
certificate_store: {prefix: fleet}
issuers:
  - {name: pki, type: vault_pki, role: edge, share: true}
  - name: public
    type: acme
    directory: https://ca.example/dir
    agree_to_terms: true
    account: {path: acme/account}
certificates:
  - {name: edge, issuer: public, common_name: edge.example}
  - {name: inner, issuer: pki, common_name: inner.example}
session_ticket_keys: [{name: tickets, path: tickets}]
audit: {to: {sink: stdout}, pseudonyms: {path: audit/keys}}
routes: [{name: all, path_prefix: /}]
""",
    "test",
)


def test_every_entry_that_is_read_or_written_and_no_session_tickets() -> None:
    assert [place.name for place in places_of(CONFIG)] == [
        "secret/iam/jwt-signing-key",
        "secret/iam/revocations",
        "secret/iam/revocations/*",
        "team/kv/modules/publishers",
        "secret/acme/account",
        "secret/fleet/*",
        "secret/audit/keys",
        "secret/audit/keys/*",
        "secret/audit/keys/days",
    ]


@pytest.mark.parametrize("setting", ["audit.pseudonyms", "audit", "issuers[1]", "keys.revocations"])
def test_a_setting_can_be_left_out(setting: str) -> None:
    left = places_of(CONFIG, [setting])
    gone = {place.settings[0] for place in places_of(CONFIG)} - {p.settings[0] for p in left}
    assert gone
    assert all(each.startswith(setting) for each in gone)


@pytest.mark.parametrize("setting", ["pseudonyms", "audit.pseudonym", "", "session_tickets"])
def test_a_setting_that_has_no_entry_is_said_and_not_ignored(setting: str) -> None:
    with pytest.raises(Fault, match=r"the settings with entries: tokens\.issuers\[0\]\.keys"):
        places_of(CONFIG, [setting])


def test_what_a_place_holds() -> None:
    entry = KvPlace("secret", "a/b", is_folder=False, settings=("x",))
    folder = entry._replace(is_folder=True)
    assert entry.holds("secret", "a/b")
    assert not entry.holds("other", "a/b")
    assert not entry.holds("secret", "a/b/c")
    assert folder.holds("secret", "a/b/c/d")
    assert not folder.holds("secret", "a/bc")
    assert not folder.holds("secret", "a/b")


def test_the_policies_are_the_least() -> None:
    reading = {line.path: line.capabilities for line in policy_of(backup_needs(CONFIG))}
    assert reading["secret/data/acme/account"] == ("read",)
    assert reading["secret/metadata/acme/account"] == ("read",)
    assert reading["secret/metadata/fleet"] == ("list",)
    assert reading["secret/metadata/fleet/*"] == ("list", "read")
    assert {name for names in reading.values() for name in names} == {"list", "read"}
    writing = {line.path: line.capabilities for line in policy_of(restore_needs(CONFIG))}
    assert set(writing.values()) == {("create", "read", "update")}
    assert not any("tickets" in path for path in (*reading, *writing))


def test_the_example_has_places() -> None:
    assert places_of(load_config(EXAMPLE))
