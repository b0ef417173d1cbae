"""No spelling of a trusted name reaches an application: Envoy removes it, asked or not."""

import pytest

from sidecar.config.overrides import OVERRIDES
from sidecar.headers.tenant import TRUSTED
from tests.applications.conftest import UNCHECKED
from tests.applications.edge import Edge, folded
from tests.applications.servers import NAMES, Applications

pytestmark = pytest.mark.real
BYTES = "-.!#$%&'*+^`|~"
"""Every byte of a field name that is no letter, no digit and no underscore (RFC 9110 §5.6.2)."""
FORGED = "forged-by-the-client"


def spelt(name: str, byte: str) -> str:
    return name.replace("-", byte)


@pytest.mark.parametrize("byte", BYTES)
@pytest.mark.parametrize("name", NAMES)
def test_no_spelling_of_a_trusted_name_arrives(
    name: str, byte: str, applications: Applications, edge: Edge
) -> None:
    applications.get(name)
    headers = [(spelt(each, byte), FORGED) for each in TRUSTED]
    headers += [(spelt(each, byte).title(), FORGED) for each in TRUSTED]
    without = edge.ask(name, f"{UNCHECKED}/x", headers)
    public = edge.ask(name, "/public/x", headers)
    signed_in = edge.ask(name, "/api/x", [*headers, edge.token(roles=None)])
    for reply in (without, public, signed_in):
        assert reply.status == 200, reply.body
        assert FORGED not in reply.body
    if name != "nginx":  # which tells of the names that it was asked for, present or not
        assert not {*TRUSTED} & (without.names | public.names)
        assert {*TRUSTED} & signed_in.names == {"x-tenant-id", "x-user-id", "x-token-id"}


MIXED = [
    ("two bytes in one name", "x.tenant-id"),
    ("two other bytes", "x-tenant~id"),
    ("capitals", "X.Tenant.ID"),
    ("a byte before it", ".x-tenant-id"),
    ("a byte after it", "x-tenant-id."),
    ("doubled", "x--tenant..id"),
    ("the proxy of the process itself", "proxy"),
    ("the length, again", "content.length"),
    ("the type, again", "content.type"),
    ("the transfer coding, again", "transfer.encoding"),
    ("the client's address", "x.forwarded.for"),
    ("the scheme", "x.forwarded.proto"),
    ("the client's certificate", "x.forwarded.client.cert"),
    ("the client's certificate, as it is", "x-forwarded-client-cert"),
    ("the host", "x.forwarded.host"),
    ("the method", "x.http.method.override"),
    ("a credential of the proxy's", "proxy.authorization"),
    ("what only Envoy says", "x.request.id"),
    ("what only Envoy says, to the intake", "x.septem.client"),
]


@pytest.mark.parametrize("sent", [row[1] for row in MIXED], ids=[row[0] for row in MIXED])
@pytest.mark.parametrize("name", ["php", "lighttpd", "wsgiref", "puma", "node"])
def test_a_name_that_is_some_servers_spelling_of_another_does_not_arrive(
    name: str, sent: str, applications: Applications, edge: Edge
) -> None:
    applications.get(name)
    for path in (f"{UNCHECKED}/x", "/public/x"):
        reply = edge.ask(name, path, [(sent, FORGED)])
        assert reply.status == 200, reply.body
        assert FORGED not in reply.body


@pytest.mark.parametrize("sent", ["x_tenant_id", "X_Tenant-Id", "any_thing"])
def test_a_name_with_an_underscore_is_refused(sent: str, edge: Edge) -> None:
    """The one byte that Envoy has a setting of its own for: it says so to the client."""
    reply = edge.ask("wsgiref", f"{UNCHECKED}/x", [(sent, FORGED)])
    assert reply.status == 400
    assert reply.told == {}


@pytest.mark.parametrize("sent", [":method", "x-tenant-id:", "x tenant-id", "x-tenant\x00id"])
def test_what_is_no_name_is_refused_by_envoy(sent: str, edge: Edge) -> None:
    reply = edge.ask("wsgiref", f"{UNCHECKED}/x", [(sent, FORGED)])
    assert FORGED not in reply.body
    assert reply.status in {200, 400}


@pytest.mark.parametrize("name", NAMES)
def test_ordinary_headers_arrive(name: str, applications: Applications, edge: Edge) -> None:
    applications.get(name)
    sent = [("x-api-version", "7"), ("idempotency-key", "k"), ("x1", "1"), ("accept", "text/html")]
    reply = edge.ask(name, "/public/x", sent)
    assert reply.status == 200
    if name != "nginx":
        assert {each for each, _ in sent} <= reply.names


def test_over_http2_too(edge: Edge) -> None:
    headers = [(spelt(each, byte), FORGED) for each in TRUSTED[:3] for byte in "-.~!"]
    reply = edge.ask_http2("wsgiref", f"{UNCHECKED}/x", headers)
    assert reply.status == 200
    assert FORGED not in reply.body
    assert not {*TRUSTED} & reply.names


def test_every_override_is_removed_in_every_spelling(edge: Edge) -> None:
    """With its capitals, and the bytes that PHP and lighttpd fold."""
    names = [each.name for each in OVERRIDES]
    for start in range(0, len(names), 20):
        some = names[start : start + 20]
        headers = [(spelt(each, byte), FORGED) for each in some for byte in "-.~"]
        reply = edge.ask("wsgiref", f"{UNCHECKED}/x", headers)
        assert reply.status == 200
        assert FORGED not in reply.body
        assert not set(some) & reply.names


def test_folding_is_what_servers_do() -> None:
    assert folded("HTTP_X_TENANT_ID") == folded("X.Tenant~ID") == "x-tenant-id"
