"""``listen.metrics``: over a network everybody who scrapes shows a certificate."""

import pytest

from sidecar.config import parse_config
from sidecar.config.rules_warnings import config_warnings
from tests.config.documents import MINIMAL, problems

FILES = ("tls: {source: files, certificate_file: /c, key_file: /k, client_ca_file: /ca, "
         "clients: [prom.internal]}")  # fmt: skip
MANAGED = "tls: {source: managed, certificate: metrics, trust_bundle: scrapers}"
SERVED = (
    "issuers: [{name: ca, type: vault_pki, role: service}]\n"
    "certificates: [{name: metrics, issuer: ca, common_name: edge.internal}]\n"
)


def text(metrics: str, peers: str = ", peers: [prom.internal]", served: str = SERVED) -> str:
    bundles = f"trust_bundles: [{{name: scrapers{peers}}}]\n"
    return f"{MINIMAL}listen: {{sds: {{}}, metrics: {{{metrics}}}}}\n{served}{bundles}"


BAD: list[tuple[str, str, str]] = [
    ("in the clear", text("address: '0.0.0.0:9105'"), "listen.metrics.tls: is missing"),
    ("on a Unix socket", text(f"address: 'unix:/run/m', {FILES}"),
     "listen.metrics.address: must be host:port, because it speaks TLS"),
    ("on the admin port", text(f"address: '127.0.0.1:9102', {FILES}"),
     "listen.metrics.address: is also that of listen.admin"),
    ("a port that is none", text(f"address: '127.0.0.1:99999', {FILES}"),
     "listen.metrics.address: must have a port of at most 65535"),
    ("neither files nor managed", text("tls: {certificate: metrics, trust_bundle: scrapers}"),
     "listen.metrics.tls"),
    ("no client CA", text("tls: {source: files, certificate_file: /c, key_file: /k}"),
     "listen.metrics.tls.client_ca_file: is missing"),
    ("no trust bundle", text("tls: {source: managed, certificate: metrics}"),
     "listen.metrics.tls.trust_bundle: is missing"),
    ("a certificate that is none", text(MANAGED.replace("certificate: metrics", "certificate: x")),
     "listen.metrics.tls.certificate: is not the name of an entry of certificates; there are: m"),
    ("a bundle that is none", text(MANAGED.replace("scrapers", "envoys")),
     "listen.metrics.tls.trust_bundle: is not the name of an entry of trust_bundles; there are: s"),
    ("an address that is none", text(FILES.replace("prom.internal", "10.0.0.999")),
     "listen.metrics.tls.clients[0]: 10.0.0.999 is neither an IP address nor a DNS name"),
    ("TLS 1.1", text(FILES.replace("source: files", "source: files, min_version: '1.1'")),
     "listen.metrics.tls.min_version"),
]  # fmt: skip


@pytest.mark.parametrize(("document", "problem"), [r[1:] for r in BAD], ids=[r[0] for r in BAD])
def test_what_would_show_metrics_to_somebody_unknown_is_refused(
    document: str, problem: str
) -> None:
    assert any(problem in each for each in problems(document)), problems(document)


@pytest.mark.parametrize("document", [text(FILES), text(MANAGED)], ids=["files", "managed"])
def test_good(document: str) -> None:
    listen = parse_config(document, "test").listen.metrics
    assert listen is not None
    assert (listen.address, listen.tls.min_version) == ("0.0.0.0:9105", "1.3")


@pytest.mark.parametrize(("peers", "warned"), [(", peers: [prom.internal]", False), ("", True)])
def test_a_bundle_that_lets_everybody_of_its_roots_scrape_is_warned_of(
    peers: str, warned: bool
) -> None:
    config = parse_config(text(MANAGED, peers), "test")
    found = [each.path for each in config_warnings(config) if "listen.metrics" in each.message]
    assert found == ([("trust_bundles", 0, "peers")] if warned else [])
