"""The client's address as it is counted: IPv4 whole, IPv6 by its /64.

A subscriber of IPv6 is given at least a /64 (RFC 6177), so a single address limits nobody there.
Clients without an IP address (Envoy's listener is a Unix socket) can't be told apart: they are
counted as one.
"""

import socket
from functools import lru_cache

UNKNOWN = "unknown"
"""Stands for every client whose address Envoy does not say."""
_PREFIX_BYTES = 8
_V4_IN_V6 = b"\x00" * 10 + b"\xff\xff"


@lru_cache(maxsize=65_536)
def address_key(address: str) -> str:
    """Return what stands for an address; the text itself where it is no IP address."""
    if ":" not in address:
        return address or UNKNOWN
    try:
        packed = socket.inet_pton(socket.AF_INET6, address.partition("%")[0])
    except (OSError, ValueError):
        return address
    if packed.startswith(_V4_IN_V6):
        return socket.inet_ntop(socket.AF_INET, packed[-4:])
    return packed[:_PREFIX_BYTES].hex() + "/64"
