"""Authoritative servers that are asked directly; those that misbehave."""

import asyncio

import dns.flags
import dns.message
import dns.name
import dns.rrset
import pytest
from dns.rcode import Rcode

from sidecar.certificates.challenges.dns01 import nameservers as module
from sidecar.certificates.challenges.dns01.faults import Dns01Fault
from sidecar.certificates.challenges.dns01.names import TxtRecord
from sidecar.certificates.challenges.dns01.nameservers import (
    PropagationWatch,
    ask_serial,
    ask_value,
)
from sidecar.certificates.challenges.dns01.propagation import NameServer, ServerAnswer
from sidecar.common.clock import monotonic_seconds
from tests.support.odd_dns import Reply, odd_dns, trickle

NAME, ZONE = (dns.name.from_text(each) for each in ("_acme-challenge.a.test", "a.test"))
RECORD = TxtRecord("a.test", NAME, NAME, ZONE, b"the-value")
HERE = NameServer("ns1.a.test", "127.0.0.1")


def saying(
    *values: str, code: Rcode = Rcode.NOERROR, flags: int = dns.flags.AA, at: str = str(NAME)
) -> Reply:
    def reply(wire: bytes) -> list[bytes]:
        query = dns.message.from_wire(wire)
        assert not query.flags & dns.flags.RD, "no recursion is asked for"
        response = dns.message.make_response(query)
        response.flags |= flags
        response.set_rcode(code)
        if values:
            response.answer.append(dns.rrset.from_text(at, 1, "IN", "TXT", *values))
        return [response.to_wire()]

    return reply


ANSWERS: list[tuple[str, Reply, ServerAnswer, str]] = [
    ("the value", saying('"the-value"'), ServerAnswer.SHOWS, ""),
    ("in pieces", saying('"the-" "value"'), ServerAnswer.SHOWS, ""),
    ("among others", saying('"x"', '"the-value"', '"y"'), ServerAnswer.SHOWS, ""),
    ("others", saying('"x"', '"THE-VALUE"'), ServerAnswer.LACKS, "2 others"),
    ("a part of it", saying('"the-valu"'), ServerAnswer.LACKS, "1 others"),
    ("at another name", saying('"the-value"', at="b.test."), ServerAnswer.LACKS, "NOERROR"),
    ("nothing", saying(), ServerAnswer.LACKS, "NOERROR"),
    ("no such name", saying(code=Rcode.NXDOMAIN), ServerAnswer.LACKS, "NXDOMAIN"),
    ("a copy", saying('"the-value"', flags=0), ServerAnswer.LAME, "not authoritative"),
    ("refused", saying(code=Rcode.REFUSED, flags=0), ServerAnswer.LAME, "REFUSED"),
    ("an error", saying(code=Rcode.SERVFAIL), ServerAnswer.LAME, "SERVFAIL"),
    ("silence", lambda _wire: [], ServerAnswer.SILENT, "within"),
    ("garbage", lambda wire: [b"", wire[:9], b"\0\0" + wire[2:]], ServerAnswer.SILENT, "within"),
    (
        "a cut answer, that trickles",
        saying(flags=dns.flags.AA | dns.flags.TC),
        ServerAnswer.SILENT,
        "",
    ),
]


@pytest.mark.parametrize(
    ("reply", "answer", "detail"), [a[1:] for a in ANSWERS], ids=[a[0] for a in ANSWERS]
)
async def test_what_a_server_says(
    reply: Reply, answer: ServerAnswer, detail: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ASK_SECONDS", 0.4)
    with odd_dns(reply, trickle) as port:
        seen = await ask_value(HERE, port, RECORD)
    assert seen.answer is answer
    assert detail in seen.detail


async def test_a_server_that_closes_the_connection() -> None:
    with odd_dns(saying(flags=dns.flags.AA | dns.flags.TC), lambda _connection: None) as port:
        assert (await ask_value(HERE, port, RECORD)).answer in {
            ServerAnswer.LAME,
            ServerAnswer.SILENT,
        }


async def test_an_address_without_a_route() -> None:
    """The kernel refuses it, as it does IPv6 on a host that has none."""
    seen = await ask_value(NameServer("ns", "255.255.255.255"), 53, RECORD)
    assert (seen.answer, seen.detail) == (ServerAnswer.NO_ROUTE, "Permission denied")


async def test_no_serial_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ASK_SECONDS", 0.2)
    with odd_dns(saying()) as port:
        assert await ask_serial(HERE, port, ZONE) is None
    assert await ask_serial(HERE, 1, ZONE) is None, "nobody is there"


async def test_a_value_that_comes_late() -> None:
    """Asked again until it is there; each server that has shown it is left in peace."""
    asked: list[int] = []
    there = NameServer("ns2.a.test", "127.0.0.1")

    def reply(wire: bytes) -> list[bytes]:
        asked.append(1)
        shows = saying('"the-value"') if len(asked) in {1, 4} else saying(code=Rcode.NXDOMAIN)
        return shows(wire)

    with odd_dns(reply) as port:
        watch = PropagationWatch(10.0, port, clock=monotonic_seconds, sleep=lambda _: no_pause())
        await watch.wait(RECORD, [HERE, there])
    assert len(asked) == 4, "one of two, then the other alone, twice"


async def no_pause() -> None:
    await asyncio.sleep(0)


async def test_nobody_answers_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ASK_SECONDS", 0.05)
    now = [0.0]

    async def sleep(seconds: float) -> None:
        now[0] += seconds

    with odd_dns(lambda _wire: []) as port:
        watch = PropagationWatch(5.0, port, clock=lambda: now[0], sleep=sleep)
        with pytest.raises(Dns01Fault) as raised:
            await watch.wait(RECORD, [HERE])
    assert raised.value.reason == "not_propagated"
    assert "ns1.a.test (127.0.0.1) does not answer" in str(raised.value)
    assert "each NS record names a server that serves this zone" in str(raised.value)
    assert now[0] == pytest.approx(5.0)
