"""Issuers and certificates: what is said of a configuration that does not fit together."""

import pytest

from sidecar.common.errors import ConfigFault
from sidecar.config import parse_config
from tests.config.documents import MINIMAL, problems

SDS = "listen: {sds: {address: unix:/run/sds.sock}}\n"
PKI = "{name: internal, type: vault_pki, role: edge}"
ACME = (
    "{name: public, type: acme, directory: 'https://ca.example/dir', agree_to_terms: true, "
    "account: {path: septem/acme}"
)
STORE = "certificate_store: {}\n"
UPDATE = (
    "update: {type: rfc2136, server: 'ns1.platform.example:53', zones: [acme.platform.example], "
    "tsig: {path: septem/dns/tsig}}"
)
HOSTED = (
    "update: {type: acme_dns, url: 'https://auth.platform.example', "
    "accounts: {prefix: septem/acme-dns}}"
)
HOSTED_HERE = HOSTED.replace("https://auth.platform.example", "http://127.0.0.1:8080")
DNS = f"{ACME}, challenge: dns-01, dns: {{{UPDATE}}}"


def text(issuers: str, certificates: str = "", more: str = "") -> str:
    listed = f"issuers: [{issuers}]\n"
    return f"{MINIMAL}{SDS}{listed}certificates: [{certificates}]\n{more}"


GOOD = [
    ("pki", text(PKI, "{name: edge, issuer: internal, common_name: a.example}")),
    ("shared", text(PKI[:-1] + ", share: true}", more=STORE)),
    ("acme", text(ACME + "}", more=STORE)),
    ("acme and a second CA", text(f"{PKI}, {ACME}, fallback: internal}}", more=STORE)),
    ("acme here", text(ACME.replace("https://ca.example", "http://127.0.0.1:1") + "}", more=STORE)),
    ("a wildcard that the second CA issues", text(
        f"{PKI}, {ACME}, fallback: internal}}", "{name: e, issuer: public, common_name: "
        "'*.a.example'}", STORE)),
    ("a wildcard over dns-01", text(
        DNS + "}", "{name: e, issuer: public, common_name: '*.a.example'}", STORE)),
    ("dns-01 by acme-dns", text(f"{ACME}, challenge: dns-01, dns: {{{HOSTED}}}}}", more=STORE)),
    ("acme-dns on this host", text(
        f"{ACME}, challenge: dns-01, dns: {{{HOSTED_HERE}}}}}", more=STORE)),
    ("resolvers", text(
        f"{ACME}, challenge: dns-01, dns: {{{UPDATE}, resolvers: ['192.0.2.1:53', '[::1]:53']}}}}",
        more=STORE)),
    ("a zone with an underscore", text(
        DNS.replace("acme.platform", "_acme-challenge.a") + "}", more=STORE)),
    ("a probe", text(PKI, "{name: edge, issuer: internal, common_name: a.example, "
                          "probe: {address: '127.0.0.1:8443'}}")),
]  # fmt: skip


@pytest.mark.parametrize("given", [g[1] for g in GOOD], ids=[g[0] for g in GOOD])
def test_good(given: str) -> None:
    parse_config(given, "test.yaml")


BAD = [
    ("an address", text(PKI, "{name: e, issuer: internal, common_name: a.example, "
                             "alt_names: [b.example, 10.0.0.1]}"),
     "certificates[0].alt_names[1]: 10.0.0.1 is an IP address, and no host name"),
    ("an address alone", text(PKI, "{name: e, issuer: internal, common_name: 10.0.0.1}"),
     "certificates[0].common_name: 10.0.0.1 is an IP address"),
    ("every host", text(PKI, "{name: e, issuer: internal, common_name: '*'}"),
     "certificates[0].common_name: * alone can't be certified: write *.suffix"),
    ("a wildcard over http-01", text(ACME + "}", "{name: e, issuer: public, common_name: "
                                     "a.example, alt_names: ['*.a.example']}", STORE),
     "certificates[0].alt_names[0]: *.a.example is a wildcard, which http-01 can't prove"),
    ("a wildcard over tls-alpn-01", text(ACME + ", challenge: tls-alpn-01}", "{name: e, "
                                         "issuer: public, common_name: '*.a.example'}", STORE),
     "certificates[0].common_name: *.a.example is a wildcard, which tls-alpn-01 can't prove"),
    ("no such issuer", text(PKI, "{name: e, issuer: nobody, common_name: a.example}"),
     "certificates[0].issuer: is not the name of an entry of issuers; there are: internal"),
    ("two of one name", text(f"{PKI}, {PKI}"), "the issuer 'internal' is used 2 times"),
    ("nowhere to share", text(ACME + "}"), "issuers[0]: needs certificate_store"),
    ("nowhere to share PKI's", text(PKI[:-1] + ", share: true}"), "needs certificate_store"),
    ("terms", text(ACME.replace("true", "false") + "}", more=STORE), "agree_to_terms: must be"),
    ("in the clear", text(ACME.replace("https", "http") + "}", more=STORE), "must be https"),
    ("itself", text(ACME + ", fallback: public}", more=STORE), "is not the name of another entry"),
    ("nobody", text(ACME + ", fallback: nobody}", more=STORE), "is not the name of another entry"),
    ("no CA", text(ACME + ", fallback: kv}, {name: kv, type: vault_kv, prefix: tls}", more=STORE),
     "must be a CA"),
    ("no type", text("{name: a}"), "one of: acme, vault_kv, vault_pki"),
    ("an old setting", text(PKI, "{name: e, role: edge, common_name: a.example}"),
     "certificates[0].issuer: is missing"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "said"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_bad(given: str, said: str) -> None:
    assert any(said in problem for problem in problems(given)), problems(given)


def test_nothing_is_parsed_and_ignored() -> None:
    with pytest.raises(ConfigFault):
        parse_config(text(PKI[:-1] + ", mounts: pki}"), "test.yaml")
