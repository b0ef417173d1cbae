"""The rules that span settings: what one says that another contradicts."""

import pytest

from sidecar.config import parse_config
from tests.config.documents import MINIMAL, problems

ISSUER = "{name: ca, type: vault_pki, role: edge}"
CERTIFICATE = "{name: edge, issuer: ca, common_name: a.example}"
SDS = "listen: {sds: {address: 'unix:/run/sds'}}\n"
TENANT = "7f1c9a52-3f0e-4c8e-9f3b-0d7a8f5d2c11"


def tenants(*pairs: tuple[str, str]) -> str:
    listed = (f"  - {{tenant_id: {tenant}, domain: {domain}}}\n" for tenant, domain in pairs)
    return MINIMAL + "tenants:\n" + "".join(listed)


BAD: list[tuple[str, str, str]] = [
    (
        "admin in the open",
        MINIMAL + "listen: {admin: {address: '0.0.0.0:9102'}}\n",
        "listen.admin.address: must be on loopback",
    ),
    (
        "workers on a port that is taken",
        MINIMAL + "listen: {authz: {workers: 3}}\n",
        "listen.authz.workers: number 2 would listen on 127.0.0.1:9102, which is listen.admin",
    ),
    (
        "workers on every address",
        MINIMAL + "listen: {authz: {address: '0.0.0.0:9100', workers: 3}}\n",
        "number 2 would listen on 0.0.0.0:9102, which is listen.admin",
    ),
    (
        "a worker on a socket that is taken",
        MINIMAL + "listen: {authz: {address: 'unix:/run/a.sock', workers: 2}, "
        "sds: {address: 'unix:/run/a-1.sock'}}\n",
        "number 1 would listen on unix:/run/a-1.sock, which is listen.sds",
    ),
    (
        "workers past the last port",
        MINIMAL + "listen: {authz: {address: '127.0.0.1:65535', workers: 2}}\n",
        "listen.authz.workers: need the ports up to 127.0.0.1:65536",
    ),
    (
        "workers on any port",
        MINIMAL + "listen: {authz: {address: '127.0.0.1:0', workers: 2}}\n",
        "listen.authz.address: needs a port",
    ),
    (
        "workers of the other engine",
        MINIMAL + "listen: {authz: {address: '127.0.0.1:9110', workers: 2, engine: grpcio}}\n",
        "listen.authz.engine: must be h2",
    ),
    ("http to a far Vault", MINIMAL.replace("https://vault", "http://vault"), "must be https"),
    (
        "a port past the last",
        MINIMAL + "listen: {authz: {address: '127.0.0.1:65536'}}\n",
        "listen.authz.address: must have a port of at most 65535",
    ),
    (
        "certificates that nobody serves",
        MINIMAL + f"issuers: [{ISSUER}]\ncertificates: [{CERTIFICATE}]\n",
        "listen.sds: is missing, and certificates need it to be served",
    ),
    (
        "secrets of two kinds that nobody serves",
        MINIMAL + "trust_bundles: [{name: roots}]\ngeneric_secrets: [{name: a, path: b}]\n",
        "listen.sds: is missing, and trust bundles and generic secrets need it to be served",
    ),
    (
        "an audit log that crosses the network",
        MINIMAL + "audit: {to: {sink: otlp, url: 'http://collector.example/v1/logs'}}\n",
        "audit.to.url: must be https: audit lines would cross the network",
    ),
    (
        "alerts that cross the network",
        MINIMAL + "alerts: {webhook: {url: 'http://alerts.example/', secret_file: /s}}\n",
        "alerts.webhook.url: must be https: alerts would cross the network",
    ),
    (
        "a token issuer twice",
        MINIMAL.replace("issuers: [", "issuers: [{issuer: https://iam.example, audiences: [b]}, "),
        "tokens.issuers: the issuer 'https://iam.example' is used 2 times",
    ),
    (
        "a certificate issuer twice",
        MINIMAL + f"issuers: [{ISSUER}, {ISSUER}]\n",
        "issuers: the issuer 'ca' is used 2 times",
    ),
    (
        "a tenant twice",
        tenants((TENANT, "a.example"), (TENANT, "b.example")),
        f"tenants: the tenant '{TENANT}' is used 2 times",
    ),
    (
        "a domain of two tenants",
        tenants((TENANT, "a.example"), (TENANT.replace("7", "8"), "a.example")),
        "tenants: the domain 'a.example' is used 2 times",
    ),
    (
        "ticket keys that change before all have read them",
        MINIMAL + SDS + "session_ticket_keys: [{name: t, path: t, rotate_seconds: 300, "
        "poll_seconds: 60.1}]\n",
        "session_ticket_keys[0].rotate_seconds: must be five times poll_seconds or more",
    ),
]


@pytest.mark.parametrize(("text", "said"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_problems_are_named_with_their_place(text: str, said: str) -> None:
    (problem,) = problems(text)
    assert said in problem


def test_an_address_of_two_listeners_is_a_problem_of_both() -> None:
    assert problems(MINIMAL + "listen: {admin: {address: '127.0.0.1:9100'}}\n") == [
        "line 8: listen.authz.address: is also that of listen.admin",
        "line 8: listen.admin.address: is also that of listen.authz",
    ]


@pytest.mark.parametrize("address", ["0.0.0.0:9102", "[::]:9102", "localhost:9102"])
def test_a_port_on_every_address_is_another_listeners_too(address: str) -> None:
    assert problems(MINIMAL + f"listen: {{probes: {{address: '{address}'}}}}\n") == [
        "line 8: listen.admin.address: is also that of listen.probes",
        "line 8: listen.probes.address: is also that of listen.admin",
    ]


GOOD: list[tuple[str, str]] = [
    (
        "any port, twice",
        "listen: {authz: {address: '127.0.0.1:0'}, admin: {address: '127.0.0.1:0'}}",
    ),
    ("the last port", "listen: {authz: {address: '127.0.0.1:65535'}}"),
    ("users of a Unix socket", "listen: {sds: {address: 'unix:/run/sds', peer_uids: [101]}}"),
    ("workers below the others", "listen: {authz: {address: '127.0.0.1:9099', workers: 3}}"),
    ("workers at another address", "listen: {authz: {address: '10.0.0.1:9100', workers: 3}}"),
    ("workers beside Unix sockets", "listen: {authz: {workers: 2}, sds: {address: 'unix:/s'}}"),
    ("workers up to the last port", "listen: {authz: {address: '127.0.0.1:65534', workers: 2}}"),
    ("an audit log on this machine", "audit: {to: {sink: otlp, url: 'http://127.0.0.1:4318/'}}"),
    ("alerts on this machine", "alerts: {webhook: {url: 'http://localhost/', secret_file: /s}}"),
    (
        "ticket keys that all have read",
        SDS + "session_ticket_keys: [{name: t, path: t, rotate_seconds: 300, poll_seconds: 60}]",
    ),
]


@pytest.mark.parametrize("more", [g[1] for g in GOOD], ids=[g[0] for g in GOOD])
def test_what_agrees_loads(more: str) -> None:
    parse_config(f"{MINIMAL}{more}\n", "test.yaml")
