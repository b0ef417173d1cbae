"""URLs of reports reduced to what may be kept: an origin, a scheme, or a keyword.

A browser strips fragments, not paths and queries, and those hold what a person looked at
and, on a bad day, a token (CSP Level 3 §5.4, §7.3). So nothing after the authority is
kept, here or anywhere else.
"""

import re

KEYWORDS = frozenset(
    {"inline", "eval", "wasm-eval", "trusted-types-policy", "trusted-types-sink", "self"}
)
"""What stands for a resource that has no URL (CSP Level 3 §5.1)."""
UNKNOWN = "unknown"
"""Nothing was given, or nothing that is a URL."""
NETWORK_SCHEMES = {"http": "80", "https": "443", "ws": "80", "wss": "443"}
"""Schemes of which the origin is kept, with their ports; of any other only the scheme is."""
_LOCAL_SCHEMES = frozenset({"blob", "data", "filesystem"})
_ABOUT = frozenset({"about", "about:blank", "about:srcdoc"})
"""With the schemes above: documents that a page makes, under its own policy (HTML §7.1.7).

A browser reports no more of them than the scheme (CSP Level 3 §5.4), older ones the whole URL.
"""
_NESTING = frozenset({"blob", "filesystem"})
"""Schemes whose URLs hold the URL of the page that made them."""

_LONGEST_NAME = 253
"""RFC 1035 §2.3.4, without the root and its length."""
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,30}):(.*)", re.DOTALL)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,30}")
_HOST = re.compile(
    r"((?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.){0,32}[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
    r"|\[[0-9a-f:.]{2,45}\])\.?(?::([0-9]{1,5}))?"
)
_END_OF_AUTHORITY = re.compile(r"[/?#\\]")


def reduce_url(url: str) -> str:
    """Return ``https://host:port`` (a default port left out), ``data``, ``inline``, ``unknown``.

    Of what a page made (``blob:https://host/…``) the scheme is kept; of what another program's
    part made (``blob:moz-extension://…``) the scheme of that part, which says more.
    """
    word = url.strip()
    if word.lower() in KEYWORDS:
        return word.lower()
    match = _URL.fullmatch(word)
    if match is None:
        # A bare scheme is how a browser reports what has no origin: "data", "blob", "about".
        return word.lower() if _SCHEME.fullmatch(word) else UNKNOWN
    scheme, rest = match[1].lower(), match[2]
    if scheme not in NETWORK_SCHEMES:
        return (scheme in _NESTING and _maker_scheme(rest)) or scheme
    if not rest.startswith("//"):
        return scheme if not rest else UNKNOWN
    authority = _END_OF_AUTHORITY.split(rest[2:], maxsplit=1)[0].rpartition("@")[2].lower()
    host = _HOST.fullmatch(authority)
    if host is None or len(host[1]) > _LONGEST_NAME:
        return UNKNOWN
    port = host[2]
    shown = "" if port in (None, NETWORK_SCHEMES[scheme]) else f":{int(port)}"
    return f"{scheme}://{host[1]}{shown}"


def _maker_scheme(url: str) -> str:
    """Return the scheme of what made a ``blob:``, where that is no page: a browser's own part."""
    match = _URL.fullmatch(url)
    if match is None or not match[2].startswith("//"):
        return ""
    scheme = match[1].lower()
    return "" if scheme in NETWORK_SCHEMES else scheme


def is_local_document(url: str) -> bool:
    """Tell whether a document is one that a page made and that lives under the page's policy."""
    text = without_query(url.strip()).lower()
    return text in _ABOUT or reduce_url(text) in _LOCAL_SCHEMES


def maker_of(url: str) -> str:
    """Return the origin of the page that made a ``blob:`` document; empty where none is named."""
    scheme, _, inner = url.strip().partition(":")
    origin = reduce_url(inner) if scheme.lower() in _NESTING else ""
    return origin if "://" in origin else ""


def host_of(origin: str) -> str:
    """Return the host of a reduced URL; empty where it has none."""
    _, separator, authority = origin.partition("://")
    if not separator:
        return ""
    return strip_port(authority)


def strip_port(authority: str) -> str:
    """Return a ``Host``'s name, in lower case and without its port and last dot."""
    name = authority.lower()
    if not name.endswith("]"):
        before, colon, port = name.rpartition(":")
        if colon and port.isdigit():
            name = before
    return name.rstrip(".")


def without_query(url: str) -> str:
    """Return a URL up to its path: what makes two documents different. Never kept in clear."""
    return re.split(r"[?#]", url, maxsplit=1)[0]
