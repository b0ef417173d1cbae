"""Source expressions: the items of a source list (CSP Level 3 §2.3.1).

``parse_source`` knows the grammar and refuses what a browser would read differently than
meant: ``self`` without quotes is the name of a host, ``'slef'`` is ignored,
a hash of the wrong length or without its padding matches nothing. A variable may be in
the place of a host, ``{tenant_domain}``, and in the place of the nonce, ``'nonce-{nonce}'``.
"""

import base64
import binascii
import re
from difflib import get_close_matches
from enum import StrEnum
from typing import NamedTuple

TENANT_DOMAIN = "{tenant_domain}"
NONCE = "{nonce}"
NONCE_SOURCE = f"'nonce-{NONCE}'"


class Kind(StrEnum):
    """The kinds of source expressions."""

    NONE = "none"
    KEYWORD = "keyword"
    SCHEME = "scheme"
    HOST = "host"
    NONCE = "nonce"
    HASH = "hash"


class Source(NamedTuple):
    """One parsed source expression.

    ``text`` is its text in the header: lower case where case has no meaning, variables
    in place. ``scheme``, ``host`` (``*``, ``*.suffix``, a name, or with ``{tenant_domain}``
    in it), ``port`` (digits or ``*``) and ``path`` are empty if they are not given.
    """

    kind: Kind
    text: str
    scheme: str = ""
    host: str = ""
    port: str = ""
    path: str = ""

    @property
    def of_tenant(self) -> bool:
        """Tell whether it has the variable of the tenant's domain."""
        return TENANT_DOMAIN in self.host

    def for_tenant(self, domain: str) -> "Source":
        """Return the source with a tenant's domain in the variable's place."""
        if not self.of_tenant:
            return self
        return self._replace(
            text=self.text.replace(TENANT_DOMAIN, domain),
            host=self.host.replace(TENANT_DOMAIN, domain),
        )


class NotASourceError(ValueError):
    """The text is not a source expression, or has no effect as one."""


KEYWORDS = (
    "self",
    "unsafe-inline",
    "unsafe-eval",
    "strict-dynamic",
    "unsafe-hashes",
    "report-sample",
    "unsafe-allow-redirects",
    "wasm-unsafe-eval",
    "trusted-types-eval",
    "report-sha256",
    "report-sha384",
    "report-sha512",
    "inline-speculation-rules",
    "unsafe-webtransport-hashes",
)
SELF, UNSAFE_INLINE = "'self'", "'unsafe-inline'"
_DIGEST_BYTES = {"sha256": 32, "sha384": 48, "sha512": 64}
_QUOTABLE = re.compile(r"(nonce|sha256|sha384|sha512)-.+")
_VISIBLE = re.compile(r"[\x21-\x7e]+")
_SCHEME = r"[A-Za-z][A-Za-z0-9+.-]*"
_SCHEME_SOURCE = re.compile(rf"({_SCHEME}):")
_LABEL = r"[A-Za-z0-9-]+"
_HOST_SOURCE = re.compile(
    rf"(?:(?P<scheme>{_SCHEME})://)?"
    rf"(?P<host>\*|(?:\*\.)?(?:{_LABEL}(?:\.{_LABEL})*\.?|\{{tenant_domain\}}))"
    r"(?::(?P<port>\*|[0-9]+))?"
    r"(?P<path>/(?!/)(?:[A-Za-z0-9._~!$&'()*+=:@/-]|%[0-9A-Fa-f]{2})*)?"
)
_VARIABLE = re.compile(r"\{[^{}]*\}?|\}")
_HASH = re.compile(r"(sha256|sha384|sha512)-([A-Za-z0-9+/_-]+={0,2})")
_STANDARD_ALPHABET = str.maketrans("-_", "+/")
_LAST_PORT = 65_535
_PORT_DIGITS = 5
_MAX_SHOWN = 40


def parse_source(text: str) -> Source:
    """Parse one source expression. Raises ``NotASourceError``, which says what is wrong."""
    check_characters(text)
    if text.startswith("'") or text.endswith("'"):
        return _quoted(text)
    if text.lower() in KEYWORDS or text.lower() == "none" or _QUOTABLE.fullmatch(text.lower()):
        raise NotASourceError(
            f"{_shown(text)} without quotes is the name of a host; write \"'{text}'\""
        )
    if (scheme := _SCHEME_SOURCE.fullmatch(text)) is not None:
        return Source(Kind.SCHEME, text.lower(), scheme=scheme[1].lower())
    return _host(text)


def check_characters(text: str) -> None:
    """Refuse what would end a value, a directive or the header."""
    if not text:
        raise NotASourceError("is empty")
    for mark, what in ((";", "ends a directive"), (",", "ends a policy")):
        if mark in text:
            raise NotASourceError(f"{mark!r} {what}; in a path write it percent-encoded")
    if not _VISIBLE.fullmatch(text):
        raise NotASourceError("holds a space, a control character or a character beyond ASCII")


def check_variables(text: str) -> None:
    """Refuse an unknown variable."""
    for name in _VARIABLE.findall(text):
        if name not in {TENANT_DOMAIN, NONCE}:
            raise NotASourceError(f"{name} is no variable; there are {TENANT_DOMAIN} and {NONCE}")


def _quoted(text: str) -> Source:
    inner = text[1:-1]
    if not inner or "'" in inner or text != f"'{inner}'":
        raise NotASourceError(f"{_shown(text)} has a quote without its other half")
    lowered = inner.lower()
    if lowered == "none":
        return Source(Kind.NONE, "'none'")
    if lowered in KEYWORDS:
        return Source(Kind.KEYWORD, f"'{lowered}'")
    if lowered.startswith("nonce-"):
        if inner[len("nonce-") :] == NONCE:
            return Source(Kind.NONCE, NONCE_SOURCE)
        raise NotASourceError(f"a nonce that stands in a file is none; write {NONCE_SOURCE}")
    if lowered.startswith("sha"):
        return _hash(inner)
    close = get_close_matches(lowered, ("none", *KEYWORDS), 1)
    hint = f"; did you mean '{close[0]}'?" if close else ""
    raise NotASourceError(f"{_shown(text)} is no keyword, nonce or hash{hint}")


def _hash(inner: str) -> Source:
    algorithm, dash, value = inner.partition("-")
    inner = f"{algorithm.lower()}{dash}{value}"
    match = _HASH.fullmatch(inner)
    if match is None:
        raise NotASourceError(
            f"'{_shown(inner)}' is no hash: sha256-, sha384- or sha512- and the digest in base64"
        )
    wanted = _DIGEST_BYTES[match[1]]
    # A browser compares this text with its own base64, which is padded (§6.7.2.1 of CSP3).
    standard = match[2].translate(_STANDARD_ALPHABET)
    try:
        digest = base64.b64decode(standard + "=" * (-len(standard) % 4))
    except binascii.Error:
        digest = b""
    if len(digest) != wanted:
        raise NotASourceError(f"a {match[1]} has {wanted} bytes; this base64 has another length")
    written = base64.b64encode(digest).decode()
    if written != standard:
        raise NotASourceError(f"browsers match no other spelling than '{match[1]}-{written}'")
    return Source(Kind.HASH, f"'{inner}'")


def _host(text: str) -> Source:
    check_variables(text)
    match = _HOST_SOURCE.fullmatch(text)
    if match is None:
        raise NotASourceError(f"{_shown(text)} is no source: {_reason(text)}")
    scheme, host, port, path = (match[part] or "" for part in ("scheme", "host", "port", "path"))
    if port not in {"", "*"}:
        port = port.lstrip("0")
        if not port or len(port) > _PORT_DIGITS or int(port) > _LAST_PORT:
            raise NotASourceError(f"{_shown(match['port'])} is no port")
    scheme, host = scheme.lower(), host if TENANT_DOMAIN in host else host.lower()
    whole = "".join((f"{scheme}://" if scheme else "", host, f":{port}" if port else "", path))
    return Source(Kind.HOST, whole, scheme, host, port, path)


def _reason(text: str) -> str:
    """Return the most likely cause of the mistake."""
    if "?" in text or "#" in text:
        return "it can't hold a query or a fragment"
    if "[" in text:
        return "an IPv6 address can't stand in a policy"
    if "*" in text:
        return "'*' stands alone, for a port, or as the first label of a host: *.example.com"
    return "neither scheme: nor [scheme://]host[:port][/path]"


def _shown(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"
