"""Roles with the least that the names of the settings need."""

from typing import Any

import pytest

from sidecar.config import model, parse_config
from sidecar.doctor.pki_role import role_problems
from sidecar.vault_setup.pki import role_steps, root_step

BASE = """\
listen: {sds: {address: "unix:/run/sds"}}
vault: {address: "http://127.0.0.1:1", auth: {method: token_file, path: /t}}
tokens: {issuers: [{issuer: "https://i.example", audiences: [a], keys: {source: oidc}}]}
routes: [{name: all, path_prefix: /}]
"""
ONE = "issuers: [{name: in, type: vault_pki, role: edge, ttl_seconds: 7200}]\n"
SHARED = """\
issuers:
  - {name: in, type: vault_pki, role: edge, ttl_seconds: 7200}
  - {name: out, type: vault_pki, role: edge, ttl_seconds: 3600, key: {type: rsa}}
"""
ACME = """\
certificate_store: {prefix: fleet}
issuers:
  - {name: in, type: vault_pki, role: edge}
  - name: public
    type: acme
    directory: https://ca.example/dir
    agree_to_terms: true
    account: {path: acme/account}
    fallback: in
"""
ON_DEMAND = "on_demand: {issuer: in, registry: {source: file, path: /domains}}\n"
HOSTS = "certificates: [{name: a, issuer: in, common_name: a.example, alt_names: [b.example]}]\n"
WILDCARD = 'certificates: [{name: a, issuer: in, common_name: "*.a.example"}]\n'
SERVICE = 'certificates: [{name: a, issuer: in, spiffe_id: "spiffe://d/ns/a"}]\n'
ADDRESS = (
    "certificates: [{name: a, issuer: in, common_name: a.example, ip_addresses: [10.0.0.1]}]\n"
)
TWO = """\
certificates:
  - {name: a, issuer: in, common_name: a.example}
  - {name: b, issuer: out, common_name: b.example}
"""
FALLBACK = "certificates: [{name: a, issuer: public, common_name: a.example}]\n"
ROLES: dict[str, tuple[str, dict[str, Any]]] = {
    "hosts, and no name below them": (
        ONE + HOSTS,
        {
            "allowed_domains": ["a.example", "b.example"],
            "allow_bare_domains": True,
            "allow_subdomains": False,
            "allow_ip_sans": False,
            "key_type": "ec",
            "max_ttl": "7200s",
        },
    ),
    "a wildcard": (
        ONE + WILDCARD,
        {"allowed_domains": ["a.example"], "allow_subdomains": True},
    ),
    "a service without a host name": (
        ONE + SERVICE,
        {"allowed_uri_sans": ["spiffe://d/ns/a"], "require_cn": False},
    ),
    "an address": (ONE + ADDRESS, {"allow_ip_sans": True}),
    "a role of two issuers": (
        SHARED + TWO,
        {"allowed_domains": ["a.example", "b.example"], "key_type": "any", "max_ttl": "7200s"},
    ),
    "the second choice beside a public CA": (
        ACME + FALLBACK,
        {"allowed_domains": ["a.example"]},
    ),
    "customers' domains": (ONE + ON_DEMAND, {"allow_any_name": True}),
}


@pytest.mark.parametrize(("text", "expected"), ROLES.values(), ids=ROLES)
def test_the_least_role(text: str, expected: dict[str, Any]) -> None:
    config = parse_config(BASE + text, "test")
    (step,) = role_steps(config)
    role = dict(step.data())
    assert {name: role.get(name) for name in expected} == expected
    assert role.get("allow_any_name", False) is expected.get("allow_any_name", False)
    assert role["allow_localhost"] is False
    assert step.judge(role) == ""
    for issuer in config.issuers:
        for each in config.certificates:
            if isinstance(issuer, model.VaultPkiIssuer):
                assert not list(role_problems(role, issuer, each))


def test_a_role_that_is_there_is_judged_by_the_names() -> None:
    (step,) = role_steps(parse_config(BASE + ONE + HOSTS, "test"))
    assert "for the certificate a" in step.judge({"allowed_domains": ["a.example"]})
    (step,) = role_steps(parse_config(BASE + ONE + ON_DEMAND, "test"))
    assert "allow_any_name" in step.judge({"allowed_domains": ["a.example"]})


def test_a_role_that_no_certificate_needs_is_not_made() -> None:
    assert list(role_steps(parse_config(BASE + ONE, "test"))) == []


def test_a_root_is_made_where_the_mount_has_no_issuer() -> None:
    step = root_step("ca/inner", "issuers[0]")
    assert (step.looked_at, step.picked) == ("ca/inner/config/issuers", "default")
    assert step.command.startswith("bao write ca/inner/root/generate/internal ")
    assert step.judge("an-issuer") == ""
