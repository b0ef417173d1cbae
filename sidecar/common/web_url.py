"""URLs of documents that others publish, in the one spelling that every reader takes alike.

An URL of an issuer's own document is data from outside. What a client and a checker could read
differently is refused, not mended: user names, fragments, dot segments, back slashes, spaces,
hosts that end in a number and are no IPv4 address (``2130706433`` is 127.0.0.1 to a resolver).
Pure; a name is never looked up.
"""

import ipaddress
import re
from typing import NamedTuple

MAX_URL_LENGTH = 2048
_LAST_PORT = 65_535
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_CHARACTER = r"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})"
_URL = re.compile(
    rf"(?P<scheme>https?)://"
    rf"(?P<host>{_LABEL}(?:\.{_LABEL}){{0,126}}|\[[0-9A-Fa-f:.]{{2,45}}\])"
    rf"(?::(?P<port>[0-9]{{1,5}}))?"
    rf"(?P<path>(?:/{_CHARACTER}*)*)"
    rf"(?P<query>\?(?:{_CHARACTER}|[/?])*)?"
)
_DOTS = re.compile(r"(?:\.|%2[eE]){1,2}")
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")


class WebUrl(NamedTuple):
    """The parts of an ``http`` or ``https`` URL, as written."""

    scheme: str
    host: str
    """Without brackets."""
    port: int | None
    path: str
    query: str
    """With its ``?``; empty without one."""

    @property
    def origin(self) -> str:
        """Return scheme, host and port as they stand in the URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + ("" if self.port is None else f":{self.port}")


def read_web_url(text: str) -> WebUrl:
    """Split a URL. Raises ``ValueError`` with a clause that says what is wrong with it."""
    if len(text) > MAX_URL_LENGTH:
        raise ValueError(f"has more than {MAX_URL_LENGTH} characters")
    found = _URL.fullmatch(text)
    if found is None:
        raise ValueError(
            "must be http:// or https://, a host, and at most a port, a path and a query: "
            "no user name, fragment or space"
        )
    host, port = found["host"].strip("[]"), found["port"]
    if port is not None and not 0 < int(port) <= _LAST_PORT:
        raise ValueError(f"must have a port from 1 to {_LAST_PORT}")
    if any(_DOTS.fullmatch(segment) for segment in found["path"].split("/")):
        raise ValueError("must have no . or .. as a segment of its path")
    if (found["host"][0] == "[" or _NUMBER.fullmatch(host.rpartition(".")[2])) and (
        _address(host) is None
    ):
        raise ValueError("names a host that ends in a number and is no IP address")
    number = None if port is None else int(port)
    return WebUrl(found["scheme"], host, number, found["path"], found["query"] or "")


def on_loopback(host: str) -> bool:
    """Tell whether a host, without brackets, is this machine by its name or its address."""
    lowered = host.lower()
    if lowered == "localhost" or lowered.endswith(".localhost"):
        return True
    address = _address(host)
    return address is not None and address.is_loopback


def is_nobodys(host: str) -> bool:
    """Tell whether a host is an address where no issuer can be.

    The link-local range holds clouds' metadata services (169.254.169.254); unspecified and
    multicast addresses are no server's.
    """
    address = _address(host)
    return address is not None and (
        address.is_link_local or address.is_unspecified or address.is_multicast
    )


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the address that a host is; of an IPv4 one in IPv6's form, the IPv4 one."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
