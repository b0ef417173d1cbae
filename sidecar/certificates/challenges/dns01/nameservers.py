"""Asks authoritative servers directly whether they show a value, until all of them do."""

import asyncio
import errno
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.rcode
from dns.name import Name
from dns.rcode import Rcode
from dns.rdatatype import RdataType

from sidecar.certificates.challenges.dns01.faults import Dns01Fault
from sidecar.certificates.challenges.dns01.names import TxtRecord, show
from sidecar.certificates.challenges.dns01.propagation import (
    NameServer,
    PropagationVerdict,
    Seen,
    ServerAnswer,
    Sighting,
    judge,
    without,
)
from sidecar.certificates.challenges.dns01.resolver import MAX_UDP_BYTES
from workload.backoff import Backoff

_log = logging.getLogger("sidecar.certificates")
ASK_SECONDS = 2.0
"""For one question to one server, over UDP and TCP together."""
ASKED_AT_ONCE = 128
"""Questions of all orders together: each has a socket."""
_ROUNDS = Backoff(0.2, 2.0, growth=1.6)
_NO_ROUTE = frozenset(
    {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EACCES}
)


class PropagationWatch:
    """Waits until the servers of a zone show a value. ``clock`` is monotonic seconds."""

    def __init__(
        self,
        bound_seconds: float,
        port: int,
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._bound = bound_seconds
        self._port = port
        self._clock = clock
        self._sleep = sleep
        self._asking = asyncio.Semaphore(ASKED_AT_ONCE)

    async def wait(self, record: TxtRecord, servers: Sequence[NameServer]) -> float:
        """Wait, and return how long that took (seconds). Raises ``Dns01Fault`` at the bound.

        A server that has shown the value is not asked again.
        """
        began = self._clock()
        seen = {server: Sighting(ServerAnswer.SILENT, "not asked yet") for server in servers}
        rounds = 0
        while True:
            await self._ask_round(record, seen)
            waited = self._clock() - began
            verdict = judge(seen, waited, self._bound)
            if verdict is PropagationVerdict.READY:
                return waited
            if verdict is PropagationVerdict.READY_WITHOUT_SOME:
                _log.warning(
                    "dns-01: %s is shown by the servers that answer for %s; not by: %s",
                    show(record.name),
                    show(record.zone),
                    without(seen),
                )
                return waited
            if verdict is PropagationVerdict.FAIL:
                raise await self._failure(record, seen)
            rounds += 1
            left = self._bound - waited
            await self._sleep(min(_ROUNDS.pause_seconds(rounds, 0.0), max(left, 0.0)))

    async def _ask_round(self, record: TxtRecord, seen: dict[NameServer, Sighting]) -> None:
        left = [server for server, each in seen.items() if each.answer is not ServerAnswer.SHOWS]
        answers = await asyncio.gather(*(self._ask(each, record) for each in left))
        seen.update(zip(left, answers, strict=True))

    async def _ask(self, server: NameServer, record: TxtRecord) -> Sighting:
        async with self._asking:
            return await ask_value(server, self._port, record)

    async def _failure(self, record: TxtRecord, seen: Seen) -> Dns01Fault:
        words = (
            f"{show(record.name)}: not all servers of the zone {show(record.zone)} show the new "
            f"TXT value after {self._bound:.0f} s: {without(seen)}"
        )
        serials = await self._serials(record.zone, seen)
        if len(set(serials.values())) > 1:
            shown = ", ".join(f"{server} {serial}" for server, serial in serials.items())
            words += (
                f"; their serials differ ({shown}): see why the older ones do not transfer the "
                "zone (NOTIFY, allow-transfer, the TSIG key of transfers)"
            )
        else:
            words += (
                "; see that each NS record names a server that serves this zone, and that "
                "issuers[].dns.update writes where they read from"
            )
        return Dns01Fault("not_propagated", words)

    async def _serials(self, zone: Name, servers: Iterable[NameServer]) -> dict[NameServer, int]:
        """Return the serial of the zone at each server that says it."""
        listed = list(servers)
        found = await asyncio.gather(*(ask_serial(each, self._port, zone) for each in listed))
        return {
            server: serial
            for server, serial in zip(listed, found, strict=True)
            if serial is not None
        }


async def ask_value(server: NameServer, port: int, record: TxtRecord) -> Sighting:
    """Ask one server for a value; whatever happens is a ``Sighting``."""
    try:
        answer = await _query(server, port, record.name, RdataType.TXT)
    except (dns.exception.Timeout, TimeoutError):
        return Sighting(ServerAnswer.SILENT, f"within {ASK_SECONDS:.0f} s")
    except OSError as exc:
        answer_of_it = ServerAnswer.NO_ROUTE if exc.errno in _NO_ROUTE else ServerAnswer.SILENT
        return Sighting(answer_of_it, exc.strerror or type(exc).__name__)
    except (dns.exception.DNSException, EOFError) as exc:
        return Sighting(ServerAnswer.LAME, f"malformed: {type(exc).__name__}")
    code = answer.rcode()
    if code not in {Rcode.NOERROR, Rcode.NXDOMAIN} or not answer.flags & dns.flags.AA:
        said = dns.rcode.to_text(code) if code != Rcode.NOERROR else "not authoritative"
        return Sighting(ServerAnswer.LAME, said)
    values = [
        b"".join(each.strings)
        for rrset in answer.answer
        if rrset.rdtype == RdataType.TXT and rrset.name == record.name
        for each in rrset
    ]
    if record.value in values:
        return Sighting(ServerAnswer.SHOWS)
    return Sighting(
        ServerAnswer.LACKS, f"{len(values)} others" if values else dns.rcode.to_text(code)
    )


async def ask_serial(server: NameServer, port: int, zone: Name) -> int | None:
    """Return the serial of a zone at a server; ``None`` if it does not say it."""
    try:
        answer = await _query(server, port, zone, RdataType.SOA)
    except (dns.exception.DNSException, OSError, EOFError):
        return None
    return next(
        (each.serial for r in answer.answer if r.rdtype == RdataType.SOA for each in r), None
    )


async def _query(server: NameServer, port: int, name: Name, kind: RdataType) -> dns.message.Message:
    """Ask one question without recursion: over UDP, and over TCP if the answer is cut."""
    query = dns.message.make_query(name, kind, use_edns=0, payload=MAX_UDP_BYTES)
    query.flags &= ~dns.flags.RD
    async with asyncio.timeout(ASK_SECONDS):
        answer, _ = await dns.asyncquery.udp_with_fallback(
            query,
            server.address,
            timeout=ASK_SECONDS,
            port=port,
            ignore_unexpected=True,
            ignore_errors=True,
        )
    return answer
