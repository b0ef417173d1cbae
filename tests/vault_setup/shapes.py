"""Configurations of several shapes, for an empty development server, and what they leave."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any

from demo.openbao import OpenBao
from sidecar.config import model, parse_config
from sidecar.vault_setup.component import SetupChoices, set_up
from sidecar.vault_setup.step import SetupOutcome, SetupResult
from tests.doctor.world import FIRST, SECOND
from tests.support.minting import TENANT

ROOT = Path(__file__).parents[2]
PRINTED_BY = "sidecar vault policy --with doctor --config sidecar.yaml"
CUSTOMERS = """\
listen:
  authz:
    address: "unix:{folder}/authz"
    decision_cache: {{socket: "{folder}/cache"}}
  sds: {{address: "unix:{folder}/sds"}}
  admin: {{address: "unix:{folder}/admin"}}
  drain_seconds: 0.1
  drain_notice_seconds: 0
vault: {{address: "{vault}", auth: {{method: token_file, path: {token}}}{namespace}}}
routes: [{{name: all, path_prefix: /, csp: shell}}]
tokens: {{issuers: [{{issuer: "https://one.example", audiences: [a]}}]}}
keys: {{revocations: {{path: iam/revocations}}}}
tenants: [{{tenant_id: {tenant}, domain: shop.example, csp: {{shell: {{img-src: ["'self'"]}}}}}}]
certificate_store: {{prefix: fleet, mount: team/kv}}
issuers:
  - {{name: internal, type: vault_pki, role: edge, mount: ca/inner}}
  - name: public
    type: acme
    directory: https://127.0.0.1:1/dir
    agree_to_terms: true
    account: {{path: acme/account, mount: team/kv}}
    fallback: internal
certificates:
  - {{name: edge, issuer: internal, common_name: edge.example, alt_names: ["*.edge.example"]}}
  - {{name: orders, issuer: internal, spiffe_id: "spiffe://example/ns/orders"}}
trust_bundles:
  - {{name: inner, roots: {{source: vault_pki, mounts: [ca/inner, ca/other], crl: true}}}}
on_demand: {{issuer: public, registry: {{source: vault_kv_prefix, prefix: edge/domains}}}}
"""
"""A public CA and its store, customers' domains, a PKI of services, leases, a tenant's CSP."""


def shape(name: str, folder: Path, address: str, namespace: str = "") -> model.Config:
    """Return one of ``SHAPES``, which logs in with an AppRole's ids in ``folder``.

    Its text is in ``folder/sidecar.yaml``.
    """
    text = (
        _example(folder)
        if name == "the example"
        else SHAPES[name].format(
            folder=folder,
            vault=address,
            token="TOKEN",
            tenant=TENANT,
            namespace=f", namespace: {namespace}" if namespace else "",
            spread=", spread: false" if name == "a list of domains" else "",
        )
    )
    ids = f"method: approle, role_id_file: {folder}/role-id, secret_id_file: {folder}/secret-id"
    text = text.replace("method: token_file, path: TOKEN", ids)
    text = text.replace("https://vault.internal:8200", address)
    (folder / "sidecar.yaml").write_text(text)
    return parse_config(text, name)


def _example(folder: Path) -> str:
    """Return ``config.example.yaml`` with its sockets in ``folder`` and a login to be named."""
    text = (ROOT / "config.example.yaml").read_text()
    for port, name in ((9100, "authz"), (9101, "sds"), (9102, "admin")):
        text = text.replace(
            f"    address: 127.0.0.1:{port}\n", f"    address: unix:{folder}/{name}\n"
        )
    login = "    method: token_file\n    path: /run/vault/token\n"
    assert login in text
    return text.replace(login, "    {method: token_file, path: TOKEN}\n")


SHAPES = {
    "the example": "",
    "all that is polled": FIRST,
    "a list of domains": SECOND,
    "customers and services": CUSTOMERS,
}
LEFT: Mapping[str, set[str]] = {
    "the example": set(),
    "all that is polled": {
        "entry secret/septem/tls/kept.example",
        "entry secret/trust/platform",
        "entry secret/edge/oauth",
        "entry secret/audit/clickhouse",
    },
    "customers and services": set(),
}
"""What only its owner can write, of three shapes."""


def write_what_is_left(openbao: OpenBao, domain: str) -> None:
    """Play the owners: a stored certificate, a CA, a client secret, a password."""
    put = openbao.client.secrets.kv.v2.create_or_update_secret
    openbao.client.secrets.pki.create_or_update_role(
        "owners", extra_params={"allow_any_name": True, "key_type": "ec", "key_bits": 256}
    )
    made = openbao.client.secrets.pki.generate_certificate("owners", domain)["data"]
    stored = {"certificate": made["certificate"], "private_key": made["private_key"]}
    put(f"septem/tls/{domain}", stored)
    put("trust/platform", {"value": made["issuing_ca"]})
    put("edge/oauth", {"value": "secret"})
    put("audit/clickhouse", {"value": "secret"})


@contextmanager
def short_folder() -> Iterator[Path]:
    """Make a folder whose name is short enough for a socket's."""
    folder = Path(mkdtemp(prefix="septem-"))
    try:
        yield folder
    finally:
        rmtree(folder)


def operator(openbao: OpenBao, folder: Path) -> model.TokenFileAuth:
    """Return the login of who sets up: the root token in a file."""
    path = folder / "operator"
    path.write_text(openbao.client.token)
    return model.TokenFileAuth(path=str(path))


async def results_of(
    config: model.Config, login: model.TokenFileAuth, **choices: Any
) -> list[SetupResult]:
    """Set up, and return what became of each step."""
    given = SetupChoices(PRINTED_BY)._replace(**choices)
    return [each async for each in set_up(config, login, given)]


def of(results: list[SetupResult], outcome: SetupOutcome) -> list[str]:
    """Return the names of the steps with this outcome."""
    return [each.name for each in results if each.outcome is outcome]
