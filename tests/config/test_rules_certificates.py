"""What an issuer can't give is refused by the check of the configuration."""

import pytest

from sidecar.config import parse_config
from tests.config.documents import problems
from tests.config.test_certificates import ACME, DNS, HOSTED, PKI, STORE, UPDATE, text

RSA = PKI[:-1] + ", key: {type: rsa, bits: 256}}"
PROBED = (
    "{{name: e, issuer: internal, common_name: a.example, "
    "probe: {{address: '127.0.0.1:1', roots: {}}}}}"
)
BUNDLE = "trust_bundles: [{name: own}]\n"
BAD = [
    ("bits of another type", text(RSA), "issuers[0].key.bits", "2048, 3072, 4096"),
    ("an address over ACME",
     text(ACME + "}", "{name: e, issuer: public, common_name: a.example, "
                      "ip_addresses: [10.0.0.1]}", STORE),
     "certificates[0].issuer", "ip_addresses needs vault_pki"),
    ("an address as a name", text(PKI, "{name: e, issuer: internal, common_name: 10.0.0.1}"),
     "certificates[0].common_name", "write it under ip_addresses"),
    ("an address that is none",
     text(PKI, "{name: e, issuer: internal, ip_addresses: [10.0.0.300]}"),
     "certificates[0].ip_addresses", "'10.0.0.300' is no IP address"),
    ("no name at all", text(PKI, "{name: e, issuer: internal}"),
     "certificates[0]", "needs common_name, or spiffe_id, or ip_addresses"),
    ("dns-01 without who writes", text(ACME + ", challenge: dns-01}", more=STORE),
     "issuers[0].dns", "is missing: dns-01 needs dns.update"),
    ("dns for http-01", text(f"{ACME}, dns: {{{UPDATE}}}}}", more=STORE),
     "issuers[0].dns", "is for challenge: dns-01, and the challenge is http-01"),
    ("a resolver's name", text(f"{ACME}, challenge: dns-01, dns: {{{UPDATE}, "
                               "resolvers: ['192.0.2.1:53', 'dns.example:53']}}", more=STORE),
     "issuers[0].dns.resolvers[1]", "must be an IP address with a port"),
    ("a resolver's port", text(f"{ACME}, challenge: dns-01, dns: {{{UPDATE}, "
                               "resolvers: ['192.0.2.1:0']}}", more=STORE),
     "issuers[0].dns.resolvers[0]", "must be an IP address with a port"),
    ("a server's port", text(DNS.replace(":53'", ":65536'") + "}", more=STORE),
     "issuers[0].dns.update.server", "must have a port of at most 65535"),
    ("a server without a port", text(DNS.replace(":53'", "'") + "}", more=STORE),
     "issuers[0].dns.update.server", "host:port"),
    ("no zone", text(DNS.replace("[acme.platform.example]", "[]") + "}", more=STORE),
     "issuers[0].dns.update.zones", "a list of 1 to 64 items"),
    ("a zone in capitals", text(DNS.replace("[acme.", "[Acme.") + "}", more=STORE),
     "issuers[0].dns.update.zones[0]", "in lower case"),
    ("acme-dns in the clear",
     text(f"{ACME}, challenge: dns-01, dns: {{{HOSTED.replace('https', 'http')}}}}}", more=STORE),
     "issuers[0].dns.update.url", "must be https"),
    ("an address over dns-01",
     text(DNS + "}", "{name: e, issuer: public, ip_addresses: [10.0.0.1]}", STORE),
     "certificates[0].issuer", "ip_addresses needs vault_pki"),
    ("a probe by a bundle that is none", text(PKI, PROBED.format("callers"), BUNDLE),
     "certificates[0].probe.roots", "must be public or the name of a trust bundle; there are: own"),
    ("a probe by one of two", text(PKI, PROBED.format("public"), BUNDLE.replace("own", "public")),
     "certificates[0].probe.roots", "may be the public CAs or the trust bundle of that name"),
    ("a service", text(ACME + "}", "{name: e, issuer: public, spiffe_id: 'spiffe://a/b'}", STORE),
     "certificates[0].issuer", "spiffe_id needs vault_pki"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "where", "said"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_refused(given: str, where: str, said: str) -> None:
    assert any(where in each and said in each for each in problems(given)), problems(given)


GOOD = [
    text(PKI, PROBED.format("own"), BUNDLE),
    text(PKI, PROBED.format("public"), BUNDLE),
    text(
        PKI[:-1] + ", key: {type: rsa}}", "{name: e, issuer: internal, common_name: '*.a.example'}"
    ),
    text(PKI, "{name: e, issuer: internal, ip_addresses: [10.0.0.1, '2001:DB8::1']}"),
    text(PKI[:-1] + ", key: {type: ec, bits: 384}}"),
    text(ACME + ", key: {type: rsa, bits: 4096}}", more=STORE),
]


@pytest.mark.parametrize("given", GOOD)
def test_good(given: str) -> None:
    parse_config(given, "test.yaml")
