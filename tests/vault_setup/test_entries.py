"""Entries of KV that begin empty, and those that are left to their owners."""

import base64

import pytest

from sidecar.config import parse_config
from sidecar.vault_setup.entries import entry_steps
from tests.vault_setup.shapes import SHAPES, shape, short_folder
from tests.vault_setup.test_pki import BASE

STARTS: dict[str, dict[str, dict[str, list[str]]]] = {
    "the example": {},
    "all that is polled": {
        "entry secret/iam/tenants/two": {},
        "entry secret/limits/tenants": {},
        "entry secret/modules/publishers": {},
    },
    "a list of domains": {"entry secret/edge/list": {"domains": []}},
    "customers and services": {},
}


@pytest.mark.parametrize("name", SHAPES)
def test_what_begins_empty(name: str) -> None:
    with short_folder() as folder:
        steps = list(entry_steps(shape(name, folder, "http://127.0.0.1:1")))
    made = {each.name: each.data() for each in steps if not each.is_left}
    spool = made.pop("entry secret/crypto/spool", None)
    assert made == {
        entry: {"data": data, "options": {"cas": 0}} for entry, data in STARTS[name].items()
    }
    if spool is not None:
        assert len(base64.b64decode(spool["data"]["value"], validate=True)) == 32


def test_a_spools_key_is_another_one_each_time() -> None:
    with short_folder() as folder:
        config = shape("a list of domains", folder, "http://127.0.0.1:1")
    (step,) = (each for each in entry_steps(config) if "spool" in each.name)
    assert step.data() != step.data()
    assert step.judge({"data": {"other": "x"}}) == "has no field value"
    assert step.judge({"data": {"value": "x"}}) == ""


OWNED = """\
certificate_store: {prefix: fleet}
issuers:
  - name: public
    type: acme
    directory: https://ca.example/dir
    agree_to_terms: true
    account: {path: acme/account}
    external_account: {path: acme/eab}
    challenge: dns-01
    dns: {update: {type: rfc2136, server: "ns.example:53", zones: [example], tsig: {path: dns/t}}}
  - {name: kept, type: vault_kv, prefix: tls}
certificates:
  - {name: "*.shop.example", issuer: kept, common_name: "*.shop.example"}
  - {name: "a b", issuer: kept, common_name: a.example}
trust_bundles:
  - {name: t, roots: {source: vault_kv, path: trust/t, crl_field: crl}}
audit:
  to:
    sink: kafka
    brokers: ["k:9092"]
    topic: t
    sasl: {username: u, password: {source: vault_kv, path: audit/kafka}}
"""


def test_what_is_somebody_elses_is_left_with_its_fields() -> None:
    steps = {each.name: each for each in entry_steps(parse_config(BASE + OWNED, "test"))}
    assert {name: each.command.split()[5:] for name, each in steps.items()} == {
        "entry secret/acme/eab": ["kid=@FILE", "hmac_key=@FILE"],
        "entry secret/dns/t": ["name=@FILE", "secret=@FILE"],
        "entry secret/tls/_wildcard.shop.example": ["certificate=@FILE", "private_key=@FILE"],
        "entry secret/trust/t": ["value=@FILE", "crl=@FILE"],
        "entry secret/audit/kafka": ["value=@FILE"],
    }
    assert all(each.is_left for each in steps.values())
