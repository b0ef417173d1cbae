"""Challenges in real DNS servers: BIND and Knot, primary and secondary, with CNAMEs to them."""

import asyncio
import logging

import pytest

from sidecar.certificates.challenges.dns01.faults import Dns01Fault
from sidecar.certificates.challenges.dns01.names import TxtRecord, txt_value
from sidecar.certificates.challenges.dns01.solver import Dns01Solver
from sidecar.common.clock import monotonic_seconds
from sidecar.common.errors import Fault
from tests.certificates.challenges.dns01.conftest import challenge, settings, solver_of
from tests.support.dns_servers import CUSTOMER, NARROW_KEY, SECONDARY, ZONE, DnsServers
from tests.support.fleet_kv import MemoryKv
from tests.support.waiting import until

pytestmark = pytest.mark.real


def value(token: str) -> str:
    return txt_value(f"{token}.thumbprint").decode()


PLACES = [
    ("its own name", f"www.{ZONE}", f"_acme-challenge.www.{ZONE}"),
    ("one CNAME", "shop.customer.test", f"shop.customer.test.{ZONE}"),
    ("three CNAMEs", "far.customer.test", f"far.{ZONE}"),
]


@pytest.mark.parametrize(("host", "name"), [p[1:] for p in PLACES], ids=[p[0] for p in PLACES])
async def test_a_value_is_at_every_server_and_then_at_none(
    dns_servers: DnsServers, kv: MemoryKv, host: str, name: str
) -> None:
    solver, ours = solver_of(settings(dns_servers), kv), [challenge(host)]
    await solver.publish(ours)
    try:
        for server in ("127.0.0.1", SECONDARY):
            assert dns_servers.values(name, server) == {value(ours[0].token)}
    finally:
        await solver.withdraw(ours)
    assert dns_servers.values(name) == set()
    assert (solver.outcomes, solver.left_behind) == ({"ok": 1}, 0)


async def test_knot_takes_the_same_updates(dns_servers: DnsServers, kv: MemoryKv) -> None:
    solver = solver_of(settings(dns_servers, dns_servers.knot_address), kv)
    ours = [challenge("a.knot.test")]
    await solver.publish(ours)
    assert dns_servers.values("_acme-challenge.a.knot.test", CUSTOMER) == {value(ours[0].token)}
    await solver.withdraw(ours)
    assert dns_servers.values("_acme-challenge.a.knot.test", CUSTOMER) == set()


async def test_values_of_others_stay(dns_servers: DnsServers, kv: MemoryKv) -> None:
    """A name and its wildcard in one order, and another sidecar's order at the same time."""
    name = f"_acme-challenge.many.{ZONE}"
    ours, theirs = (solver_of(settings(dns_servers), kv) for _ in range(2))
    pair = [challenge(f"many.{ZONE}", f"token-number-{n}-of-ours") for n in range(2)]
    other = [challenge(f"many.{ZONE}", "token-of-another-sidecar")]
    await asyncio.gather(ours.publish(pair), theirs.publish(other))
    all_three = {value(each.token) for each in (*pair, *other)}
    assert dns_servers.values(name) == all_three == dns_servers.values(name, SECONDARY)
    await ours.withdraw(pair)
    assert dns_servers.values(name) == {value(other[0].token)}
    await theirs.withdraw(other)
    assert dns_servers.values(name) == set()


async def test_hundreds_of_strangers_values(dns_servers: DnsServers, kv: MemoryKv) -> None:
    """The answer is cut over UDP, and read over TCP."""
    host, solver = f"crowd.{ZONE}", solver_of(settings(dns_servers), kv)
    crowd = [challenge(host, f"token-of-a-stranger-{n:04}") for n in range(40)]
    await solver.publish(crowd)
    try:
        assert len(dns_servers.values(f"_acme-challenge.{host}", SECONDARY)) == 40
    finally:
        await solver.withdraw(crowd)
    assert dns_servers.values(f"_acme-challenge.{host}") == set()


REFUSED = [
    ("a circle", "circle.customer.test", "cname", "lead in a circle: _acme-challenge.circle"),
    ("itself", "self.customer.test", "cname", "lead in a circle"),
    ("too many", "long.customer.test", "cname", "more than 8 CNAMEs"),
    ("a foreign zone", "foreign.customer.test", "zone",
     "leads to there.foreign.test, in the zone foreign.test, and only issuers[].dns.update.zones"),
    ("no CNAME", "bare.customer.test", "zone", "is in the zone customer.test"),
    ("a name with a meaning", "dmarc.customer.test", "cname", f"leads to _dmarc.{ZONE}"),
    ("a zone that does not load", "a.broken.test", "resolver", "127.0.0.1:"),
    ("nobody serves it", "a.silent.test", "resolver", "SERVFAIL"),
    ("a label of 64", f"{'l' * 64}.{ZONE}", "name", "63 octets a label"),
    ("a name of 239", ".".join(["l" * 59] * 4), "name", "253 in all"),
    ("Unicode", f"bücher.{ZONE}", "name", "A-labels"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("host", "reason", "said"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED]
)
async def test_where_nothing_is_written(
    dns_servers: DnsServers, kv: MemoryKv, host: str, reason: str, said: str
) -> None:
    solver = solver_of(settings(dns_servers), kv)
    before = len(dns_servers.primary.lines), len(dns_servers.customer.lines)
    with pytest.raises(Dns01Fault) as raised:
        await solver.publish([challenge(host)])
    assert (raised.value.reason, said in str(raised.value)) == (reason, True), raised.value
    await solver.withdraw([challenge(host)])
    assert solver.outcomes == {reason: 1}
    logged = [*dns_servers.primary.lines][before[0] :] + [*dns_servers.customer.lines][before[1] :]
    assert not any("updating zone" in line or "DDNS" in line for line in logged)


async def test_what_can_not_be_proved_is_known_before_an_order(
    dns_servers: DnsServers, kv: MemoryKv
) -> None:
    solver = solver_of(settings(dns_servers), kv)
    await solver.check([f"www.{ZONE}", "shop.customer.test", "shop.customer.test"])
    with pytest.raises(Dns01Fault, match="lead in a circle"):
        await solver.check([f"www.{ZONE}", "circle.customer.test"])
    assert solver.outcomes == {"cname": 1}
    assert dns_servers.values(f"_acme-challenge.www.{ZONE}") == set(), "nothing is written"


async def test_a_value_that_two_orders_need_is_removed_with_the_second(
    dns_servers: DnsServers, kv: MemoryKv
) -> None:
    """A CA may pose one challenge, of one pending authorization, to two orders."""
    solver, name = solver_of(settings(dns_servers), kv), f"_acme-challenge.twice.{ZONE}"
    one = challenge(f"twice.{ZONE}")
    other = one._replace(until=one.until + 1)
    await asyncio.gather(solver.publish([one]), solver.publish([other]))
    await solver.withdraw([one])
    assert dns_servers.values(name) == {value(one.token)}
    await solver.withdraw([one])
    assert dns_servers.values(name) == {value(one.token)}
    await solver.withdraw([other])
    assert dns_servers.values(name) == set()


LONGEST = [
    ("253 octets", ".".join(["l" * 50] * 4) + "." + "l" * (253 - 16 - 204 - len(".knot.test"))),
    ("a label of 63", "l" * 63),
    ("IDN", "xn--bcher-kva"),
]


@pytest.mark.parametrize("label", [each[1] for each in LONGEST], ids=[each[0] for each in LONGEST])
async def test_names_up_to_the_limits(dns_servers: DnsServers, kv: MemoryKv, label: str) -> None:
    solver = solver_of(settings(dns_servers, dns_servers.knot_address), kv)
    ours = [challenge(f"{label}.knot.test")]
    await solver.publish(ours)
    await solver.withdraw(ours)
    assert (solver.outcomes, solver.left_behind) == ({"ok": 1}, 0)


async def test_a_secondary_that_stays_old(dns_servers: DnsServers, kv: MemoryKv) -> None:
    solver = solver_of(settings(dns_servers, propagation_seconds=1.0), kv)
    ours = [challenge("a.split.test")]
    with pytest.raises(Dns01Fault) as raised:
        await solver.publish(ours)
    words = str(raised.value)
    assert raised.value.reason == "not_propagated"
    assert f"ns2.split.test ({CUSTOMER}) does not show it (NXDOMAIN)" in words
    assert "ns1.split.test (127.0.0.1) 2" in words, "its serial"
    assert f"ns2.split.test ({CUSTOMER}) 1" in words, "its serial"
    await solver.withdraw(ours)
    assert dns_servers.values("_acme-challenge.a.split.test") == set(), "removed after a failure"


ABSENT = [
    ("a lame delegation", "a.lame.test", "ns2.lame.test (127.0.0.13) does not answer for the"),
    ("a dead server", "a.half.test", "ns2.half.test (127.0.0.99) does not answer"),
]


@pytest.mark.parametrize(("host", "said"), [a[1:] for a in ABSENT], ids=[a[0] for a in ABSENT])
async def test_a_server_that_does_not_answer_is_waited_for_and_named(
    dns_servers: DnsServers, kv: MemoryKv, host: str, said: str,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    solver = solver_of(settings(dns_servers, propagation_seconds=1.0), kv)
    with caplog.at_level(logging.WARNING):
        await solver.publish([challenge(host)])
    assert said in caplog.text
    await solver.withdraw([challenge(host)])


async def test_a_cancelled_order_leaves_nothing(dns_servers: DnsServers, kv: MemoryKv) -> None:
    """Cancelled while it waits for a secondary; cancelled again while it removes the value."""
    solver, ours = solver_of(settings(dns_servers), kv), [challenge("b.split.test")]
    name = "_acme-challenge.b.split.test"

    async def order() -> None:
        try:
            await solver.publish(ours)
        finally:
            await solver.withdraw(ours)

    task = asyncio.create_task(order())
    async with asyncio.timeout(10):
        while not await asyncio.to_thread(dns_servers.values, name):
            await asyncio.sleep(0.02)
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    async with asyncio.timeout(10):
        while await asyncio.to_thread(dns_servers.values, name):
            await asyncio.sleep(0.02)
    assert solver.left_behind == 0


async def test_a_value_that_can_not_be_removed_is_named(
    dns_servers: DnsServers, kv: MemoryKv, caplog: pytest.LogCaptureFixture
) -> None:
    """The key is changed at the server, or here, between the two updates."""
    solver, ours = solver_of(settings(dns_servers), kv), [challenge(f"left.{ZONE}")]
    await solver.publish(ours)
    kv.put("septem/dns/tsig", NARROW_KEY)
    await solver._writer.begin()
    with caplog.at_level(logging.WARNING):
        await solver.withdraw(ours)
    assert solver.left_behind == 1
    assert f"{value(ours[0].token)} is left at _acme-challenge.left.{ZONE}" in caplog.text
    assert "REFUSED" in caplog.text


async def test_a_key_for_one_name_writes_that_name(dns_servers: DnsServers, kv: MemoryKv) -> None:
    kv.put("septem/dns/tsig", NARROW_KEY)
    solver = solver_of(settings(dns_servers), kv)
    narrow, wide = challenge("narrow.customer.test"), challenge(f"wide.{ZONE}", "another-token-0")
    await solver.publish([narrow])
    with pytest.raises(Dns01Fault) as raised:
        await solver.publish([wide])
    assert raised.value.reason == "refused"
    await solver.withdraw([narrow, wide])
    assert dns_servers.values(f"narrow.{ZONE}") == set()


async def test_without_its_key_nothing_is_looked_for(dns_servers: DnsServers, kv: MemoryKv) -> None:
    kv.entries.clear()
    solver = solver_of(settings(dns_servers), kv)
    with pytest.raises(Fault, match="septem/dns/tsig"):
        await solver.publish([challenge(f"www.{ZONE}")])
    await solver.withdraw([challenge(f"www.{ZONE}")])


class HangingWriter:
    """A server that takes every update and does not answer until it may."""

    def __init__(self) -> None:
        self.asked = 0
        self.removed = 0
        self.may_answer = asyncio.Event()

    async def begin(self) -> None: ...

    async def check(self, _record: TxtRecord) -> None: ...

    async def add(self, _record: TxtRecord) -> None: ...

    async def remove(self, _record: TxtRecord) -> None:
        self.asked += 1
        await self.may_answer.wait()
        self.removed += 1

    def close(self) -> None: ...


async def test_a_removal_goes_on_when_its_order_is_cancelled_once_more(
    dns_servers: DnsServers,
) -> None:
    writer, ours = HangingWriter(), challenge(f"hang.{ZONE}")
    given = settings(dns_servers, propagation_seconds=1.0)
    solver = Dns01Solver(given, writer, clock=monotonic_seconds, sleep=asyncio.sleep)
    publishing = asyncio.create_task(solver.publish([ours]))
    await until(lambda: bool(solver._written))
    publishing.cancel()
    await asyncio.gather(publishing, return_exceptions=True)
    withdrawing = asyncio.create_task(solver.withdraw([ours]))
    await until(lambda: writer.asked == 1)
    withdrawing.cancel()
    await asyncio.gather(withdrawing, return_exceptions=True)
    assert withdrawing.cancelled()
    writer.may_answer.set()
    await until(lambda: writer.removed == 1)


async def test_a_removal_that_hangs_is_given_up(
    dns_servers: DnsServers, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sidecar.certificates.challenges.dns01.solver.REMOVE_SECONDS", 0.05)
    writer = HangingWriter()
    given = settings(dns_servers, propagation_seconds=1.0)
    solver = Dns01Solver(given, writer, clock=monotonic_seconds, sleep=asyncio.sleep)
    with pytest.raises(Dns01Fault, match="not all servers"):
        await solver.publish([challenge(f"hang.{ZONE}")])
    with caplog.at_level(logging.WARNING):
        await solver.withdraw([challenge(f"hang.{ZONE}")])
    assert (writer.asked, solver.left_behind) == (1, 1)
    assert f"may be left: _acme-challenge.hang.{ZONE}" in caplog.text
    solver.close()
