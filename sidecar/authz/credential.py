"""Where a request's access token is: exactly one, from where the route looks for it.

- ``header``: ``Authorization: Bearer <token>`` (RFC 6750 §2.1);
- ``cookie:<name>``: a cookie of that name (RFC 6265 §5.4);
- ``websocket``: an entry ``bearer.<token>`` of ``Sec-WebSocket-Protocol``, because a
  browser can set no other header of a WebSocket's handshake (RFC 6455 §11.3.4).

Never the query (RFC 6750 §2.3): it is in logs, histories and ``Referer``.

The application looks for its token by rules of its own, and must find the one that was
verified or none. So on a route that reads a token every place is looked at, in every
spelling that a server may take for it (``spelling``):

- two credentials are denied, from one place or from two, and so is one where the route does
  not look, or in a spelling that is not read here;
- a cookie in which only *other* routes read tokens is taken out of the request: a browser
  sends it along unasked;
- a header that did not come is removed. Where Envoy keeps it back (``allowed_headers``) the
  client's would otherwise arrive unread.
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
"""Cookies or query parameters among which a token is looked for; a browser sends 180."""
_PROTOCOL_PREFIX = b"bearer."
_LIKE_A_TOKEN = re.compile(rb"(?i:(?<![a-z0-9_-])bearer[^a-z0-9_-])|(?<![A-Za-z0-9_-])eyJ")
"""Some convention's bearer token (Kubernetes has ``base64url.bearer.…``), or a JWT as it is."""
_SCHEME = b"bearer"
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
    """What was found: the token, and what must not reach the application beside it."""

    token: bytes | None
    in_query: bool = False
    """Whether the query holds a token, which is read nowhere."""
    removed: tuple[str, ...] = ()
    """Headers that are not to arrive."""
    cookie: bytes | None = None
    """The ``Cookie`` header without other routes' tokens, where it had one."""


class TokenPlaces:
    """Where one route looks for its token, and where all routes together do.

    ``watched_cookies`` are the names in which any route reads tokens, and
    ``watches_websocket`` is true where any reads them from subprotocols.
    """

    __slots__ = (
        "cookies", "forms", "header", "names", "own_forms", "watches_websocket", "websocket",
    )  # fmt: skip

    def __init__(
        self,
        token_from: Sequence[str] = (HEADER,),
        watched_cookies: Iterable[str] = (),
        *,
        watches_websocket: bool = False,
    ) -> None:
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

    def glance(self, headers: Mapping[str, bytes], query: bytes) -> int:
        """Tell in passing what a request holds beside ``Authorization``.

        0 for nothing that could be a credential, 1 for cookies of which none could be one,
        and ``LOOK`` where only ``find_token`` can tell.
        """
        if PROTOCOLS in headers or (query and may_hold(query, _QUERY_FORMS)):
            return LOOK
        if not self.forms:
            return 0
        cookie = headers.get(COOKIE)
        if cookie is None:
            return 0
        return LOOK if may_hold(cookie, self.forms) else 1


HEADER_ONLY = TokenPlaces()
LOOK = -1


def find_token(
    headers: Mapping[str, bytes], query: bytes, places: TokenPlaces, max_token_bytes: int
) -> Credential:
    """Return the one credential, or one without a token if there is none; raises ``Denied``.

    ``query`` is the request target's, as it came.
    """
    cookies, kept = _read_cookies(headers.get(COOKIE, b""), places)
    tokens = [
        *_read_authorization(headers.get(AUTHORIZATION), places, max_token_bytes),
        *_read_protocols(headers.get(PROTOCOLS, b""), places),
        *cookies,
    ]
    if len(tokens) > 1:
        raise _ambiguous(f"more than one credential came, for a route that reads {places.names}")
    return Credential(
        _bounded(tokens[0], max_token_bytes) if tokens else None,
        _in_query(query),
        tuple(_not_to_arrive(headers, places, kept)),
        kept or None,
    )


def where_none_is(headers: Mapping[str, bytes], places: TokenPlaces) -> str:
    """Say for the audit log where no credential was, and which header Envoy may keep back."""
    read = (
        (AUTHORIZATION, places.header),
        (COOKIE, bool(places.cookies)),
        (PROTOCOLS, places.websocket),
    )
    unseen = [name for name, wanted in read if wanted and name not in headers]
    if not unseen:
        return f"no credential in {places.names}"
    names = " and no ".join(unseen)
    return (
        f"no credential in {places.names}: no {names} header came; if the client sent it, "
        "ext_authz's allowed_headers in Envoy keeps it back"
    )


def read_bearer(credential: bytes, max_token_bytes: int) -> bytes:
    """Return the token of an ``Authorization`` header's value.

    Raises ``Denied``: a comma means several headers or several credentials (neither a
    scheme nor a token may hold one), another scheme is not ours to judge, and the size
    is bounded here already so that nothing larger is copied.
    """
    scheme, _, token = credential.strip(b" \t").partition(b" ")
    _bounded(token, max_token_bytes)
    if b"," in credential:
        raise _ambiguous("more than one credential was sent")
    if scheme.lower() != _SCHEME:
        raise Denied(Reason.TOKEN_SCHEME_UNSUPPORTED, "the scheme is not Bearer")
    return token.lstrip(b" ")


def _read_authorization(
    credential: bytes | None, places: TokenPlaces, max_token_bytes: int
) -> tuple[bytes, ...]:
    if credential is None:
        return ()
    if places.header:
        return (read_bearer(credential, max_token_bytes),)
    if credential.strip(b" \t,"):
        raise _ambiguous(f"Authorization came, and the route reads {places.names}")
    return ()


def _read_protocols(protocols: bytes, places: TokenPlaces) -> list[bytes]:
    """Return the tokens among the subprotocols; refuses those in a form that is not read."""
    if not protocols:
        return []
    tokens = []
    for entry in protocols.split(b","):
        stripped = entry.strip(b" \t")
        if places.websocket and stripped.startswith(_PROTOCOL_PREFIX):
            tokens.append(stripped[len(_PROTOCOL_PREFIX) :])
        elif _LIKE_A_TOKEN.search(stripped):
            raise _ambiguous("a subprotocol looks like a token, and is not read on this route")
    return tokens


def _read_cookies(header: bytes, places: TokenPlaces) -> tuple[list[bytes], bytes | None]:
    """Return the tokens in cookies, and the header without other routes' where it had any.

    What comes between the separators is one cookie to some servers and several to others;
    a comma parts two header lines that Envoy has joined.
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
        raise _ambiguous("a cookie of another route can't be taken out: the others are not ASCII")
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
        raise _ambiguous("some servers take a cookie of another name for one that the route reads")
    value = value.strip(b" \t")
    return value[1:-1] if len(value) > 1 and value[:1] == value[-1:] == b'"' else value


def _not_to_arrive(
    headers: Mapping[str, bytes], places: TokenPlaces, kept: bytes | None
) -> list[str]:
    """List the headers in which an application could find what was not verified."""
    removed = []
    if not places.header:
        removed.append(AUTHORIZATION)
    if places.forms and (COOKIE not in headers or kept == b""):
        removed.append(COOKIE)
    if places.watches_websocket and PROTOCOLS not in headers:
        removed.append(PROTOCOLS)
    return removed


def _in_query(query: bytes) -> bool:
    """Tell whether the query has a token (RFC 6750 §2.3) in any spelling of the name."""
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
