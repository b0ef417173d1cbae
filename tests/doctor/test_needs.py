"""What each setting needs of Vault, and that no setting is without a rule."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import msgspec
import pytest

from sidecar.config import model, parse_config
from sidecar.doctor.needs import (
    MAX_NAMED,
    doctor_needs,
    mounts_of,
    needs_of,
    revoking_needs,
    used_issuers,
)
from tests.doctor.world import CONFIGURATIONS, configuration

BASE = """\
listen: {sds: {address: "unix:/run/sds"}}
vault: {address: "http://127.0.0.1:1", auth: {method: token_file, path: /t}}
tokens: {issuers: [{issuer: "https://i.example", audiences: [a], keys: {source: oidc}}]}
routes: [{name: all, path_prefix: /}]
"""
ACME = """\
certificate_store: {prefix: fleet}
issuers:
  - {name: kept, type: vault_kv, prefix: tls}
  - {name: second, type: vault_pki, role: edge}
  - name: public
    type: acme
    directory: https://ca.example/dir
    agree_to_terms: true
    account: {path: acme/account, mount: team/kv}
    external_account: {path: acme/eab}
    fallback: second
"""
RFC2136 = """\
    challenge: dns-01
    dns: {update: {type: rfc2136, server: "ns.example:53", zones: [example], tsig: {path: dns/t}}}
"""
ACME_DNS = """\
    challenge: dns-01
    dns: {update: {type: acme_dns, url: "http://127.0.0.1:2", accounts: {prefix: acme-dns}}}
"""
PUBLIC = "certificates: [{name: edge, issuer: public, common_name: edge.example}]\n"
STORED = 'certificates: [{name: "*.shop.example", issuer: kept, common_name: "*.shop.example"}]\n'
WRITTEN = ["create", "read", "update"]
STORE = {
    "secret/data/fleet/*": WRITTEN,
    "secret/metadata/fleet/*": WRITTEN,
}
ACCOUNT = {
    "team/kv/data/acme/account": WRITTEN,
    "team/kv/metadata/acme/account": ["create", "update"],
    "secret/data/acme/eab": ["read"],
}
SECOND = {"pki/sign/edge": ["update"]}
KEPT = {
    "secret/data/tls/_wildcard.shop.example": ["read"],
    "secret/metadata/tls/_wildcard.shop.example": ["read"],
}
DOMAINS = "on_demand: {issuer: second, registry: {source: file, path: /domains}}\n"
TABLE: dict[str, tuple[str, dict[str, list[str]]]] = {
    "keys that come from elsewhere": (BASE, {}),
    "a certificate of a public CA, and where it is stored": (
        BASE + ACME + PUBLIC,
        SECOND | ACCOUNT | STORE,
    ),
    "the key of dynamic updates": (
        BASE + ACME + RFC2136 + PUBLIC,
        SECOND | ACCOUNT | {"secret/data/dns/t": ["read"]} | STORE,
    ),
    "the accounts of acme-dns": (
        BASE + ACME + ACME_DNS + PUBLIC,
        SECOND | ACCOUNT | {"secret/data/acme-dns/*": ["read"]} | STORE,
    ),
    "no issuer that no certificate names, but the challenges of the fleet": (BASE + ACME, STORE),
    "any issuer, where domains are on demand": (
        BASE + ACME + DOMAINS,
        {f"secret/{kind}/tls/*": ["read"] for kind in ("data", "metadata")}
        | SECOND
        | ACCOUNT
        | STORE,
    ),
    "certificates of an internal CA that a fleet shares": (
        BASE
        + "certificate_store: {prefix: fleet}\n"
        + "issuers: [{name: in, type: vault_pki, role: edge, share: true}]\n"
        + "certificates: [{name: a, issuer: in, common_name: a.example}]\n",
        SECOND | STORE,
    ),
    "a certificate that is stored already": (BASE + ACME + STORED, KEPT | STORE),
    "a certificate whose name no entry can have": (
        BASE + ACME + "certificates: [{name: 'a b', issuer: kept, common_name: a.example}]\n",
        STORE,
    ),
    "trust in PKI, which anyone may read": (
        BASE + "trust_bundles: [{name: t, roots: {source: vault_pki, mounts: [pki], crl: true}}]\n",
        {},
    ),
    "a password for a broker": (
        BASE
        + "audit: {to: {sink: kafka, brokers: ['k:9092'], topic: t, sasl: {username: u, "
        + "password: {source: vault_kv, path: audit/kafka}}}}\n",
        {"secret/data/audit/kafka": ["read"]},
    ),
}


@pytest.mark.parametrize(("text", "expected"), TABLE.values(), ids=TABLE)
def test_what_is_needed(text: str, expected: dict[str, list[str]]) -> None:
    found = needs_of(parse_config(text, "test"))
    assert {each.path: sorted(each.capabilities) for each in found} == expected
    assert len(found) == len(expected)


def test_a_login_that_can_be_renewed_needs_to_be() -> None:
    text = BASE.replace(
        "method: token_file, path: /t", "method: approle, role_id_file: /r, secret_id_file: /s"
    )
    (found,) = needs_of(parse_config(text, "test"))
    assert found[:3] == ("auth/token/renew-self", frozenset({"update"}), "vault.auth")


def test_many_certificates_of_one_prefix_are_one_line() -> None:
    rows = [
        f"  - {{name: n{at}, issuer: kept, common_name: a.example}}\n"
        for at in range(MAX_NAMED + 1)
    ]
    few, many = (
        needs_of(parse_config(BASE + ACME + "certificates:\n" + "".join(some), "test"))
        for some in (rows[:-1], rows)
    )
    assert sum(each.setting == "issuers[0]" for each in few) == 2 * MAX_NAMED
    assert [each.path for each in many if each.setting == "issuers[0]"] == [
        "secret/data/tls/*",
        "secret/metadata/tls/*",
    ]


PKI = """\
issuers:
  - {name: one, type: vault_pki, role: edge, mount: pki-one}
  - {name: two, type: vault_pki, role: edge, mount: pki-two}
  - {name: kept, type: vault_kv, prefix: tls}
certificates: [{name: a, issuer: one, common_name: a.example}]
"""


def test_what_an_operators_commands_need_besides() -> None:
    config = parse_config(BASE + PKI, "test")
    assert used_issuers(config) == {"one"}
    assert [each.path for each in needs_of(config)] == ["pki-one/sign/edge"]
    assert [each.path for each in revoking_needs(config)] == ["pki-one/revoke", "pki-two/revoke"]
    assert [each.path for each in doctor_needs(config)] == [
        "sys/capabilities-self",
        "pki-one/roles/edge",
    ]


def test_which_engines_must_be_mounted() -> None:
    """Also those that anyone may read; a path of two engines is there twice."""
    trust = "trust_bundles: [{name: t, roots: {source: vault_pki, mounts: [pki-one, roots]}}]\n"
    clash = "generic_secrets: [{name: g, mount: roots, path: a}]\n"
    assert mounts_of(parse_config(BASE + PKI + trust + clash, "test")) == (
        ("pki-one", "pki", "issuers[0]"),
        ("roots", "kv", "generic_secrets[0]"),
        ("roots", "pki", "trust_bundles[0].roots"),
    )


def places(kind: Any) -> Iterator[type[msgspec.Struct]]:
    """Yield every section of the settings, however deep, that names a mount of Vault."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        fields = msgspec.structs.fields(kind)
        if {"mount", "mounts"} & {each.name for each in fields}:
            yield kind
        for each in fields:
            yield from places(each.type)
    elif get_origin(kind) is not None:
        for each in get_args(kind):
            yield from places(each)


LOGINS = {model.AppRoleAuth, model.KubernetesAuth, model.JwtAuth, model.CertAuth}
"""Their mounts are asked without a token."""


def test_every_section_that_names_a_mount_has_a_rule() -> None:
    assert set(places(model.Config)) - LOGINS - PUBLIC_IN_VAULT == with_rules()


PUBLIC_IN_VAULT = {model.PkiTrust}


def with_rules() -> set[type]:
    """Return the sections whose mount, changed to one of its own, is in a path that is needed."""
    nowhere = Path("/nowhere")
    configs = [
        *(configuration(name, nowhere, "http://127.0.0.1:1", nowhere) for name in CONFIGURATIONS),
        *(parse_config(text, "test") for text, _ in TABLE.values()),
    ]
    found: set[type] = set()
    for config in configs:
        for kind, changed in _with_own_mounts(config):
            if any(each.path.startswith("own/mount/") for each in needs_of(changed)):
                found.add(kind)
    return found


def _with_own_mounts(node: Any) -> Iterator[tuple[type, Any]]:
    """Yield a section's class and the whole with its mount changed, for each section."""
    if isinstance(node, msgspec.Struct):
        if hasattr(node, "mount"):
            yield type(node), msgspec.structs.replace(node, mount="own/mount")
        for each in msgspec.structs.fields(type(node)):
            for kind, changed in _with_own_mounts(getattr(node, each.name)):
                yield kind, msgspec.structs.replace(node, **{each.name: changed})
    elif isinstance(node, tuple):
        for at, item in enumerate(node):
            for kind, changed in _with_own_mounts(item):
                yield kind, (*node[:at], changed, *node[at + 1 :])
