"""What resolvers say of a challenge's name: a real one, and such as mislead."""

import socket

import dns.asyncresolver
import dns.flags
import dns.message
import dns.name
import dns.resolver
import dns.rrset
import pytest
from dns.name import Name

from sidecar.certificates.challenges.dns01 import resolver as module
from sidecar.certificates.challenges.dns01.faults import Dns01Fault
from sidecar.certificates.challenges.dns01.propagation import NameServer
from sidecar.certificates.challenges.dns01.resolver import (
    MAX_ADDRESSES,
    MAX_HOPS,
    ChallengeResolver,
)
from tests.support.dns_servers import PRIMARY, SECONDARY, ZONE, DnsServers
from tests.support.odd_dns import Reply, odd_dns, trickle


def name(text: str) -> Name:
    return dns.name.from_text(text, dns.name.root)


@pytest.mark.real
async def test_the_servers_of_a_zone(dns_servers: DnsServers) -> None:
    resolver = ChallengeResolver([dns_servers.resolver])
    assert await resolver.zone_of(name(f"a.b.c.d.e.f.{ZONE}")) == name(ZONE)
    assert await resolver.zone_of(name(ZONE)) == name(ZONE)
    assert await resolver.servers_of(name(ZONE)) == [
        NameServer(f"ns1.{ZONE}", PRIMARY),
        NameServer(f"ns2.{ZONE}", SECONDARY),
    ]


@pytest.mark.real
async def test_a_second_resolver_where_the_first_is_dead(
    dns_servers: DnsServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TRY_SECONDS", 0.2)
    start = name("_acme-challenge.shop.customer.test")
    with odd_dns(lambda _wire: []) as port:
        resolver = ChallengeResolver([f"127.0.0.1:{port}", dns_servers.resolver])
        assert await resolver.follow(start) == name(f"shop.customer.test.{ZONE}")


def answer_with(*records: str, add: int = 0) -> Reply:
    """Answer every question with these records: ``{name}`` is the name that was asked."""

    def reply(wire: bytes) -> list[bytes]:
        query = dns.message.from_wire(wire)
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA | dns.flags.TC * add
        for each in records:
            owner, kind, data = each.format(name=query.question[0].name).split(" ", 2)
            response.answer.append(dns.rrset.from_text(owner, 1, "IN", kind, data))
        return [response.to_wire()]

    return reply


def garbage(wire: bytes) -> list[bytes]:
    """Answer with noise, with another's id, and with another question."""
    other = dns.message.make_response(dns.message.make_query("other.test", "A"))
    return [b"noise", b"\0\0" + wire[2:], other.to_wire(), wire[:20]]


ODD: list[tuple[str, Reply, str, str]] = [
    ("silence", lambda _wire: [], "resolver", "no resolver answers for _acme-challenge.a.test"),
    ("garbage", garbage, "resolver", "no resolver answers"),
    ("an endless name", answer_with("{name} CNAME x.{name}"), "cname", f"more than {MAX_HOPS}"),
    ("a cut answer", answer_with(add=1), "resolver", "resolver"),
]


@pytest.mark.parametrize(("reply", "reason", "said"), [o[1:] for o in ODD], ids=[o[0] for o in ODD])
async def test_a_resolver_that_misleads(
    reply: Reply, reason: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "QUERY_SECONDS", 0.6)
    monkeypatch.setattr(module, "TRY_SECONDS", 0.3)
    with odd_dns(reply, trickle) as port:
        resolver = ChallengeResolver([f"127.0.0.1:{port}"])
        with pytest.raises(Dns01Fault) as raised:
            await resolver.follow(name("_acme-challenge.a.test"))
    assert raised.value.reason == reason
    assert said in str(raised.value)


async def test_a_cname_beside_another_name_is_not_followed() -> None:
    """Of an answer only what it says of the name itself counts."""
    with odd_dns(answer_with("other.test. CNAME evil.test.")) as port:
        resolver = ChallengeResolver([f"127.0.0.1:{port}"])
        start = name("_acme-challenge.a.test")
        assert await resolver.follow(start) == start


async def test_a_soa_of_another_name_is_no_zone() -> None:
    soa = "elsewhere.test. SOA ns.elsewhere.test. h.elsewhere.test. 1 1 1 1 1"
    with odd_dns(answer_with(soa)) as port:
        resolver = ChallengeResolver([f"127.0.0.1:{port}"])
        with pytest.raises(Dns01Fault, match="no zone is found for a"):
            await resolver.zone_of(name("a.b.test"))


async def test_a_crowd_of_servers_is_bounded() -> None:
    """Sixteen servers, two of whose addresses are asked at most, whatever the zone lists."""
    servers = [f"{{name}} NS ns{n}.test." for n in range(40)]
    addresses = [f"{{name}} A 192.0.2.{n}" for n in range(60)]

    def reply(wire: bytes) -> list[bytes]:
        kind = dns.message.from_wire(wire).question[0].rdtype.name
        return answer_with(*(servers if kind == "NS" else addresses))(wire)

    with odd_dns(reply) as port:
        resolver = ChallengeResolver([f"127.0.0.1:{port}"])
        assert len(await resolver.servers_of(name("crowd.test"))) == MAX_ADDRESSES


NO_SERVERS = [
    ("no NS records", answer_with(), "has no NS records"),
    ("no addresses", answer_with("{name} NS ns1.test."), "has an address: ns1.test"),
]


@pytest.mark.parametrize(("reply", "said"), [n[1:] for n in NO_SERVERS])
async def test_a_zone_without_servers(reply: Reply, said: str) -> None:
    with odd_dns(reply) as port:
        resolver = ChallengeResolver([f"127.0.0.1:{port}"])
        with pytest.raises(Dns01Fault, match=said) as raised:
            await resolver.servers_of(name("a.test"))
    assert raised.value.reason == "zone"


def test_without_resolvers_the_systems_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_file(*_arguments: object) -> None:
        raise dns.resolver.NoResolverConfiguration

    monkeypatch.setattr(dns.asyncresolver.Resolver, "read_resolv_conf", no_file)
    with pytest.raises(Dns01Fault, match=r"set issuers\[\].dns.resolvers"):
        ChallengeResolver([])


def test_ipv6_resolvers() -> None:
    given = ChallengeResolver(["[::1]:5353"])
    assert str(given._resolver.nameservers[0]) == "Do53:::1@5353"
    assert socket.inet_pton(socket.AF_INET6, "::1")
