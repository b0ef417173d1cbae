"""What an issuer can't give is refused by the check of the configuration."""

import pytest

from sidecar.config import parse_config
from tests.config.documents import problems
from tests.config.test_certificates import ACME, PKI, STORE, text

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
