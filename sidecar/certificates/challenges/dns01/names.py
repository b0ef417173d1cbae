"""The names and values of dns-01 (RFC 8555 §8.4), and which names may be written. Pure."""

import hashlib
from collections.abc import Collection
from typing import NamedTuple

import dns.exception
import dns.name
from dns.name import Name

from sidecar.certificates.challenges.dns01.faults import Dns01Fault
from sidecar.common.base64url import encode_base64url

LABEL = b"_acme-challenge"
_RESERVED = b"_"
"""RFC 8552: what begins with it has a meaning of its own, such as ``_dmarc``."""
_MAX_SHOWN_ZONES = 5


class TxtRecord(NamedTuple):
    """One value of the TXT records at ``name`` in ``zone``, which proves ``host``.

    ``start`` is the challenge's own name, from which CNAMEs led to ``name``.
    """

    host: str
    start: Name
    name: Name
    zone: Name
    value: bytes


def challenge_name(host: str) -> Name:
    """Return the name at which a CA looks for the value of a host. Raises ``Dns01Fault``."""
    try:
        if not host.isascii():
            raise dns.name.IDNAException
        name = dns.name.from_text(f"{LABEL.decode()}.{host}", dns.name.root)
    except dns.exception.DNSException:
        raise Dns01Fault(
            "name",
            f"{host} can't be proved: {LABEL.decode()}.{host} is no name of DNS "
            "(63 octets a label, 253 in all, A-labels)",
        ) from None
    return name


def txt_value(key_authorization: str) -> bytes:
    """Return the value that proves a key authorization."""
    return encode_base64url(hashlib.sha256(key_authorization.encode("ascii")).digest()).encode()


def check_place(record: TxtRecord, zones: Collection[Name]) -> None:
    """Raise ``Dns01Fault`` unless a record may be written: in one of ``zones``.

    Who owns a domain chooses where its CNAME leads. So it must not lead to a name that has a
    meaning of its own, such as ``_dmarc``, at which one more TXT record does harm.
    """
    if record.zone not in zones:
        some = sorted(show(zone) for zone in zones)[:_MAX_SHOWN_ZONES]
        how = "is" if record.name == record.start else f"leads to {show(record.name)},"
        raise Dns01Fault(
            "zone",
            f"{show(record.start)} {how} in the zone {show(record.zone)}, and only "
            f"issuers[].dns.update.zones ({', '.join(some)}) are written: point a CNAME from "
            "there into one of them, or add the zone",
        )
    labels = record.name.relativize(record.zone).labels
    if any(
        label.startswith(_RESERVED) and not (at == 0 and label.lower() == LABEL)
        for at, label in enumerate(labels)
    ):
        raise Dns01Fault(
            "cname",
            f"the CNAME at {show(record.start)} leads to {show(record.name)}, a name with a "
            "meaning of its own (RFC 8552), which is not written: let it lead to another name",
        )


def show(name: Name) -> str:
    """Return a name for a message: ASCII, with escapes, without the dot at the end."""
    return name.to_text(omit_final_dot=True)
