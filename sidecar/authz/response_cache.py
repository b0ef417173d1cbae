"""The response cache: what a Check need not compute again, and why that changes no answer.

An answer depends on the route and the host (a *route scope*), on the token's tenant, roles and
scopes (a *principal key*), on the clock, and on the snapshot. Under one snapshot the first two
are the same for Check after Check, and so are the bytes of the answer:

- a ``ResolvedTarget`` is a request target that was parsed and matched: method, host and path as
  they arrived, without the query;
- a ``RouteScope`` keeps, by principal key, the ``Template`` of an answer that ``decide`` gave;
- a cached token (``tokens.cache.CachedToken``) keeps its own encoded fields of the answer, its
  principal key, from when until when it is valid, and under which snapshot it was last evaluated.

All of it is dropped with the snapshot it was made under, so no entry outlives the removal of a
key, a revocation or a change of the key state. Every table is bounded and emptied when it is
full: a flood makes the next requests slower and costs no memory.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from sidecar.authz.decision_ids import ID_BYTES
from sidecar.authz.routes import Route
from sidecar.tokens.cache import CachedToken, TokenCache
from sidecar.tokens.claims import Claims

if TYPE_CHECKING:
    from sidecar.authz.encoding.request import Attributes

MAX_TARGETS = 8192
MAX_PATH_BYTES = 256
"""Longer paths are not cached."""
CHALLENGE_PREFIX = b"/.well-known/acme-challenge/"
"""Where CAs request the answers of ACME http-01 (RFC 8555 §8.3)."""
MAX_TEMPLATES = 32_768
ORIGIN_WEIGHT = 8
"""An answer for one origin shares its bytes with no other, so it counts as this many."""
MAX_PRINCIPAL_KEYS = 16_384
NO_TOKEN = 0
"""The principal key of a request without a token."""

TargetKey = tuple[bytes, bytes, bytes]
"""Method, host and path without query, as they arrived."""
ID_ENTRY = b"\x0a\x25\x0a\x0bdecision_id\x12\x16\x1a\x14"
"""What stands before a decision's id in the metadata's ``Struct``: an entry of its map (field 1),
with the key and a ``Value`` of ``ID_BYTES`` bytes."""
ID_ENTRY_BYTES = len(ID_ENTRY) + ID_BYTES
EncodedFields = tuple[bytes, bytes, *tuple[Any, ...]]
"""Encoded fields of ``OkHttpResponse``, and of the metadata's ``Struct``; behind them what
``sidecar.decision_cache`` keeps of a token."""
NO_FIELDS: EncodedFields = (b"", b"")


class Template:
    """An encoded answer that allows, without the fields that are one token's own.

    The message is ``opening, ok, <own fields>, between, <own fields>, closing, <decision's id>``:
    ``opening`` and ``between`` contain the lengths of the two submessages, so a template serves
    the tokens whose own fields are equally long. ``closing`` is ``metadata`` and what stands
    before the id. ``outcome``, ``route`` and ``key_state`` are those of the decision; ``note``
    belongs to the decision recorder.
    """

    __slots__ = (
        "between", "closing", "key_state", "metadata", "note", "ok", "opening", "outcome", "route",
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
        self.closing = metadata + ID_ENTRY
        self.outcome = outcome
        self.route = route
        self.key_state = key_state
        self.note: Any = None

    def fill(self, own: EncodedFields, decision_id: bytes) -> bytes:
        """Return the serialised ``CheckResponse`` of one decision."""
        return b"".join((
            self.opening, self.ok, own[0], self.between, own[1], self.closing, decision_id,
        ))  # fmt: skip


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

    def fill(self, own: EncodedFields, decision_id: bytes) -> bytes:
        """Return the serialised ``CheckResponse``; a nonce is as long as its slot."""
        ok = self._new_nonce().join(self._pieces)
        return b"".join((
            self.opening, ok, own[0], self.between, own[1], self.closing, decision_id,
        ))  # fmt: skip


AnswerKey = int | tuple[int, bytes]
"""A principal key, or its complement where the request has cookies of which none can be a
credential; and the origin that may read the answer, where the answer depends on it."""


class RouteScope:
    """A route and the host of the requests, with the answers cached for them.

    ``plain`` is true where only the target and one ``Authorization`` header decide: no client
    certificate, no token in a cookie, no binding that every token must prove, no shadow mode, no
    bundle, no login to throttle, no rate in the answer, no limit of the stream's duration. Every
    request is scanned for a second credential (``TokenPlaces.scan``).
    """

    __slots__ = ("answers", "plain", "reads_origin", "reads_token", "route", "scan")

    def __init__(self, route: Route) -> None:
        self.route = route
        self.answers: dict[AnswerKey, Template] = {}
        self.reads_origin = route.reads_origin
        self.reads_token = route.auth != "none"
        self.scan = route.places.scan
        header_only = not self.reads_token or route.token_from == ("header",)
        bare = not (route.clients or route.shadow or route.module or route.binding_required)
        limits = route.limits
        repeatable = limits is None or (limits.login is None and not limits.reports)
        self.plain = header_only and bare and repeatable and not route.end_streams_with_token


class ResolvedTarget:
    """A target's canonical method, host and path, and its scope. ``note``: see ``Template``."""

    __slots__ = ("host", "method", "note", "path", "route_scope")

    def __init__(self, method: str, host: str, path: str, route_scope: RouteScope) -> None:
        self.method = method
        self.host = host
        self.path = path
        self.route_scope = route_scope
        self.note: bytes | None = None


AllowedCheck = tuple[ResolvedTarget, Template, CachedToken | None, "Attributes", float, int, bytes]
"""An allowed Check that the fast path may answer: the target, the answer, the token if there is
one, the request's attributes, the time (Unix seconds), the latency (nanoseconds) and its id."""


class FastPathFindings(NamedTuple):
    """What the fast path has found out about a Check whose token is not cached.

    The slow path need not find it out again while ``epoch`` is the response cache's own: then no
    other snapshot has come between the two. A Check that waits for the slow lane keeps these, so
    they hold no copy of the credential.
    """

    epoch: int
    target: ResolvedTarget
    seen: int
    """The result of ``TokenPlaces.scan``, which is not ``UNDECIDED``."""
    digest: bytes
    """The SHA-256 of what follows ``Bearer`` and one space."""
    digested_bytes: int
    """How many bytes that is. The token is as long where no white space surrounds it."""


class PrincipalKey(NamedTuple):
    """Every property of a token that a template depends on."""

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
        "targets",
        "tokens",
    )  # fmt: skip

    def __init__(self, tokens: TokenCache) -> None:
        self.tokens = tokens
        self.targets: dict[TargetKey, ResolvedTarget] = {}
        self.epoch = 1
        """Grows with every snapshot; what was evaluated under another one is evaluated again."""
        self._scopes: dict[tuple[str, str], RouteScope] = {}
        self._principal_keys: dict[PrincipalKey, int] = {}
        self._next_principal_key = NO_TOKEN + 1
        self._templates = 0

    def invalidate(self) -> None:
        """Drop what was cached under the previous snapshot. Principal keys stay valid."""
        self.targets.clear()
        self._scopes.clear()
        self._templates = 0
        self.epoch += 1

    def cache_target(
        self, target_key: TargetKey, method: str, host: str, path: str, route: Route
    ) -> ResolvedTarget:
        """Cache a target that was matched.

        A target under the challenges' path is not cached: its next answer may be another one.
        """
        if len(self.targets) >= MAX_TARGETS:
            self.targets.clear()
            self._scopes.clear()
            self._templates = 0
        route_scope = self._scopes.get((route.name, host))
        if route_scope is None:
            route_scope = self._scopes[route.name, host] = RouteScope(route)
        target = ResolvedTarget(method, host, path, route_scope)
        if len(target_key[2]) <= MAX_PATH_BYTES and not target_key[2].startswith(CHALLENGE_PREFIX):
            self.targets[target_key] = target
        return target

    def cache_template(self, route_scope: RouteScope, key: AnswerKey, template: Template) -> None:
        """Cache an answer of a route scope."""
        if self._templates >= MAX_TEMPLATES:
            for each in self._scopes.values():
                each.answers.clear()
            self._templates = 0
        route_scope.answers[key] = template
        self._templates += 1 if isinstance(key, int) else ORIGIN_WEIGHT

    def principal_key_of(self, claims: Claims, own: EncodedFields) -> int:
        """Return the number of a token's principal key; a number is never used for another."""
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
