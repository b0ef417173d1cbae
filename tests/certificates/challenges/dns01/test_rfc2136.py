"""Dynamic updates at a real BIND and a real Knot: what they refuse, and what is no answer."""

import base64
import time
from collections.abc import Callable
from types import SimpleNamespace

import dns.message
import dns.name
import pytest
from dns.name import Name

from sidecar.certificates.challenges.dns01 import rfc2136 as module
from sidecar.certificates.challenges.dns01.faults import Dns01Fault
from sidecar.certificates.challenges.dns01.names import TxtRecord
from sidecar.certificates.challenges.dns01.rfc2136 import Rfc2136Writer
from sidecar.config.dns01 import Rfc2136Update
from sidecar.config.vault import VaultEntry
from tests.certificates.challenges.dns01.conftest import WRITABLE
from tests.support.dns_servers import KEY, ZONE, DnsServers
from tests.support.fleet_kv import MemoryKv
from tests.support.odd_dns import odd_dns, trickle

OTHER_SECRET = base64.b64encode(b"another secret of thirty-two byte").decode()


def name(text: str) -> Name:
    return dns.name.from_text(text, dns.name.root)


def record(zone: str = ZONE, host: str = "refused") -> TxtRecord:
    where = name(f"_acme-challenge.{host}.{zone}")
    return TxtRecord(f"{host}.{zone}", where, where, name(zone), b"v" * 43)


def writer(kv: MemoryKv, server: str) -> Rfc2136Writer:
    place = VaultEntry(path="septem/dns/tsig")
    return Rfc2136Writer(Rfc2136Update(server=server, zones=WRITABLE, tsig=place), kv)


async def refused(kv: MemoryKv, server: str, what: TxtRecord) -> Dns01Fault:
    given = writer(kv, server)
    await given.begin()
    with pytest.raises(Dns01Fault) as raised:
        await given.add(what)
    assert server in str(raised.value)
    assert KEY["secret"] not in str(raised.value)
    return raised.value


KEYS = [
    ("an unknown key", {"name": "nobody"}, "does not take the key nobody (BADKEY)"),
    ("another secret", {"secret": OTHER_SECRET}, "another secret or algorithm for the key sidecar"),
]


@pytest.mark.real
@pytest.mark.parametrize("is_knot", [False, True], ids=["BIND", "Knot"])
@pytest.mark.parametrize(("change", "said"), [k[1:] for k in KEYS], ids=[k[0] for k in KEYS])
async def test_a_wrong_key(
    dns_servers: DnsServers, kv: MemoryKv, change: dict[str, str], said: str, *, is_knot: bool
) -> None:
    kv.put("septem/dns/tsig", {**KEY, **change})
    server = dns_servers.knot_address if is_knot else dns_servers.primary_address
    fault = await refused(kv, server, record("knot.test" if is_knot else ZONE))
    assert fault.reason == "key"
    assert said in str(fault)


@pytest.mark.real
@pytest.mark.parametrize("hours", [-1, 1])
async def test_a_clock_that_is_wrong(
    dns_servers: DnsServers, kv: MemoryKv, hours: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    skewed = SimpleNamespace(time=lambda: time.time() + hours * 3600)
    monkeypatch.setattr("dns.message.time", skewed)
    fault = await refused(kv, dns_servers.primary_address, record())
    assert fault.reason == "key"
    assert "(BADTIME): set both by NTP" in str(fault)


ZONES = [
    ("a zone of another server", "foreign.test", "zone", "answers NOTAUTH to the update"),
    ("a zone that nobody may write", "customer.test", "key", "name it in the zone's acl"),
]


@pytest.mark.real
@pytest.mark.parametrize(
    ("zone", "reason", "said"), [z[1:] for z in ZONES], ids=[z[0] for z in ZONES]
)
async def test_a_zone_that_is_not_taken(
    dns_servers: DnsServers, kv: MemoryKv, zone: str, reason: str, said: str
) -> None:
    is_elsewhere = zone == "foreign.test"
    server = dns_servers.primary_address if is_elsewhere else dns_servers.knot_address
    fault = await refused(kv, server, record(zone))
    assert (fault.reason, said in str(fault)) == (reason, True), fault


@pytest.mark.real
async def test_a_server_by_its_name(dns_servers: DnsServers, kv: MemoryKv) -> None:
    """``localhost`` may have two addresses, of which BIND listens on one."""
    given = writer(kv, f"localhost:{dns_servers.port}")
    await given.begin()
    await given.add(record(host="by-name"))
    await given.remove(record(host="by-name"))
    await given.remove(record(host="by-name"))  # a second time, when it is gone


def unsigned(query: bytes) -> bytes:
    asked = dns.message.from_wire(query, keyring=False)
    return dns.message.make_response(asked).to_wire()


def over_tcp(answer: Callable[[bytes], bytes]) -> Callable[[object], None]:
    def serve(connection: object) -> None:
        raw = connection.recv(65_535)  # type: ignore[attr-defined]
        wire = answer(raw[2:])
        connection.sendall(len(wire).to_bytes(2, "big") + wire)  # type: ignore[attr-defined]

    return serve


ODD = [
    ("an answer without a signature", over_tcp(unsigned), "key", "without a signature"),
    ("noise", over_tcp(lambda _: b"\0" * 40), "server", "what is no answer"),
    ("the end of the connection", lambda _: None, "unreachable|server", ""),
    ("a byte now and then", trickle, "unreachable", "does not answer"),
]  # fmt: skip


@pytest.mark.parametrize(("serve", "reason", "said"), [o[1:] for o in ODD], ids=[o[0] for o in ODD])
async def test_a_server_that_answers_no_update(
    kv: MemoryKv, serve: Callable[[object], None], reason: str, said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(module, "UPDATE_SECONDS", 0.5)
    with odd_dns(lambda _: [], serve) as port:
        fault = await refused(kv, f"127.0.0.1:{port}", record())
    assert fault.reason in reason.split("|")
    assert said in str(fault)


async def test_a_server_that_is_not_there(kv: MemoryKv) -> None:
    fault = await refused(kv, "127.0.0.1:1", record())
    assert (fault.reason, "can't be reached over TCP" in str(fault)) == ("unreachable", True)
    fault = await refused(kv, "nowhere.invalid:53", record())
    assert (fault.reason, "has no address" in str(fault)) == ("unreachable", True)


async def test_without_a_key_nothing_is_sent(kv: MemoryKv) -> None:
    with pytest.raises(Dns01Fault, match="not read yet"):
        await writer(kv, "127.0.0.1:1").remove(record())
