"""docs/reference-vault.md: every path of Vault, from the needs of settings that name them all."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sidecar.config import model, parse_config
from sidecar.doctor.entry_texts.commands import OPEN_READS
from sidecar.doctor.entry_texts.text import EntryText
from sidecar.doctor.needs import doctor_needs, needs_of, revoking_needs
from sidecar.doctor.vault_paths import VaultNeed
from sidecar.vault_backup.places import backup_needs, restore_needs
from tools.reference.page import page, sentence, table

_PLACEHOLDERS = {"mount", "path", "prefix", "name", "role", "key"}
"""What the specimens call things: such a part of a path is shown as ``<mount>``."""
_ENTRY = {"mount": "mount", "path": "path"}
_PKI = {"type": "vault_pki", "name": "pki", "mount": "mount", "role": "role"}
_SECRET = {"source": "vault_kv", **_ENTRY}
_TRANSIT = {"source": "vault_transit", "mount": "mount", "name": "name"}
_CLAIMS = {"tenant": {"path": "organisation", "tenants_from": _ENTRY}}
_KAFKA = {
    "sink": "kafka",
    "brokers": ["kafka.example:9092"],
    "topic": "audit",
    "sasl": {"username": "sidecar", "password": _SECRET},
}


def _settings(**more: Any) -> dict[str, Any]:
    login = {"method": "approle", "role_id_file": "/role-id", "secret_id_file": "/secret-id"}
    return {
        "listen": {"sds": {"address": "unix:/run/sds"}},
        "vault": {"address": "https://vault.example:8200", "auth": login},
        "tokens": {"issuers": [_issuer("https://id.example", source="oidc")]},
        "routes": [{"name": "all", "path_prefix": "/"}],
        **more,
    }


def _issuer(issuer: str, **keys: Any) -> dict[str, Any]:
    return {"issuer": issuer, "audiences": ["api"], "keys": keys}


def _acme(name: str, **update: Any) -> dict[str, Any]:
    return {
        "type": "acme",
        "name": name,
        "directory": "https://ca.example/directory",
        "agree_to_terms": True,
        "account": _ENTRY,
        "external_account": _ENTRY,
        "challenge": "dns-01",
        "dns": {"update": update},
    }


def _domains(**registry: Any) -> dict[str, Any]:
    return _settings(issuers=[_PKI], on_demand={"issuer": "pki", "registry": registry})


_TOKENS = _settings(
    tokens={
        "issuers": [
            {**_issuer("https://one.example", source="vault_kv", **_ENTRY), "claims": _CLAIMS},
            _issuer("https://two.example", **_TRANSIT),
        ]
    },
    keys={"revocations": _ENTRY},
    limits={"tenant": {"requests": 9}, "tenants_from": _ENTRY},
    modules=_ENTRY,
)
_CERTIFICATES = _settings(
    issuers=[
        {**_PKI, "share": True},
        {"type": "vault_kv", "name": "kv", "mount": "mount", "prefix": "prefix"},
        _acme(
            "rfc2136",
            type="rfc2136",
            server="ns.example:53",
            zones=["example"],
            tsig=_ENTRY,
        ),
        _acme(
            "acme-dns",
            type="acme_dns",
            url="http://127.0.0.1:2",
            accounts={"mount": "mount", "prefix": "prefix"},
        ),
    ],
    certificate_store={"mount": "mount", "prefix": "prefix"},
    certificates=[
        {"name": "edge", "issuer": "pki", "common_name": "edge.example"},
        {"name": "name", "issuer": "kv", "common_name": "kept.example"},
        {"name": "one", "issuer": "rfc2136", "common_name": "one.example"},
        {"name": "two", "issuer": "acme-dns", "common_name": "two.example"},
    ],
    trust_bundles=[{"name": "roots", "roots": {**_SECRET, "crl_field": "crl"}}],
    session_ticket_keys=[{"name": "tickets", **_ENTRY}],
    generic_secrets=[{"name": "oauth", **_ENTRY}],
)
_AUDIT = _settings(
    audit={
        "to": {"sink": "clickhouse", "url": "http://127.0.0.1:1", "password": _SECRET},
        "checkpoints": {"mount": "mount", "key": "key"},
        "pseudonyms": _ENTRY,
        "spool": {"folder": "/spool", "key": _TRANSIT},
    }
)
_SPOOL = _settings(audit={"to": _KAFKA, "spool": {"folder": "/spool", "key": _SECRET}})
_LIST = _domains(source="vault_kv", **_ENTRY)
_PREFIX = _domains(source="vault_kv_prefix", mount="mount", prefix="prefix")
_BACKED_UP = _settings(
    certificate_store={"mount": "mount", "prefix": "path"}, issuers=[{**_PKI, "share": True}],
    certificates=[{"name": "edge", "issuer": "pki", "common_name": "edge.example"}],
    modules=_ENTRY,
)  # fmt: skip
SPECIMENS: Sequence[Mapping[str, Any]] = (
    _TOKENS, _CERTIFICATES, _LIST, _PREFIX, _AUDIT, _SPOOL,
)  # fmt: skip
"""Settings that between them name all that a sidecar may use in Vault."""
_INTRODUCTION = """
This page lists every path of Vault or OpenBao that the sidecar may read or write. It says for
which setting, with which capabilities, what the entry holds, and what happens without it.
`sidecar vault policy` prints the lines that your settings need ([Give the sidecar its
policy](vault.md)).

KV is version 2. The tables write a path as a policy does: `<mount>` and `<path>` are the values of
the setting, and `/*` means everything below. **Content** lists the fields; a field that is not
listed is ignored, except where the page says otherwise. *Missing* is an entry that was never
written, or whose newest version was deleted.

A poll that fails is repeated with growing pauses. `/readyz`, the log and
`septem_vault_calls_total` say why ([What Vault answers](operations.md#what-vault-answers)). If a
start fails, the sidecar logs the cause and exits with status 1. Tokens that operators' commands
bring along, such as those of `sidecar revoke`, are not listed: [what operators need
besides](vault.md#what-operators-need-besides).
"""
_HEADER = ("Path", "Capabilities", "Setting", "Without the right")
_HEADER_OF_COMMANDS = ("Path", "Capabilities", "Setting or command")
_NEEDED = "what is configured does not work"


def vault_page() -> str:
    """Return the page. A kind of entry that no specimen names is in no test of it either."""
    configs = [parsed(each) for each in SPECIMENS]
    body = [
        "## What the sidecar reads and writes",
        *_sections(need for config in configs for need in needs_of(config)),
        "## What operators' commands need besides",
        *_sections(commands_needs(configs), _HEADER_OF_COMMANDS),
        "## What Vault answers without a policy",
        table(("Path", "What it is for", "While Vault is away"), _open_rows()),
    ]
    return page("Vault entries", "sidecar/doctor/", _INTRODUCTION, body)


def commands_needs(configs: Iterable[model.Config]) -> Iterator[VaultNeed]:
    """Yield what commands need with the specimens; of a backup, an entry and a folder."""
    for config in configs:
        yield from doctor_needs(config)
        yield from revoking_needs(config)
    backed_up = parsed(_BACKED_UP)
    yield from backup_needs(backed_up)
    yield from restore_needs(backed_up)


def shown_path(path: str) -> str:
    """Return a path of the specimens with its placeholders in angle brackets."""
    return "/".join(f"<{each}>" if each in _PLACEHOLDERS else each for each in path.split("/"))


def shown_setting(setting: str) -> str:
    """Return a setting without the numbers of its lists, as the reference of settings names it."""
    return re.sub(r"\[\d+\]", "[]", setting.split(",", maxsplit=1)[0])


def parsed(specimen: Mapping[str, Any]) -> model.Config:
    """Return the configuration of a specimen."""
    return parse_config(json.dumps(specimen), "specimen")


def _sections(needs: Iterable[VaultNeed], header: Sequence[str] = _HEADER) -> Iterator[str]:
    found: dict[EntryText, dict[tuple[str, ...], None]] = {}
    for need in needs:
        found.setdefault(need.text, {}).setdefault(_row(need)[: len(header)])
    return (_section(text, header, rows) for text, rows in found.items())


def _row(need: VaultNeed) -> tuple[str, ...]:
    names = ", ".join(f"`{each}`" for each in sorted(need.capabilities))
    setting = shown_setting(need.setting)
    without = need.without or _NEEDED
    return f"`{shown_path(need.path)}`", names, f"`{setting}`", without


def _section(text: EntryText, header: Sequence[str], rows: Iterable[tuple[str, ...]]) -> str:
    said = {"missing": text.missing, "malformed": text.malformed, "Vault is away": text.away}
    cases: dict[str, list[str]] = {}
    for case, what in said.items():
        cases.setdefault(what, []).append(case)
    facts = [("Read", text.read)]
    for what, names in cases.items():
        name = ", ".join(names)
        facts.append((f"{name[0].upper()}{name[1:]}", what))
    facts.append(("Explained in", f"{text.page}."))
    return "\n\n".join(
        (
            f"### {text.title}\n{text.purpose}",
            table(header, rows),
            table(("Content", "What it is"), text.content),
            "\n".join(f"- **{name}:** {what}" for name, what in facts),
        )
    )


def _open_rows() -> Iterator[tuple[str, str, str]]:
    for each in OPEN_READS:
        paths = ", ".join(f"`{path}`" for path in each.path.split(", "))
        yield paths, each.purpose, sentence(each.away)
