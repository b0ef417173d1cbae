"""Where a request's access token is: exactly one, from where the route looks for it.

- ``header``: ``Authorization: Bearer <token>`` (RFC 6750 §2.1);
- ``cookie:<name>``: a cookie of that name (RFC 6265 §5.4);
- ``websocket``: an entry ``bearer.<token>`` of ``Sec-WebSocket-Protocol``, because a
  browser can set no other header of a WebSocket's handshake (RFC 6455 §11.3.4).

Never the query (RFC 6750 §2.3): it is in logs, histories and ``Referer``.

The application reads its token by rules of its own, and must find the one that was verified or
none. So on a route that reads a token every place is searched, in every spelling that a server
may accept for it (``spelling``):

- two credentials are denied, from one place or from two, and so is one in a place that the
  route does not read, or in a spelling that is not accepted here;
- a cookie in which only *other* routes read tokens is removed from the request: browsers send
  it with every request;
- a header that is absent from the Check is removed. Where Envoy withholds it from the sidecar
  (``allowed_headers``) the client's header would otherwise reach the application unverified.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from sidecar.authz.spelling import forms_of, may_hold
from sidecar.common.errors import Denied
from sidecar.common.reasons import Reason

HEADER = "header"
WEBSOCKET = "websocket"
COOKIE_PREFIX = "cookie:"
AUTHORIZATION, COOKIE, PROTOCOLS = "authorization", "cookie", "sec-websocket-protocol"
MAX_PARTS = 512
"""The most cookies or query parameters that are searched for a token; a browser sends 180."""
_PROTOCOL_PREFIX = b"bearer."
_LIKE_A_TOKEN = re.compile(rb"(?i:(?<![a-z0-9_-])bearer[^a-z0-9_-])|(?<![A-Za-z0-9_-])eyJ")
"""A bearer token of another convention (Kubernetes: ``base64url.bearer.…``), or a bare JWT."""
_BEARER = b"bearer"
_DPOP = b"dpop"
_COMMA = ord(",")
"""A number, as in ``spelling.may_hold``."""
_SEPARATORS = re.compile(rb"([;,])")
_KEY = re.compile(
    rb"(?<![^\x00-\x21\x7f-\xff=\x22;,])([^\x00-\x21\x7f-\xff=\x22;,]++)[^\x22-\x7e]*+="
)
"""A name before an equals sign: Python's cookie parser begins a new one after white space, of
which Envoy writes what is not UTF-8 as an exclamation mark."""
_QUERY_FORMS = (b"access_token",)
_FORMS_IN_QUERY = frozenset(_QUERY_FORMS)
_QUERY_SEPARATORS = re.compile(rb"[&;]")


class Credential(NamedTuple):
    """What was found: the token, and what must be removed before the application's request."""

    token: bytes | None
    in_query: bool = False
    """Whether the query holds a token, which no route reads."""
    removed: tuple[str, ...] = ()
    """Headers that Envoy must remove."""
    cookie: bytes | None = None
    """The ``Cookie`` header without other routes' tokens, where it had one."""
    is_dpop: bool = False
    """Whether the token came under the scheme ``DPoP`` (RFC 9449 §7.1)."""


class TokenPlaces:
    """Where one route reads its token, and where all routes together do.

    ``watched_cookies`` are the names in which any route reads tokens, and
    ``watches_websocket`` is true where any reads them from subprotocols. With ``dpop`` the
    header may have the scheme ``DPoP`` too.
    """

    __slots__ = (
        "cookies", "dpop", "forms", "header", "names", "own_forms", "watches_websocket",
        "websocket",
    )  # fmt: skip

    def __init__(
        self,
        token_from: Sequence[str] = (HEADER,),
        watched_cookies: Iterable[str] = (),
        *,
        watches_websocket: bool = False,
        dpop: bool = False,
    ) -> None:
        self.dpop = dpop
        own = tuple(
            place.removeprefix(COOKIE_PREFIX)
            for place in token_from
            if place.startswith(COOKIE_PREFIX)
        )
        self.names = ", ".join(token_from)
        self.header = HEADER in token_from
        self.cookies = tuple(name.encode("ascii") for name in own)
        self.websocket = WEBSOCKET in token_from
        self.own_forms = frozenset(form for name in self.cookies for form in forms_of(name))
        watched = {*self.cookies, *(name.encode("ascii") for name in watched_cookies)}
        self.forms = frozenset(form for name in watched for form in forms_of(name))
        self.watches_websocket = self.websocket or watches_websocket

    def scan(self, headers: Mapping[str, bytes], query: bytes) -> int:
        """Scan cheaply for credentials in addition to ``Authorization``.

        Return 0 for nothing that could be a credential, 1 for cookies of which none could be
        one, and ``UNDECIDED`` where only ``find_token`` can decide.
        """
        if PROTOCOLS in headers or (query and may_hold(query, _QUERY_FORMS)):
            return UNDECIDED
        if not self.forms:
            return 0
        cookie = headers.get(COOKIE)
        if cookie is None:
            return 0
        return UNDECIDED if may_hold(cookie, self.forms) else 1


HEADER_ONLY = TokenPlaces()
UNDECIDED = -1


def find_token(
    headers: Mapping[str, bytes], query: bytes, places: TokenPlaces, max_token_bytes: int
) -> Credential:
    """Return the one credential, or one without a token if there is none; raise ``Denied``.

    ``query`` is the request target's, as it arrived.
    """
    cookies, kept = _read_cookies(headers.get(COOKIE, b""), places)
    tokens = [
        *_read_authorization(headers.get(AUTHORIZATION), places, max_token_bytes),
        *_read_protocols(headers.get(PROTOCOLS, b""), places),
        *cookies,
    ]
    if len(tokens) > 1:
        raise _ambiguous(f"more than one credential was sent; the route reads {places.names}")
    return Credential(
        _bounded(tokens[0], max_token_bytes) if tokens else None,
        _in_query(query),
        tuple(_not_to_arrive(headers, places, kept)),
        kept or None,
        places.dpop and _is_dpop(headers),
    )


def find_scanned_token(
    headers: Mapping[str, bytes], places: TokenPlaces, max_token_bytes: int
) -> Credential:
    """Return what ``find_token`` does, where ``places.scan`` was not ``UNDECIDED``.

    Then no cookie, subprotocol or query holds a credential, and none is searched again.
    """
    tokens = _read_authorization(headers.get(AUTHORIZATION), places, max_token_bytes)
    return Credential(
        _bounded(tokens[0], max_token_bytes) if tokens else None,
        removed=tuple(_not_to_arrive(headers, places, None)),
        is_dpop=places.dpop and _is_dpop(headers),
    )


def where_none_is(headers: Mapping[str, bytes], places: TokenPlaces) -> str:
    """Return the detail for the audit log: the places read, and the headers absent from the Check.

    A header may be absent because Envoy withholds it (``allowed_headers``).
    """
    read = (
        (AUTHORIZATION, places.header),
        (COOKIE, bool(places.cookies)),
        (PROTOCOLS, places.websocket),
    )
    absent = [name for name, is_read in read if is_read and name not in headers]
    if not absent:
        return f"no credential in {places.names}"
    names = " and no ".join(absent)
    return (
        f"no credential in {places.names}: the Check has no {names} header; if the client sent "
        "it, add it to ext_authz's allowed_headers in Envoy"
    )


def place_of(headers: Mapping[str, bytes], places: TokenPlaces) -> str:
    """Return where the token is of a request of which ``find_token`` returned one."""
    if places.header and headers.get(AUTHORIZATION) is not None:
        return HEADER
    if _read_protocols(headers.get(PROTOCOLS, b""), places):
        return WEBSOCKET
    parts = _SEPARATORS.split(headers.get(COOKIE, b""))
    sent = {part.partition(b"=")[0].strip(b" \t") for part in parts}
    found = next((name for name in places.cookies if name in sent), b"")
    return COOKIE_PREFIX + found.decode("ascii")


def read_bearer(credential: bytes, max_token_bytes: int, *, dpop: bool = False) -> bytes:
    """Return the token of an ``Authorization`` header's value.

    Raises ``Denied``: a comma means several headers or several credentials (neither a
    scheme nor a token may contain one), only the scheme Bearer is supported, with ``dpop`` the
    scheme DPoP too, and the size is bounded here already so that nothing larger is copied.
    """
    scheme, _, token = credential.strip(b" \t").partition(b" ")
    _bounded(token, max_token_bytes)
    if _COMMA in credential:
        raise _ambiguous("more than one credential was sent")
    scheme = scheme.lower()
    if scheme != _BEARER and not (dpop and scheme == _DPOP):
        raise Denied(
            Reason.TOKEN_SCHEME_UNSUPPORTED,
            "the scheme is DPoP, which the route does not take (routes[].binding)"
            if scheme == _DPOP
            else "the scheme is not Bearer",
        )
    return token.lstrip(b" ")


def _read_authorization(
    credential: bytes | None, places: TokenPlaces, max_token_bytes: int
) -> tuple[bytes, ...]:
    if credential is None:
        return ()
    if places.header:
        return (read_bearer(credential, max_token_bytes, dpop=places.dpop),)
    if credential.strip(b" \t,"):
        raise _ambiguous(f"Authorization was sent, but the route reads {places.names}")
    return ()


def _is_dpop(headers: Mapping[str, bytes]) -> bool:
    """Return whether ``Authorization`` has the scheme ``DPoP``."""
    return headers.get(AUTHORIZATION, b"").lstrip(b" \t")[: len(_DPOP)].lower() == _DPOP


def _read_protocols(protocols: bytes, places: TokenPlaces) -> list[bytes]:
    """Return the tokens among the subprotocols; raise ``Denied`` for unsupported forms."""
    if not protocols:
        return []
    tokens = []
    for entry in protocols.split(b","):
        stripped = entry.strip(b" \t")
        if places.websocket and stripped.startswith(_PROTOCOL_PREFIX):
            tokens.append(stripped[len(_PROTOCOL_PREFIX) :])
        elif _LIKE_A_TOKEN.search(stripped):
            raise _ambiguous("a subprotocol looks like a token, but this route reads none there")
    return tokens


def _read_cookies(header: bytes, places: TokenPlaces) -> tuple[list[bytes], bytes | None]:
    """Return the tokens in cookies, and the header without other routes' tokens if it had any.

    Text between two separators is one cookie to some servers and several to others; a comma
    separates two header lines that Envoy has joined.
    """
    if not may_hold(header, places.forms):
        return [], None
    parts = _SEPARATORS.split(header, 2 * MAX_PARTS)
    if len(parts) > 2 * MAX_PARTS:
        raise _ambiguous(f"a credential may be among more than {MAX_PARTS} cookies")
    tokens: list[bytes] = []
    kept: list[bytes] = []
    for number in range(0, len(parts), 2):
        names = [forms for forms in _names_in(parts[number]) if not places.forms.isdisjoint(forms)]
        if names and all(places.own_forms.isdisjoint(forms) for forms in names):
            continue
        if names:
            tokens.append(_read_cookie(parts[number], len(names), places))
        kept += parts[max(number - 1, 0) : number + 1]
    if sum(map(len, kept)) == len(header):
        return tokens, None
    rest = b"".join(kept).strip(b" \t;,")
    if not rest.isascii():
        raise _ambiguous("another route's cookie can't be removed: the others are not ASCII")
    return tokens, rest


def _names_in(part: bytes) -> list[tuple[bytes, ...]]:
    """Return the forms of each name that a server may find in one cookie."""
    name, equals, _ = part.partition(b"=")
    if not equals:
        return []
    first, *others = _KEY.findall(part) or [b""]
    return [(*forms_of(name), *forms_of(first)), *map(forms_of, others)]


def _read_cookie(part: bytes, names: int, places: TokenPlaces) -> bytes:
    """Return the value of a cookie of a name that the route reads."""
    name, _, value = part.strip(b" \t").partition(b"=")
    if names > 1 or name not in places.cookies:
        raise _ambiguous("some servers read a cookie of another name as one of the route's")
    value = value.strip(b" \t")
    return value[1:-1] if len(value) > 1 and value[:1] == value[-1:] == b'"' else value


def _not_to_arrive(
    headers: Mapping[str, bytes], places: TokenPlaces, kept: bytes | None
) -> list[str]:
    """Return the headers in which an application could find an unverified credential."""
    removed = []
    if not places.header:
        removed.append(AUTHORIZATION)
    if places.forms and (COOKIE not in headers or kept == b""):
        removed.append(COOKIE)
    if places.watches_websocket and PROTOCOLS not in headers:
        removed.append(PROTOCOLS)
    return removed


def _in_query(query: bytes) -> bool:
    """Return whether the query has a token (RFC 6750 §2.3) in any spelling of the name."""
    if not query or not may_hold(query, _QUERY_FORMS):
        return False
    parts = _QUERY_SEPARATORS.split(query, MAX_PARTS)
    if len(parts) > MAX_PARTS:
        raise _ambiguous(f"a credential may be among more than {MAX_PARTS} parameters")
    return any(not _FORMS_IN_QUERY.isdisjoint(forms_of(part.partition(b"=")[0])) for part in parts)


def _ambiguous(detail: str) -> Denied:
    return Denied(Reason.TOKEN_AMBIGUOUS, detail)


def _bounded(token: bytes, max_token_bytes: int) -> bytes:
    if len(token) > max_token_bytes:
        raise Denied(Reason.TOKEN_TOO_LARGE, f"{len(token)} bytes, the limit is {max_token_bytes}")
    return token
