"""The sections of what is served over SDS beside certificates."""

from pathlib import Path

import pytest
import yaml

from sidecar.config import parse_config
from sidecar.config.secrets import GenericSecret, KvTrust, PkiTrust, SessionTicketKeys, TrustBundle
from tests.config.documents import MINIMAL, problems
from workload.x509.identities import is_id_pattern

SDS = MINIMAL + "listen: {sds: {address: 'unix:/run/sds.sock'}}\n"
ISSUER = "issuers: [{name: i, type: vault_pki, role: r}]\n"
PIN = "A" * 43 + "="


def test_what_stands_in_them() -> None:
    config = parse_config(
        SDS
        + "trust_bundles:\n"
        + f"  - {{name: a, peers: ['spiffe://d/ns/*', db.internal], spki_pins: ['{PIN}']}}\n"
        + "  - {name: b, roots: {source: vault_kv, path: trust/roots, crl_field: crl}}\n"
        + "session_ticket_keys: [{name: c, path: tls/tickets}]\n"
        + "generic_secrets: [{name: d, path: edge/oauth}]\n",
        "test.yaml",
    )
    assert config.trust_bundles == (
        TrustBundle(
            name="a", roots=PkiTrust(), peers=("spiffe://d/ns/*", "db.internal"), spki_pins=(PIN,)
        ),
        TrustBundle(name="b", roots=KvTrust(path="trust/roots", crl_field="crl")),
    )
    assert config.session_ticket_keys == (SessionTicketKeys(name="c", path="tls/tickets"),)
    assert config.generic_secrets == (GenericSecret(name="d", path="edge/oauth"),)


def test_the_example_shows_the_defaults() -> None:
    text = (Path(__file__).parents[2] / "config.example.yaml").read_text()
    block = text[text.index("# trust_bundles:") : text.index("# Certificates for domains that")]
    lines = [
        line[2:] for line in block.splitlines() if not line.startswith("# ") or line[2] in " tsg"
    ]
    found = yaml.safe_load("\n".join(lines))
    config = parse_config(SDS + yaml.safe_dump(found), "test.yaml")
    default = TrustBundle(name="platform")
    assert config.trust_bundles[0].roots == default.roots
    assert config.trust_bundles[0].poll_seconds == default.poll_seconds
    assert config.session_ticket_keys == (SessionTicketKeys(name="tickets", path="tls/tickets"),)
    assert config.generic_secrets == (GenericSecret(name="oauth-client", path="edge/oauth"),)


BAD = [
    ("nobody to serve it", MINIMAL + "generic_secrets: [{name: a, path: b}]\n",
     "listen.sds: is missing, and generic secrets need it to be served"),
    ("one name for two kinds", SDS + "trust_bundles: [{name: a}]\n"
     "generic_secrets: [{name: a, path: b}]\n", "generic_secrets[0].name: is already the name"),
    ("one name for two of a kind", SDS + "trust_bundles: [{name: a}, {name: a}]\n",
     "trust_bundles[1].name: is already the name of another"),
    ("a certificate's name", SDS + ISSUER + "certificates: "
     "[{name: a, issuer: i, common_name: a.example}]\n"
     "trust_bundles: [{name: a}]\n", "trust_bundles[0].name: is already the name of another"),
    ("a certificate for nobody", SDS + ISSUER + "certificates: [{name: a, issuer: i}]\n",
     "certificates[0]: needs common_name, or spiffe_id"),
    ("more names without a first", SDS + ISSUER + "certificates: [{name: a, issuer: i, "
     "spiffe_id: 'spiffe://d/a', alt_names: [b.example]}]\n", "without a common_name"),
    ("a trust domain that is nobody's identity", SDS + ISSUER + "certificates: [{name: a, "
     "issuer: i, spiffe_id: 'spiffe://d'}]\n", "certificates[0].spiffe_id"),
    ("an identity of another scheme", SDS + ISSUER + "certificates: [{name: a, "
     "issuer: i, spiffe_id: 'https://d/a'}]\n", "certificates[0].spiffe_id"),
    ("a pin of another length", SDS + "trust_bundles: [{name: a, spki_pins: [AAAA]}]\n",
     "spki_pins[0]"),
    ("no mounts", SDS + "trust_bundles: [{name: a, roots: {source: vault_pki, mounts: []}}]\n",
     "mounts"),
    ("a wildcard in the middle", SDS + "trust_bundles: [{name: a, peers: ['spiffe://d/*/x']}]\n",
     "peers[0]"),
    ("keys that rotate before all have read them", SDS + "session_ticket_keys: "
     "[{name: a, path: b, rotate_seconds: 400, poll_seconds: 100}]\n", "five times poll_seconds"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "said"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_problems_are_named_with_their_place(text: str, said: str) -> None:
    assert any(said in problem for problem in problems(text)), problems(text)


@pytest.mark.parametrize("crl", [False, True, "where_there"])
def test_crls_are_read_or_not_or_where_there_are_any(crl: bool | str) -> None:
    written = str(crl).lower()
    roots = f"{{source: vault_pki, mounts: [pki], crl: {written}}}"
    config = parse_config(SDS + f"trust_bundles: [{{name: a, roots: {roots}}}]\n", "test.yaml")
    assert config.trust_bundles[0].roots == PkiTrust(crl=crl)  # type: ignore[arg-type]


PEERS = [
    ("spiffe://d/ns/sa", True), ("spiffe://d/*", True), ("db.internal", True),
    ("spiffe://d", False), ("spiffe://d//x", False), ("spiffe://d/../x", False),
    ("spiffe://d/x/", False), ("spiffe://d/%2e", False), ("spiffe://D/x", False),
    ("spiffe://d/x*", False), ("https://d/x", False),
]  # fmt: skip


@pytest.mark.parametrize(("peer", "valid"), PEERS)
def test_a_peer_is_one_that_the_rules_of_identities_know(peer: str, valid: bool) -> None:
    document = SDS + f"trust_bundles: [{{name: a, peers: ['{peer}']}}]\n"
    if valid:
        parse_config(document, "test.yaml")
    else:
        assert "peers[0]" in "".join(problems(document))
    assert is_id_pattern(peer) is (valid and peer.startswith("spiffe:"))
