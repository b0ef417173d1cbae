"""Check as one function of bytes, so that any transport can carry it.

There are two paths to an answer, and both give the same bytes. The slow path is
``evaluate.decide`` and ``encoding``. The fast path serves a Check whose target and token were
both evaluated before under the current snapshot: parse, two look-ups, two comparisons with the
clock, one join (``authz.response_cache`` explains why that is sufficient). Every other Check
takes the slow path.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from hashlib import sha256
from typing import NamedTuple, Protocol, cast

from sidecar.authz.acme_challenge import (
    ChallengePending,
    ChallengeSource,
    Found,
    challenge_decision,
    find_challenge,
)
from sidecar.authz.credential import UNDECIDED
from sidecar.authz.decision import Decision, RequestView, Snapshot
from sidecar.authz.encoding.allowed import SharedKey, encode_allowed, make_template, own_fields
from sidecar.authz.encoding.denied import (
    DenialKey,
    encode_challenge,
    encode_denied,
    encode_preflight,
)
from sidecar.authz.encoding.request import Attributes, parse_request, view_of
from sidecar.authz.evaluate import VerificationDeferred, decide
from sidecar.authz.module_install import judge_bundle, refused
from sidecar.authz.ports import Lane, VerifierPool
from sidecar.authz.response_cache import (
    CHALLENGE_PREFIX,
    NO_FIELDS,
    NO_TOKEN,
    AllowedCheck,
    EncodedFields,
    ResponseCache,
    RouteScope,
)
from sidecar.common.clock import Now
from sidecar.common.errors import Denied
from sidecar.common.reasons import Grant, Reason
from sidecar.headers.nonce import NoncePool
from sidecar.tokens.cache import CachedToken, TokenCache

_BEARER = b"Bearer "
_BEARER_BYTES = len(_BEARER)
_NOT_FOUND: tuple[Found] = (None,)
"""No challenge exists: the fleet was asked and has none, or the request is not for one."""
_PLAIN_GRANTS = frozenset({Grant.TOKEN_VERIFIED, Grant.PUBLIC, Grant.ANONYMOUS})


class Outcome(NamedTuple):
    """One answered Check, as the decision recorder gets it."""

    decision: Decision
    view: RequestView | None
    """``None`` where the message could not be read."""
    decision_id: str
    at_seconds: float
    latency_ns: int
    key_state: str


class Observer(Protocol):
    """Records every Check; ``sidecar.authz.recorder`` implements it. No method may block."""

    def decided(self, outcome: Outcome) -> None:
        """Record a Check that was denied, or allowed by the slow path only."""

    def allowed_fast(self, allowed_check: AllowedCheck) -> None:
        """Record a Check whose answer the fast path may repeat, as nearly all are."""


class CheckService:
    """Answers Checks from memory, without waiting wherever possible.

    The runtime replaces ``snapshot`` as a whole between two Checks. ``observer`` records every
    Check. ``on_fault`` receives unexpected exceptions; their requests are denied with
    ``internal_fault``.
    """

    __slots__ = (
        "_allowed",
        "_denied",
        "_elapsed_ns",
        "_lane",
        "_new_id",
        "_new_nonce",
        "_now",
        "_observer",
        "_on_fault",
        "_response_cache",
        "_under",
        "_verifier_pool",
        "challenges",
        "snapshot",
    )

    def __init__(
        self,
        snapshot: Snapshot,
        *,
        now: Now,
        elapsed_ns: Callable[[], int],
        new_id: Callable[[], str],
        observer: Observer,
        on_fault: Callable[[Exception], None],
        cache: TokenCache | None = None,
        lane: Lane | None = None,
        verifier_pool: VerifierPool | None = None,
        new_nonce: Callable[[], bytes] | None = None,
    ) -> None:
        self.snapshot = snapshot
        self._under = snapshot
        """The snapshot that the cached answers were made under."""
        self._response_cache = ResponseCache(TokenCache(0) if cache is None else cache)
        self._allowed: dict[SharedKey, EncodedFields] = {}
        self._denied: dict[DenialKey, bytes] = {}
        self._lane = lane
        self._verifier_pool = verifier_pool
        self.challenges: ChallengeSource | None = None
        """The http-01 challenges in flight, where certificates come from ACME."""
        self._now = now
        self._elapsed_ns = elapsed_ns
        self._new_id = new_id
        self._new_nonce = NoncePool().take if new_nonce is None else new_nonce
        self._observer = observer
        self._on_fault = on_fault

    def handle(self, raw: bytes) -> bytes | Awaitable[bytes]:  # noqa: PLR0911 - one for each way out
        """Answer one serialised ``CheckRequest`` with one ``CheckResponse``. Never raises.

        With a lane, a request that needs a signature check may be queued, and one that carries
        a bundle waits for its digest; every other request is answered at once.
        """
        started_ns = self._elapsed_ns()
        if self.snapshot is not self._under:
            self._invalidate()
        try:
            attributes = parse_request(raw)
        except Denied as denied:
            return self._deny(Decision(denied.reason, denied.detail), None, started_ns)
        response_cache = self._response_cache
        http = attributes.request.http
        path, _, query = http.path.partition(b"?")
        target = response_cache.targets.get((http.method, http.host, path))
        if target is None or not target.route_scope.plain or http.HasField("header_map"):
            return self._take_slow_path(attributes, started_ns)
        route_scope = target.route_scope
        seen = route_scope.scan(http.headers, query) if route_scope.reads_token else 0
        if seen == UNDECIDED:
            return self._take_slow_path(attributes, started_ns)
        now = self._now()
        cached_token: CachedToken | None = None
        principal_key, own = NO_TOKEN, NO_FIELDS
        credential = http.headers.get("authorization") if route_scope.reads_token else None
        if credential is not None:
            if credential[:_BEARER_BYTES] != _BEARER:
                return self._take_slow_path(attributes, started_ns)
            cached_token = response_cache.tokens.entries.get(
                sha256(credential[_BEARER_BYTES:]).digest()
            )
            if cached_token is None:
                return self._verify_or_queue(attributes, started_ns)
            if (
                cached_token.epoch != response_cache.epoch
                or not cached_token.holds_at(now)
                or cached_token.encoded_fields is None
            ):
                return self._take_slow_path(attributes, started_ns)
            principal_key, own = cached_token.principal_key, cached_token.encoded_fields
            response_cache.tokens.hits += 1
        principal_key ^= -seen
        template = route_scope.answers.get(
            (principal_key, http.headers.get("origin", b""))
            if route_scope.reads_origin
            else principal_key
        )
        if template is None:
            return self._take_slow_path(attributes, started_ns)
        latency_ns = self._elapsed_ns() - started_ns
        self._observer.allowed_fast((target, template, cached_token, attributes, now, latency_ns))
        return template.fill(own)

    def _invalidate(self) -> None:
        """Drop everything that was cached under the previous snapshot."""
        self._under = self.snapshot
        self._response_cache.invalidate()
        self._allowed.clear()
        self._denied.clear()

    def _take_slow_path(self, attributes: Attributes, started_ns: int) -> bytes | Awaitable[bytes]:
        lane = self._lane
        try:
            return self._answer(attributes, started_ns, None if lane is None else lane.free)
        except VerificationDeferred:
            if lane is None:
                raise
            return self._queue(lane, attributes, started_ns)
        except ChallengePending as waiting:
            return self._answer_when_found(attributes, started_ns, waiting.found)

    async def _answer_when_found(
        self, attributes: Attributes, started_ns: int, asked: Awaitable[Found]
    ) -> bytes:
        """Answer once the fleet has replied; requests that still need the lane queue for it."""
        try:
            found = await asked
        except Exception as exc:  # noqa: BLE001 - the request is answered without a challenge
            self._on_fault(exc)
            found = None
        lane = self._lane
        try:
            # With a challenge found there is most likely nothing to verify.
            if lane is None or found is not None:
                may_verify = None if lane is None else lane.free
                answer = self._answer(attributes, started_ns, may_verify, (found,))
            else:
                answer = await self._queue(lane, attributes, started_ns)
        except VerificationDeferred:
            if lane is None:
                raise
            answer = await self._queue(lane, attributes, started_ns, (found,))
        return answer if isinstance(answer, bytes) else await answer

    def _verify_or_queue(self, attributes: Attributes, started_ns: int) -> bytes | Awaitable[bytes]:
        """Verify a token that is not cached: at once if the lane is free, otherwise queued."""
        lane = self._lane
        if lane is None or lane.free():
            return self._answer(attributes, started_ns)
        return self._queue(lane, attributes, started_ns)

    def _queue(
        self,
        lane: Lane,
        attributes: Attributes,
        started_ns: int,
        found: tuple[Found] = _NOT_FOUND,
    ) -> Awaitable[bytes]:
        """Answer from the lane. The fleet is not asked again: a job in the lane never waits."""
        later = lane.later(partial(self._answer, attributes, started_ns, None, found))
        # Without a verifier pool every answer is bytes and needs no coroutine around it.
        return _whole(later) if self._verifier_pool is not None else cast("Awaitable[bytes]", later)

    def _answer(
        self,
        attributes: Attributes,
        started_ns: int,
        may_verify: Callable[[], bool] | None = None,
        found: tuple[Found] | None = None,
    ) -> bytes | Awaitable[bytes]:
        """Decide and encode. ``found`` is the fleet's reply, where the fleet was asked."""
        if self.snapshot is not self._under:
            self._invalidate()
        view: RequestView | None = None
        try:
            view = view_of(attributes)
            now = self._now()
            if self.challenges is not None and view.path.startswith(CHALLENGE_PREFIX):
                known = found[0] if found else find_challenge(view, self.challenges)
                challenged = challenge_decision(view, known)
                if known is not None and challenged is not None:
                    return self._answer_challenge(challenged, view, known.answer, started_ns)
            decision = decide(view, self.snapshot, now, self._response_cache, may_verify)
            if decision.module is not None:
                return self._judge(decision, view, now, started_ns)
            if decision.allowed:
                return self._allow(decision, view, attributes, now, started_ns)
        except (VerificationDeferred, ChallengePending):
            raise
        except Exception as exc:  # noqa: BLE001 - the service's edge: fail closed on any exception
            self._on_fault(exc)
            decision = Decision(Reason.INTERNAL_FAULT, type(exc).__name__)
        return self._deny(decision, view, started_ns)

    def _judge(
        self, decision: Decision, view: RequestView, now: float, started_ns: int
    ) -> Awaitable[bytes]:
        """Check the bundle of a request that passed every other step."""
        if self._verifier_pool is None:
            raise RuntimeError("the route checks bundles, but the service has no verifier pool")
        return self._judge_in(self._verifier_pool, decision, view, now, started_ns)

    async def _judge_in(
        self,
        verifier_pool: VerifierPool,
        decision: Decision,
        view: RequestView,
        now: float,
        started_ns: int,
    ) -> bytes:
        try:
            decision = await verifier_pool.run(partial(judge_bundle, decision, view, self.snapshot))
            if self.snapshot is not self._under:
                self._invalidate()
            if decision.allowed:
                answer = encode_allowed(decision, self.snapshot, self._allowed, self._new_nonce)
                self._record(decision, view, self._new_id(), now, started_ns)
                return answer
        except Denied as denied:
            decision = refused(decision, denied)
        except Exception as exc:  # noqa: BLE001 - as in _answer
            self._on_fault(exc)
            decision = Decision(Reason.INTERNAL_FAULT, type(exc).__name__)
        return self._deny(decision, view, started_ns)

    def _answer_challenge(
        self, decision: Decision, view: RequestView, answer: str, started_ns: int
    ) -> bytes:
        """Answer a CA that validates an http-01 challenge of an order in flight."""
        decision_id = self._new_id()
        encoded = encode_challenge(decision, self.snapshot, decision_id, answer)
        self._record(decision, view, decision_id, self._now(), started_ns)
        return encoded

    def _allow(
        self,
        decision: Decision,
        view: RequestView,
        attributes: Attributes,
        now: float,
        started_ns: int,
    ) -> bytes:
        """Encode, and cache what lets the fast path answer the next such request."""
        if decision.outcome is Grant.PREFLIGHT:
            answer = encode_preflight(decision, self.snapshot, self._denied)
            self._record(decision, view, self._new_id(), now, started_ns)
            return answer
        target, cached_token, token = decision.target, decision.cached_token, decision.token
        seen = UNDECIDED
        if target is not None and target.route_scope.plain and decision.outcome in _PLAIN_GRANTS:
            seen = _seen(target.route_scope, view)
        if target is None or seen == UNDECIDED:
            answer = encode_allowed(decision, self.snapshot, self._allowed, self._new_nonce)
            self._record(decision, view, self._new_id(), now, started_ns)
            return answer
        response_cache = self._response_cache
        principal_key, own = NO_TOKEN, NO_FIELDS
        if token is not None:
            own = own_fields(token.claims)
            principal_key = response_cache.principal_key_of(token.claims, own)
            if cached_token is not None:
                cached_token.encoded_fields, cached_token.principal_key = own, principal_key
                cached_token.epoch = response_cache.epoch
        route_scope = target.route_scope
        principal_key ^= -seen
        key = (
            (principal_key, decision.origin.encode()) if route_scope.reads_origin else principal_key
        )
        template = route_scope.answers.get(key)
        if template is None:
            template = make_template(decision, self.snapshot, own, self._allowed, self._new_nonce)
            response_cache.cache_template(route_scope, key, template)
        latency_ns = self._elapsed_ns() - started_ns
        self._observer.allowed_fast((target, template, cached_token, attributes, now, latency_ns))
        return template.fill(own)

    def _deny(self, decision: Decision, view: RequestView | None, started_ns: int) -> bytes:
        decision_id = self._new_id()
        answer = encode_denied(decision, self.snapshot, decision_id, self._denied)
        self._record(decision, view, decision_id, self._now(), started_ns)
        return answer

    def _record(
        self,
        decision: Decision,
        view: RequestView | None,
        decision_id: str,
        now: float,
        started_ns: int,
    ) -> None:
        latency_ns = self._elapsed_ns() - started_ns
        key_state = self.snapshot.key_state
        self._observer.decided(Outcome(decision, view, decision_id, now, latency_ns, key_state))


def _seen(route_scope: RouteScope, view: RequestView) -> int:
    """Return what the fast path's scan finds in addition to ``Authorization``."""
    return (
        route_scope.scan(view.headers, view.path.partition(b"?")[2])
        if route_scope.reads_token
        else 0
    )


async def _whole(later: Awaitable[bytes | Awaitable[bytes]]) -> bytes:
    """Await the queued job, and then the answer that it started."""
    answer = await later
    return answer if isinstance(answer, bytes) else await answer
