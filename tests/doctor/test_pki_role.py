"""What is said of a role is what the role does: the same CSRs are signed by a real one."""

from typing import Any

import pytest

from demo.openbao import OpenBao
from sidecar.certificates.issuers.base import Order
from sidecar.certificates.issuers.vault_pki import PkiIssuer
from sidecar.common.clock import monotonic_seconds, wall_seconds
from sidecar.common.errors import Fault
from sidecar.config import model
from sidecar.doctor.pki_role import role_problems
from sidecar.vault.client import VaultClient
from tests.support.real import TokenFile

BELOW: dict[str, Any] = {"allowed_domains": ["a.example"], "allow_subdomains": True}
BARE: dict[str, Any] = {"allowed_domains": ["a.example"], "allow_bare_domains": True}
GLOB: dict[str, Any] = {"allowed_domains": ["*-x.example"], "allow_glob_domains": True}
SPIFFE: dict[str, Any] = {"allowed_uri_sans": ["spiffe://td/ns/*"], "require_cn": False}
ROWS: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("a host below", BELOW, {"common_name": "x.a.example"}, ""),
    ("the domain itself", BELOW, {"common_name": "a.example"}, "allow_bare_domains=true"),
    ("the domain itself, allowed", BARE, {"common_name": "a.example"}, ""),
    ("a host below, not allowed", BARE, {"common_name": "x.a.example"}, "allow_subdomains=true"),
    ("another domain", BELOW, {"common_name": "b.example"}, "allowed_domains must have it"),
    ("one that only ends alike", BELOW, {"common_name": "xa.example"}, "allowed_domains must"),
    ("one of two", BELOW, {"common_name": "x.a.example", "alt_names": ("b.example",)}, "b.example"),
    ("a wildcard", BELOW, {"common_name": "*.a.example"}, ""),
    (
        "a wildcard, not allowed", BELOW | {"allow_wildcard_certificates": False},
        {"common_name": "*.a.example"}, "allow_wildcard_certificates=true",
    ),
    ("what a glob matches", GLOB, {"common_name": "a-x.example"}, ""),
    ("what a glob does not match", GLOB, {"common_name": "a-y.example"}, "allowed_domains must"),
    ("a glob that is not allowed", GLOB | {"allow_glob_domains": False},
     {"common_name": "a-x.example"}, "allowed_domains must"),
    ("any name", {"allow_any_name": True}, {"common_name": "z.example"}, ""),
    ("this machine", {"allow_localhost": True}, {"common_name": "localhost"}, ""),
    ("this machine, not allowed", {"allow_localhost": False}, {"common_name": "localhost"},
     "allowed_domains must"),
    ("a service", SPIFFE, {"spiffe_id": "spiffe://td/ns/a"}, ""),
    ("another service", SPIFFE, {"spiffe_id": "spiffe://td/other"}, "allowed_uri_sans"),
    ("a service without a host", SPIFFE | {"require_cn": True}, {"spiffe_id": "spiffe://td/ns/a"},
     "require_cn=false"),
    ("an address", BELOW, {"common_name": "x.a.example", "ip_addresses": ("192.0.2.1",)}, ""),
    ("an address, not allowed", BELOW | {"allow_ip_sans": False},
     {"common_name": "x.a.example", "ip_addresses": ("192.0.2.1",)}, "allow_ip_sans=true"),
    ("another type of key", BELOW | {"key_type": "rsa", "key_bits": 2048},
     {"common_name": "x.a.example"}, "takes rsa keys"),
]  # fmt: skip


@pytest.mark.real
@pytest.mark.parametrize(
    ("parameters", "wanted", "problem"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS]
)
async def test_a_role_does_what_is_said_of_it(
    parameters: dict[str, Any],
    wanted: dict[str, Any],
    problem: str,
    openbao: OpenBao,
    token_file: TokenFile,
) -> None:
    role = {"key_type": "ec", "key_bits": 256, **parameters}
    pki = openbao.client.secrets.pki
    pki.create_or_update_role("looked-at", extra_params=role)
    certificate = model.Certificate(name="c", issuer="pki", **wanted)
    key = model.CertificateKey(type="ec")
    issuer = model.VaultPkiIssuer(name="pki", role="looked-at", ttl_seconds=3600, key=key)
    found = list(role_problems(pki.read_role("looked-at")["data"], issuer, certificate))
    assert bool(found) is bool(problem)
    assert problem in " ".join(found)
    policy = 'path "pki/sign/looked-at" { capabilities = ["update"] }'
    token_file.write(openbao.token_for(policy, name="looked-at"))
    vault = VaultClient(token_file.settings(openbao.address), clock=monotonic_seconds)
    names = tuple(filter(None, (certificate.common_name, *certificate.alt_names)))
    uris = (certificate.spiffe_id,) if certificate.spiffe_id else ()
    order = Order("c", names, uris, ip_sans=certificate.ip_addresses)
    try:
        await PkiIssuer(issuer, vault, wall_seconds).issue(order)
    except Fault:
        assert found, "it is refused, and nothing is said"
    else:
        assert not found, "it is signed, and something is said"
    finally:
        await vault.close()


def test_what_only_vault_knows_is_not_judged() -> None:
    issuer = model.VaultPkiIssuer(name="pki", role="r")
    certificate = model.Certificate(name="c", issuer="pki", common_name="a.example")
    role = {"allowed_domains": ["{{identity.entity.name}}"], "allowed_domains_template": True}
    assert list(role_problems(role, issuer, certificate)) == []
