"""The trusted headers are believed of the edge alone, once, and in their own shape."""

import pytest

from tests.support.authorities import Ca
from tests.support.tenancy_world import A, B
from workload.settings import SettingsFault
from workload.tenancy.edge import Edge, Peer, TenantDenied

EDGE = Edge(unix_socket=True)
UNIX = Peer(unix=True)
HEADERS = [("x-tenant-id", A), ("x-user-id", "u1"), ("x-roles", "a,b"), ("x-token-id", "t1")]


def reason(edge: Edge, peer: Peer, headers: list[tuple[str, str]]) -> str:
    with pytest.raises(TenantDenied) as denied:
        edge.read(peer, headers)
    return f"{denied.value.status} {denied.value.reason}"


def test_what_the_edge_says_is_read() -> None:
    context = EDGE.read(UNIX, [*HEADERS, ("accept", "*/*"), ("accept", "x")])
    assert context == (A, "u1", ("a", "b"), "t1")
    assert EDGE.read(UNIX, [("X-Tenant-Id", A.upper())]) == (A, "", (), "")


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], "401 tenant_missing"),
        ([("x-user-id", "u1")], "401 tenant_missing"),
        ([("x-tenant-id", A), ("X-TENANT-ID", A)], "400 tenant_ambiguous"),
        ([("x-tenant-id", A), ("x-tenant-id", B)], "400 tenant_ambiguous"),
        ([("x-tenant-id", A), ("x_tenant_id", B)], "400 tenant_ambiguous"),
        ([("x.tenant.id", B)], "400 tenant_ambiguous"),
        ([("x-tenant-id", A), ("x-user-id", "a"), ("x-user-id", "b")], "400 tenant_ambiguous"),
        ([("x-tenant-id", "")], "400 tenant_malformed"),
        ([("x-tenant-id", f"{A},{B}")], "400 tenant_malformed"),
        ([("x-tenant-id", f"{A} ")], "400 tenant_malformed"),
        ([("x-tenant-id", f"{A}\n")], "400 tenant_malformed"),
        ([("x-tenant-id", "{" + A + "}")], "400 tenant_malformed"),
        ([("x-tenant-id", A.replace("-", ""))], "400 tenant_malformed"),
        ([("x-tenant-id", A.replace("0", "\u0660"))], "400 tenant_malformed"),
        ([("x-tenant-id", A), ("x-user-id", "a b")], "400 tenant_malformed"),
        ([("x-tenant-id", A), ("x-roles", "é")], "400 tenant_malformed"),
    ],
)
def test_what_it_would_not_send_is_refused(headers: list[tuple[str, str]], expected: str) -> None:
    assert reason(EDGE, UNIX, headers) == expected


@pytest.mark.parametrize(
    ("edge", "peer", "admitted"),
    [
        (Edge(unix_socket=True), Peer(unix=True), True),
        (Edge(unix_socket=True), Peer(), False),
        (Edge(unix_socket=True), Peer(address="127.0.0.1"), False),
        (Edge(loopback=True), Peer(unix=True), False),
        (Edge(loopback=True), Peer(), False),
        (Edge(loopback=True), Peer(address="127.0.0.1"), True),
        (Edge(loopback=True), Peer(address="127.8.0.1"), True),
        (Edge(loopback=True), Peer(address="::1"), True),
        (Edge(loopback=True), Peer(address="::ffff:127.0.0.1"), True),
        (Edge(loopback=True), Peer(address="::ffff:192.0.2.1"), False),
        (Edge(loopback=True), Peer(address="192.0.2.1"), False),
        (Edge(loopback=True), Peer(address="localhost"), False),
        (Edge(loopback=True), Peer(address="0.0.0.0"), False),  # noqa: S104 - an address to refuse
        (Edge(spiffe_ids=("spiffe://a/edge",)), Peer(address="127.0.0.1"), False),
        (Edge(spiffe_ids=("spiffe://a/edge",)), Peer(unix=True), False),
    ],
)
def test_the_connection_must_be_the_edges(edge: Edge, peer: Peer, admitted: bool) -> None:
    assert edge.admits(peer) is admitted
    if not admitted:
        assert reason(edge, peer, HEADERS) == "403 edge_untrusted"


def test_a_certificate_names_the_edge() -> None:
    authority = Ca("Platform CA")
    edge = Edge(spiffe_ids=("spiffe://septemcore/ns/edge/*",))
    for sans, admitted in (
        (["spiffe://septemcore/ns/edge/sa/envoy"], True),
        (["spiffe://septemcore/ns/orders/sa/api"], False),
        (["spiffe://septemcore/ns/edge/sa/envoy", "spiffe://septemcore/ns/x"], False),
    ):
        certificate, _ = authority.leaf(*sans)
        assert edge.admits(Peer(address="192.0.2.1", certificate=certificate)) is admitted
    by_dns, _ = authority.leaf(dns_names=["spiffe://septemcore/ns/edge/sa/envoy"])
    for other in (by_dns, authority.certificate):
        assert not edge.admits(Peer(certificate=other))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"spiffe_ids": ()},
        {"spiffe_ids": "spiffe://a/b"},
        {"spiffe_ids": ("edge.example",)},
        {"unix_socket": "/run/app.sock"},
        {"loopback": 1},
        {"loopback": True, "tenant_ids": "int"},
    ],
)
def test_a_setting_that_can_not_be_meant_is_refused(settings: dict[str, object]) -> None:
    with pytest.raises(SettingsFault):
        Edge(**settings)  # type: ignore[arg-type]


def test_tenants_may_be_texts() -> None:
    edge = Edge(unix_socket=True, tenant_ids="text")
    assert edge.read(UNIX, [("x-tenant-id", "org_Ab|1")]).tenant_id == "org_Ab|1"
    for wrong in ("", "a,b", "a b", "-a", "a" * 129, "ä", "a'"):
        assert reason(edge, UNIX, [("x-tenant-id", wrong)]) == "400 tenant_malformed"
