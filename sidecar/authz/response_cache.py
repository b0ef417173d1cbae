"""What a Check need not work out a second time, and why that changes no answer.

An answer depends on the route and the host (a *place*), on the token's tenant, roles and
scopes (its *standing*), on the clock, and on the snapshot. Under one snapshot the first
three are the same for Check after Check; so are the bytes that go with them:

- a ``ResolvedTarget`` is a request target that was read and matched: method, host and path as they
  came, without the query;
- a ``RouteScope`` keeps, by standing, the ``Template`` of an answer that ``decide`` gave;
- with a token (``tokens.cache.CachedToken``) are kept its own runs of the answer, its
  standing, its two moments, and under which snapshot it was last decided upon.

All of it is dropped with the snapshot it was made under, so a key that goes, a revocation
or a new state of the keys leaves nothing behind. Every table is bounded, and emptied when
it is full: a flood costs its own reading and nobody else's.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from sidecar.authz.routes import Route
from sidecar.tokens.cache import CachedToken, TokenCache
from sidecar.tokens.claims import Claims

if TYPE_CHECKING:
    from sidecar.authz.encoding.request import Attributes

MAX_TARGETS = 8192
MAX_PATH_BYTES = 256
"""Longer paths are read anew each time."""
CHALLENGE_PREFIX = b"/.well-known/acme-challenge/"
"""Where CAs look for the answers of ACME http-01 (RFC 8555 §8.3)."""
MAX_TEMPLATES = 32_768
ORIGIN_WEIGHT = 8
"""An answer to one origin shares its bytes with no other, so it counts as so many."""
MAX_PRINCIPAL_KEYS = 16_384
NO_TOKEN = 0
"""The standing of a request that brings no token."""

Target = tuple[bytes, bytes, bytes]
"""Method, host and path without query, as they came."""
EncodedFields = tuple[bytes, bytes]
"""Runs of fields of ``OkHttpResponse`` and of the metadata's ``Struct``."""
NO_FIELDS: EncodedFields = (b"", b"")


class Template:
    """An answer that allows, but for what is one token's own.

    The whole is ``opening, ok, <own run>, between, metadata, <own run>``: the lengths of the
    two submessages stand in ``opening`` and ``between``, so a template serves the tokens whose
    runs are equally long. ``outcome``, ``route`` and ``key_state`` are those of the decision;
    ``note`` is for those who count and record.
    """

    __slots__ = (
        "between", "key_state", "metadata", "note", "ok", "opening", "outcome", "route",
    )  # fmt: skip

    def __init__(
        self,
        opening: bytes,
        ok: bytes,
        between: bytes,
        metadata: bytes,
        *,
        outcome: str,
        route: str,
        key_state: str,
    ) -> None:
        self.opening = opening
        self.ok = ok
        self.between = between
        self.metadata = metadata
        self.outcome = outcome
        self.route = route
        self.key_state = key_state
        self.note: Any = None

    def fill(self, own: EncodedFields) -> bytes:
        """Return the serialised ``CheckResponse``."""
        return b"".join(
            (self.opening, self.ok, own[0], self.between, self.metadata, own[1]),
        )


class NonceTemplate(Template):
    """A template with slots for a nonce, and a new nonce each time it is filled."""

    __slots__ = ("_new_nonce", "_pieces")

    def __init__(self, template: Template, slot: bytes, new_nonce: Callable[[], bytes]) -> None:
        super().__init__(
            template.opening,
            template.ok,
            template.between,
            template.metadata,
            outcome=template.outcome,
            route=template.route,
            key_state=template.key_state,
        )
        self._pieces = template.ok.split(slot)
        self._new_nonce = new_nonce

    def fill(self, own: EncodedFields) -> bytes:
        """Return the serialised ``CheckResponse``; a nonce is as long as its slot."""
        ok = self._new_nonce().join(self._pieces)
        return b"".join((self.opening, ok, own[0], self.between, self.metadata, own[1]))


AnswerKey = int | tuple[int, bytes]
"""A standing, its complement where cookies came of which none may be a credential; and the
origin that may read the answer, where answers depend on it."""


class RouteScope:
    """A route and the host it was asked under, with the answers given there.

    ``plain`` is true where nothing but the target and one ``Authorization`` header decides:
    no client certificate, no token in a cookie, no shadow, no bundle, no end of the stream to
    be told. What may be a second credential beside that header is looked for each time
    (``TokenPlaces.glance``).
    """

    __slots__ = ("answers", "glance", "plain", "reads_origin", "reads_token", "route")

    def __init__(self, route: Route) -> None:
        self.route = route
        self.answers: dict[AnswerKey, Template] = {}
        self.reads_origin = route.reads_origin
        self.reads_token = route.auth != "none"
        self.glance = route.places.glance
        header_only = not self.reads_token or route.token_from == ("header",)
        bare = not route.clients and not route.shadow and route.module is None
        self.plain = header_only and bare and not route.end_streams_with_token


class ResolvedTarget:
    """A target's canonical parts and where it leads. ``note``: see ``Template``."""

    __slots__ = ("host", "method", "note", "path", "place")

    def __init__(self, method: str, host: str, path: str, place: RouteScope) -> None:
        self.method = method
        self.host = host
        self.path = path
        self.place = place
        self.note: bytes | None = None


AllowedCheck = tuple[ResolvedTarget, Template, CachedToken | None, "Attributes", float, int]
"""A Check that was allowed on plain grounds: the target, the answer, the token if one came, the
request's attributes, when (Unix seconds), and how long it took (nanoseconds). A plain ground
is a token in the one header, or that none is needed."""


class PrincipalKey(NamedTuple):
    """All of a token that a template depends on."""

    tenant_id: str
    roles: tuple[str, ...]
    scopes: tuple[str, ...]
    own_lengths: tuple[int, int]


class ResponseCache:
    """The tables of one service. One thread, no locks."""

    __slots__ = (
        "_next_principal_key",
        "_principal_keys",
        "_scopes",
        "_templates",
        "epoch",
        "tokens",
        "visits",
    )  # fmt: skip

    def __init__(self, tokens: TokenCache) -> None:
        self.tokens = tokens
        self.visits: dict[Target, ResolvedTarget] = {}
        self.epoch = 1
        """Grows with every snapshot; what was decided under another is decided anew."""
        self._scopes: dict[tuple[str, str], RouteScope] = {}
        self._principal_keys: dict[PrincipalKey, int] = {}
        self._next_principal_key = NO_TOKEN + 1
        self._templates = 0

    def invalidate(self) -> None:
        """Forget what was worked out under the snapshot that has gone."""
        self.visits.clear()
        self._scopes.clear()
        self._templates = 0
        self.epoch += 1

    def cache_target(
        self, target: Target, method: str, host: str, path: str, route: Route
    ) -> ResolvedTarget:
        """Remember a target that was matched.

        One under the path of challenges is not: it may be answered otherwise the next time.
        """
        if len(self.visits) >= MAX_TARGETS:
            self.visits.clear()
            self._scopes.clear()
            self._templates = 0
        place = self._scopes.get((route.name, host))
        if place is None:
            place = self._scopes[route.name, host] = RouteScope(route)
        visit = ResolvedTarget(method, host, path, place)
        if len(target[2]) <= MAX_PATH_BYTES and not target[2].startswith(CHALLENGE_PREFIX):
            self.visits[target] = visit
        return visit

    def cache_template(self, place: RouteScope, key: AnswerKey, template: Template) -> None:
        """Remember an answer that was given at a place."""
        if self._templates >= MAX_TEMPLATES:
            for each in self._scopes.values():
                each.answers.clear()
            self._templates = 0
        place.answers[key] = template
        self._templates += 1 if isinstance(key, int) else ORIGIN_WEIGHT

    def principal_key_of(self, claims: Claims, own: EncodedFields) -> int:
        """Return the number of a token's standing; a number is never used for another."""
        principal_key = PrincipalKey(
            claims.tenant_id, claims.roles, claims.scopes, (len(own[0]), len(own[1]))
        )
        number = self._principal_keys.get(principal_key)
        if number is None:
            if len(self._principal_keys) >= MAX_PRINCIPAL_KEYS:
                self._principal_keys.clear()
            number = self._principal_keys[principal_key] = self._next_principal_key
            self._next_principal_key += 1
        return number
