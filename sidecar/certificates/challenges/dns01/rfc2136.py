"""Adds and removes TXT values by dynamic updates (RFC 2136), signed with TSIG (RFC 8945).

An update names one value, so what others have at the same name stays: a second order, another
sidecar, a stranger. It goes over TCP, and its answer must be signed too.
"""

import asyncio
import socket
from collections.abc import Callable, Mapping

import dns.asyncquery
import dns.exception
import dns.message
import dns.name
import dns.query
import dns.tsig
import dns.update
from dns.rcode import Rcode
from dns.rdataclass import RdataClass
from dns.rdatatype import RdataType
from dns.rdtypes.ANY.TXT import TXT

from sidecar.certificates.challenges.dns01.faults import Dns01Fault, refusal
from sidecar.certificates.challenges.dns01.names import TxtRecord, check_place, show
from sidecar.certificates.challenges.dns01.tsig import read_tsig_key
from sidecar.config.dns01 import Rfc2136Update
from sidecar.config.network import host_and_port
from sidecar.vault.ports import KvReader

UPDATE_SECONDS = 5.0
"""For one update: look-up of the server, connection and answer together."""
TTL_SECONDS = 1
"""So that no resolver of a CA holds a set of values without one that is added a moment later."""
_MAX_ADDRESSES = 4
_KEY_ADVICE: Mapping[type[Exception], str] = {
    dns.tsig.PeerBadKey: "does not take the key {key} (BADKEY): create it there with this "
    "name, and with Knot name it in the zone's acl",
    dns.tsig.PeerBadSignature: "has another secret or algorithm for the key {key} (BADSIG): write "
    "the same ones into Vault",
    dns.tsig.PeerBadTime: "has a clock that differs by more than five minutes from this one "
    "(BADTIME): set both by NTP",
    dns.tsig.PeerBadTruncation: "wants MACs of another length for the key {key} (BADTRUNC): use "
    "hmac-sha256, hmac-sha384 or hmac-sha512 in full",
    dns.tsig.BadTime: "signs its answer at a time that differs by more than five minutes from "
    "this clock (BADTIME): set both by NTP",
    dns.tsig.BadSignature: "signs its answer with another secret (BADSIG): it may be another "
    "server that answers at this address",
    dns.exception.FormError: "answers without a signature by the key {key}: it may not know TSIG, "
    "or another server answers at this address",
}


class Rfc2136Writer:
    """The updates of one server with one key; the key is read anew for every order."""

    def __init__(self, settings: Rfc2136Update, vault: KvReader) -> None:
        self._settings = settings
        self._vault = vault
        self._zones = frozenset(dns.name.from_text(z, dns.name.root) for z in settings.zones)
        self._key: dns.tsig.Key | None = None

    async def begin(self) -> None:
        """Read the key. Raises ``VaultFault`` or ``Dns01Fault``."""
        place = self._settings.tsig
        entry = await self._vault.read_kv(place.mount, place.path)
        self._key = read_tsig_key(entry.data, f"{place.mount}/{place.path}")

    async def check(self, record: TxtRecord) -> None:
        """Raise ``Dns01Fault`` if a record is in none of the zones that may be written."""
        check_place(record, self._zones)

    async def add(self, record: TxtRecord) -> None:
        """Add one value. Raises ``Dns01Fault``."""
        await self._send(record, lambda update, value: update.add(record.name, TTL_SECONDS, value))

    async def remove(self, record: TxtRecord) -> None:
        """Remove one value. Raises ``Dns01Fault``."""
        await self._send(record, lambda update, value: update.delete(record.name, value))

    def close(self) -> None:
        """Do nothing: every update has a connection of its own."""

    async def _send(
        self, record: TxtRecord, change: Callable[[dns.update.UpdateMessage, TXT], None]
    ) -> None:
        key = self._key
        if key is None:
            raise Dns01Fault("key", "the TSIG key was not read yet")
        update = dns.update.UpdateMessage(record.zone, keyring=key)
        change(update, TXT(RdataClass.IN, RdataType.TXT, [record.value]))
        what = f"{show(record.name)} in the zone {show(record.zone)}"
        answer = await self._exchange(update, what, show(key.name))
        if (code := answer.rcode()) != Rcode.NOERROR:
            raise refusal(self._settings.server, what, code)

    async def _exchange(
        self, update: dns.update.UpdateMessage, what: str, key: str
    ) -> dns.message.Message:
        where = self._settings.server
        try:
            async with asyncio.timeout(UPDATE_SECONDS):
                return await self._try_each_address(update)
        except (dns.exception.Timeout, TimeoutError):
            raise Dns01Fault(
                "unreachable",
                f"the server {where} does not answer the update of {what} within "
                f"{UPDATE_SECONDS:.0f} s",
            ) from None
        except socket.gaierror:
            raise Dns01Fault(
                "unreachable",
                f"the server {where} has no address: check issuers[].dns.update.server",
            ) from None
        except OSError as exc:
            raise Dns01Fault(
                "unreachable",
                f"the server {where} can't be reached over TCP ({exc.strerror or 'refused'}), for "
                f"the update of {what}",
            ) from None
        except (dns.exception.DNSException, EOFError) as exc:
            advice = _KEY_ADVICE.get(type(exc))
            if advice is None:
                raise Dns01Fault(
                    "server",
                    f"the server {where} answers the update of {what} with what is no answer "
                    f"({type(exc).__name__})",
                ) from None
            raise Dns01Fault("key", f"the server {where} {advice.format(key=key)}") from None

    async def _try_each_address(self, update: dns.update.UpdateMessage) -> dns.message.Message:
        host, port = host_and_port(self._settings.server)
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(each[4][0]) for each in found))[:_MAX_ADDRESSES]
        share_seconds = UPDATE_SECONDS / max(len(addresses), 1)
        failed: Exception = OSError("no address")
        for address in addresses:
            try:
                return await dns.asyncquery.tcp(update, address, timeout=share_seconds, port=port)
            except (OSError, dns.exception.Timeout) as exc:
                failed = exc
        raise failed
