"""How a browser matches a URL against a policy: the other hand that comparisons are tested by.

Written from CSP Level 3 §6.7.2 (``STANDARD``; a WebSocket's URL counts as the http one it
is fetched by) and from what Chromium does where that differs (``CHROMIUM``).
"""

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from operator import or_
from typing import NamedTuple
from urllib.parse import unquote

STANDARD, CHROMIUM = "standard", "chromium"
DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
FALLBACK = {
    "script-src-elem": ("script-src", "default-src"),
    "script-src": ("default-src",),
    "worker-src": ("child-src", "script-src", "default-src"),
    "child-src": ("default-src",),
    "frame-src": ("child-src", "default-src"),
    "connect-src": ("default-src",),
    "img-src": ("default-src",),
}


class Url(NamedTuple):
    scheme: str
    host: str
    port: int
    path: str


def allowed(policy: Mapping[str, Sequence[str]], directive: str, seen: Callable[[str], int]) -> int:
    """Everything a policy lets this directive load, as a set of bits; -1 is all there is."""
    for name in (directive, *FALLBACK.get(directive, ())):
        if name in policy:
            return reduce(or_, map(seen, policy[name]), 0)
    return -1


def matches(source: str, url: Url, page: Url, reading: str) -> bool:
    if reading == STANDARD:
        url = url._replace(scheme={"ws": "http", "wss": "https"}.get(url.scheme, url.scheme))
    if source == "'self'":
        same_port = page.port == url.port or (is_default(page) and is_default(url))
        return page.host == url.host and same_port and url.scheme in {"https", "wss"}
    if source.startswith("'"):
        return False
    if source == "*":
        return url.scheme in {"http", "https", "ws", "wss", page.scheme}
    if source.endswith(":") and "//" not in source:
        return scheme_matches(source[:-1], url.scheme, reading)
    scheme, mark, rest = source.partition("://")
    if not mark:
        scheme, rest = page.scheme, source
    place, slash, path = rest.partition("/")
    host, _, port = place.partition(":")
    return (
        scheme_matches(scheme, url.scheme, reading)
        and host_matches(host, url.host)
        and port_matches(port, scheme, url, reading)
        and path_matches(slash + path, url.path)
    )


def is_default(url: Url) -> bool:
    return DEFAULT_PORTS.get(url.scheme) == url.port


def scheme_matches(a: str, b: str, reading: str) -> bool:
    if reading == STANDARD:
        also = {"http": {"https"}, "ws": {"wss", "http", "https"}, "wss": {"https"}}
    else:
        also = {"http": {"https", "ws", "wss"}, "https": {"wss"}, "ws": {"wss"}}
    return a == b or b in also.get(a, set())


def host_matches(pattern: str, host: str) -> bool:
    if pattern == "*":
        return True
    if pattern.startswith("*."):
        return host.endswith(pattern[1:])
    return pattern == host


def port_matches(port: str, scheme: str, url: Url, reading: str) -> bool:
    if port == "*":
        return True
    if port == "":
        return is_default(url)
    if int(port) == url.port:
        return True
    upgraded = scheme in {"http", "ws"} and url.scheme in {"https", "wss"}
    return reading == CHROMIUM and port == "80" and url.port == 443 and upgraded


def path_matches(pattern: str, path: str) -> bool:
    if pattern in {"", "/"}:
        return True
    wanted, got = pattern.split("/"), path.split("/")
    if len(wanted) > len(got):
        return False
    if pattern.endswith("/"):
        wanted.pop()
    elif len(wanted) != len(got):
        return False
    return all(unquote(a) == unquote(b) for a, b in zip(wanted, got, strict=False))
