"""Every policy in the documents is what ``sidecar.doctor.needs`` says that it takes."""

import re
from pathlib import Path

import pytest

from demo.openbao import REVOCATIONS_POLICY, SIDECAR_POLICY, STORE_POLICY
from sidecar.config import parse_config
from sidecar.doctor.needs import needs_of
from sidecar.doctor.policy import policy_of

ROOT = Path(__file__).parents[2]
OF_APPLICATIONS = {"backups.md", "field-encryption.md", "passwords.md", "secrets.md"}
"""Their policies are of applications, by ``septem-workload``."""
PAGES = sorted(page for page in (ROOT / "docs").glob("*.md") if page.name not in OF_APPLICATIONS)
_BASE = """\
listen: {sds: {address: "unix:/run/sds"}}
vault:
  address: http://127.0.0.1:1
  auth: {method: approle, role_id_file: /r, secret_id_file: /s}
routes: [{name: all, path_prefix: /}]
"""
_EVERYTHING = """\
tokens:
  issuers:
    - {issuer: "https://a.example", audiences: [a]}
    - issuer: https://b.example
      audiences: [a]
      keys: {source: vault_transit, name: jwt}
      claims: {tenant: {path: org, tenants_from: {path: iam/tenants/acme}}}
keys: {revocations: {path: iam/revocations}}
modules: {}
limits: {tenant: {requests: 9, per_seconds: 1}, tenants_from: {}}
certificate_store: {}
issuers:
  - {name: pki, type: vault_pki, role: edge}
  - {name: stored, type: vault_kv, prefix: septem/tls}
  - {name: public, type: acme, directory: "https://ca.example/d", agree_to_terms: true,
     account: {path: septem/acme/public}, challenge: dns-01,
     dns: {update: {type: rfc2136, server: "ns.example:53", zones: [example],
                    tsig: {path: septem/dns/tsig}}}}
  - {name: other, type: acme, directory: "https://ca.example/d", agree_to_terms: true,
     account: {path: septem/acme/public}, challenge: dns-01,
     dns: {update: {type: acme_dns, url: "http://127.0.0.1:2",
                    accounts: {prefix: septem/acme-dns}}}}
certificates:
  - {name: one, issuer: pki, common_name: a.example}
  - {name: edge, issuer: stored, common_name: a.example}
  - {name: three, issuer: public, common_name: a.example}
  - {name: four, issuer: other, common_name: a.example}
trust_bundles: [{name: roots, roots: {source: vault_kv, path: trust/platform}}]
session_ticket_keys: [{name: tickets, path: tls/tickets}]
generic_secrets: [{name: oauth, path: edge/oauth}]
audit:
  to: {sink: clickhouse, url: "http://127.0.0.1:3",
       password: {source: vault_kv, path: audit/clickhouse}}
  checkpoints: {key: audit}
  pseudonyms: {path: audit/pseudonyms}
  spool: {folder: /spool, key: {source: vault_transit, name: audit-spool}}
"""
_ONE = 'tokens: {issuers: [{issuer: "https://a.example", audiences: [a]}]}\n'
_DOMAINS = """\
issuers: [{name: pki, type: vault_pki, role: edge}]
on_demand: {issuer: pki, registry: {%s}}
"""
CONFIGURATIONS = (
    _BASE + _EVERYTHING,
    _BASE + _ONE + _DOMAINS % "source: vault_kv, path: edge/list",
    _BASE + _ONE + _DOMAINS % "source: vault_kv_prefix, prefix: edge/domains",
)
"""The settings that the documents' policies are about."""
_LINE = re.compile(r'path "([^"…]+)"\s*\{ capabilities = \[([^]]*)\]')


def lines_of(text: str) -> dict[str, frozenset[str]]:
    """Return the capabilities of each path in a text, but of what only operators may do."""
    sidecars = re.sub(r"```hcl\n# Operator.*?```", "", text, flags=re.DOTALL)
    return {path: frozenset(re.findall(r"\w+", names)) for path, names in _LINE.findall(sidecars)}


def needed() -> dict[str, frozenset[str]]:
    """Return what all of the configurations need."""
    return {
        line.path: frozenset(line.capabilities)
        for text in CONFIGURATIONS
        for line in policy_of(needs_of(parse_config(text, "test")))
    }


APPLICATIONS = "services/"
"""The mount of applications, which have logins of their own (``septem-workload``)."""


@pytest.mark.parametrize("page", PAGES, ids=[each.name for each in PAGES])
def test_a_documented_line_is_one_that_the_settings_need(page: Path) -> None:
    is_needed = needed()
    for path, names in lines_of(page.read_text()).items():
        if not path.startswith(APPLICATIONS):
            assert is_needed.get(path) == names, path


def test_every_line_that_settings_may_need_is_documented() -> None:
    documented = set().union(*(lines_of(each.read_text()) for each in PAGES))
    assert set(needed()) - documented == set()


def test_the_policies_of_the_demo_are_what_its_settings_need() -> None:
    is_needed = needed()
    for policy in (SIDECAR_POLICY, STORE_POLICY, REVOCATIONS_POLICY):
        for path, names in lines_of(policy).items():
            assert is_needed[path] == names, path
    least = (ROOT / "docs/operations.md").read_text().split("```hcl")[1]
    assert lines_of(least) == lines_of(SIDECAR_POLICY)
