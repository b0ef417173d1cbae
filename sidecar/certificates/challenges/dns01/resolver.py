"""What a challenge needs to know of the DNS: where its CNAMEs lead, the zone there, its servers.

Recursive resolvers are asked: those of the configuration, or of ``/etc/resolv.conf``. Their
answers choose which name is written, so they are read with care: hops, servers and time are
bounded.
"""

import asyncio
from collections.abc import Sequence

import dns.asyncresolver
import dns.exception
import dns.message
import dns.nameserver
import dns.rcode
import dns.resolver
from dns.name import Name
from dns.rdatatype import RdataType
from dns.rrset import RRset

from sidecar.certificates.challenges.dns01.faults import Dns01Fault
from sidecar.certificates.challenges.dns01.names import show
from sidecar.certificates.challenges.dns01.propagation import NameServer
from sidecar.config.network import host_and_port

MAX_HOPS = 8
"""CAs follow about as many CNAMEs (Let's Encrypt: 10 in all)."""
MAX_SERVERS, MAX_ADDRESSES = 16, 32
QUERY_SECONDS = 8.0
"""For one question, at all resolvers together."""
TRY_SECONDS = 2.0
MAX_UDP_BYTES = 1232
"""Fits any path unfragmented; what is longer comes over TCP."""
_PARENTS = 4
"""Names above one whose answer names no zone, at which is asked again."""


class ChallengeResolver:
    """Questions to recursive resolvers. Every method raises only ``Dns01Fault``."""

    def __init__(self, resolvers: Sequence[str]) -> None:
        """Take addresses with ports; without any, those of ``/etc/resolv.conf``."""
        try:
            self._resolver = dns.asyncresolver.Resolver(configure=not resolvers)
        except dns.resolver.NoResolverConfiguration:
            raise Dns01Fault(
                "resolver",
                "/etc/resolv.conf names no resolver: add one, or set issuers[].dns.resolvers",
            ) from None
        if resolvers:
            self._resolver.nameservers = [
                dns.nameserver.Do53Nameserver(*host_and_port(each)) for each in resolvers
            ]
        self._resolver.timeout = TRY_SECONDS
        self._resolver.lifetime = QUERY_SECONDS
        self._resolver.use_edns(0, 0, MAX_UDP_BYTES)

    async def follow(self, start: Name) -> Name:
        """Return the name at the end of the CNAMEs that begin at ``start``; itself without any."""
        chain = [start]
        while True:
            found = _find(await self._ask(chain[-1], RdataType.CNAME), chain[-1], RdataType.CNAME)
            if found is None:
                return chain[-1]
            target: Name = found[0].target
            chain.append(target)
            if target in chain[:-1]:
                raise Dns01Fault(
                    "cname",
                    f"the CNAMEs at {show(start)} lead in a circle: {_path(chain)}; let the last "
                    "one lead to a name that has none",
                )
            if len(chain) > MAX_HOPS + 1:
                raise Dns01Fault(
                    "cname",
                    f"more than {MAX_HOPS} CNAMEs follow one another: {_path(chain)}; let the "
                    "first one lead to the last name",
                )

    async def zone_of(self, name: Name) -> Name:
        """Return the zone that a name is in: the owner of the SOA record."""
        asked = name
        for _ in range(_PARENTS):
            answer = await self._ask(asked, RdataType.SOA)
            for rrset in (*answer.answer, *answer.authority):
                if rrset.rdtype == RdataType.SOA and name.is_subdomain(rrset.name):
                    return rrset.name
            if len(asked) <= 1:
                break
            asked = asked.parent()
        raise Dns01Fault(
            "zone", f"no zone is found for {show(name)}: the resolvers return no SOA record for it"
        )

    async def servers_of(self, zone: Name) -> list[NameServer]:
        """Return every address of every authoritative server of a zone, in order."""
        found = _find(await self._ask(zone, RdataType.NS), zone, RdataType.NS)
        names: list[Name] = sorted(each.target for each in found or ())[:MAX_SERVERS]
        if not names:
            raise Dns01Fault("zone", f"the zone {show(zone)} has no NS records")
        lists = await asyncio.gather(*(self._addresses_of(name) for name in names))
        servers = [each for listed in lists for each in listed][:MAX_ADDRESSES]
        if not servers:
            shown = ", ".join(map(show, names))
            raise Dns01Fault(
                "zone", f"none of the name servers of {show(zone)} has an address: {shown}"
            )
        return servers

    async def _addresses_of(self, name: Name) -> list[NameServer]:
        """Return the addresses of one server; none if it has none, or they can't be had."""
        servers: list[NameServer] = []
        for kind in (RdataType.A, RdataType.AAAA):
            try:
                answer = await self._ask(name, kind)
            except Dns01Fault:
                continue
            for rrset in answer.answer:
                if rrset.rdtype == kind:
                    servers += (NameServer(show(name), each.address) for each in rrset)
        return servers

    async def _ask(self, name: Name, kind: RdataType) -> dns.message.Message:
        """Ask one question; that a name does not exist is an answer."""
        try:
            async with asyncio.timeout(QUERY_SECONDS):
                answer = await self._resolver.resolve(
                    name, kind, raise_on_no_answer=False, search=False
                )
        except dns.resolver.NXDOMAIN as none:
            response: dns.message.Message = none.kwargs["responses"][name]
            return response
        except dns.resolver.NoNameservers as failed:
            raise Dns01Fault(
                "resolver",
                f"the resolvers can't resolve {show(name)} {kind.name} ({_codes(failed)}): see "
                "whether its zone's servers answer, and whether its DNSSEC is valid",
            ) from None
        except (dns.exception.Timeout, TimeoutError):
            raise Dns01Fault(
                "resolver",
                f"no resolver answers for {show(name)} {kind.name} within {QUERY_SECONDS:.0f} s "
                f"({', '.join(map(_plain, self._resolver.nameservers))})",
            ) from None
        except (dns.exception.DNSException, OSError) as exc:
            raise Dns01Fault(
                "resolver",
                f"the resolvers' answer for {show(name)} {kind.name} can't be used "
                f"({type(exc).__name__})",
            ) from None
        return answer.response


def _find(answer: dns.message.Message, name: Name, kind: RdataType) -> RRset | None:
    """Return the records of a name itself, not those at the end of its CNAMEs."""
    return next((r for r in answer.answer if r.rdtype == kind and r.name == name), None)


def _path(chain: Sequence[Name]) -> str:
    return " > ".join(map(show, chain))


def _plain(resolver: object) -> str:
    """Return the address of a resolver, without dnspython's word for its protocol."""
    return str(resolver).removeprefix("Do53:").replace("@", ":")


def _codes(failed: dns.resolver.NoNameservers) -> str:
    """Return what each resolver said, without repeating it."""
    said = [
        f"{_plain(server)}: {dns.rcode.to_text(answer.rcode()) if answer else type(error).__name__}"
        for server, _, _, error, answer in failed.kwargs["errors"]
    ]
    return ", ".join(dict.fromkeys(said)) or "no resolver is left"
