"""Check as one function of bytes, so that any transport can carry it.

There are two paths to an answer, and both give the same bytes. The slow path
(``authz.slow_path``) evaluates and encodes. The fast path, in ``handle``, serves a Check whose
target and token were both evaluated before under the current snapshot: parse, two look-ups, two
comparisons with the clock, one join (``authz.response_cache`` explains why that is sufficient).
Every other Check takes the slow path.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from hashlib import sha256
from typing import cast

from sidecar.authz.acme_challenge import ChallengePending, ChallengeSource, Found
from sidecar.authz.credential import UNDECIDED
from sidecar.authz.decision import Decision, Snapshot
from sidecar.authz.encoding.request import Attributes, parse_request, view_of
from sidecar.authz.evaluate import VerificationDeferred
from sidecar.authz.limiting import limit_cached, refused_target
from sidecar.authz.ports import Lane, Observer, RepeatableAnswers, VerifierPool
from sidecar.authz.response_cache import (
    NO_FIELDS,
    NO_TOKEN,
    FastPathFindings,
    ResolvedTarget,
    ResponseCache,
)
from sidecar.authz.slow_path import SlowPath
from sidecar.common.clock import Now
from sidecar.common.errors import Denied
from sidecar.headers.nonce import NoncePool
from sidecar.limits.limiter import RateLimiter
from sidecar.tokens.cache import CachedToken, TokenCache
from sidecar.tokens.proofs import ProofGuard, own_guard

_BEARER = b"Bearer "
_BEARER_BYTES = len(_BEARER)
_NOT_FOUND: tuple[Found] = (None,)
"""No challenge exists: the fleet was asked and has none, or the request is not for one."""


class CheckService:
    """Answers Checks from memory, without waiting wherever possible.

    The runtime replaces ``snapshot`` as a whole between two Checks. ``observer`` records every
    Check. ``new_id`` returns ``decision_ids.ID_BYTES`` bytes of ASCII. ``on_fault`` receives
    unexpected exceptions; their requests are denied with ``internal_fault``.
    """

    __slots__ = (
        "_elapsed_ns",
        "_judges_bundles",
        "_lane",
        "_limiter",
        "_new_id",
        "_now",
        "_observer",
        "_on_fault",
        "_response_cache",
        "_slow_path",
        "on_exchange",
    )

    def __init__(
        self,
        snapshot: Snapshot,
        *,
        now: Now,
        elapsed_ns: Callable[[], int],
        new_id: Callable[[], bytes],
        observer: Observer,
        on_fault: Callable[[Exception], None],
        cache: TokenCache | None = None,
        lane: Lane | None = None,
        verifier_pool: VerifierPool | None = None,
        new_nonce: Callable[[], bytes] | None = None,
        limiter: RateLimiter | None = None,
        proofs: ProofGuard | None = None,
    ) -> None:
        self._limiter = limiter
        self._response_cache = ResponseCache(TokenCache(0) if cache is None else cache)
        self._slow_path = SlowPath(
            snapshot,
            self._response_cache,
            now=now,
            elapsed_ns=elapsed_ns,
            new_id=new_id,
            new_nonce=NoncePool().take if new_nonce is None else new_nonce,
            observer=observer,
            on_fault=on_fault,
            verifier_pool=verifier_pool,
            proofs=own_guard() if proofs is None else proofs,
            limiter=limiter,
        )
        self.on_exchange: Callable[[Snapshot, Snapshot], None] = lambda _held, _fresh: None
        """Called with the old and the new snapshot once the new one decides (``runtime.check``)."""
        self._lane = lane
        self._new_id = new_id
        self._judges_bundles = verifier_pool is not None
        self._now = now
        self._elapsed_ns = elapsed_ns
        self._observer = observer
        self._on_fault = on_fault

    @property
    def snapshot(self) -> Snapshot:
        """The snapshot that Checks are decided with; setting another one empties the caches."""
        return self._slow_path.snapshot

    @snapshot.setter
    def snapshot(self, snapshot: Snapshot) -> None:
        self._slow_path.snapshot = snapshot

    @property
    def challenges(self) -> ChallengeSource | None:
        """The http-01 challenges in flight, where certificates come from ACME."""
        return self._slow_path.challenges

    @challenges.setter
    def challenges(self, source: ChallengeSource | None) -> None:
        self._slow_path.challenges = source

    @property
    def repeatable(self) -> RepeatableAnswers | None:
        """Lets Envoy repeat answers, where that is configured (``listen.authz.decision_cache``)."""
        return self._slow_path.repeatable

    @repeatable.setter
    def repeatable(self, answers: RepeatableAnswers | None) -> None:
        self._slow_path.repeatable = answers

    def handle(self, raw: bytes) -> bytes | Awaitable[bytes]:  # noqa: PLR0911 - one for each way out
        """Answer one serialised ``CheckRequest`` with one ``CheckResponse``. Never raises.

        With a lane, a request that needs a signature check may be queued, and one that carries
        a bundle waits for its digest; every other request is answered at once.
        """
        started_ns = self._elapsed_ns()
        try:
            attributes = parse_request(raw)
        except Denied as denied:
            return self._slow_path.deny(Decision(denied.reason, denied.detail), None, started_ns)
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
            digest = sha256(credential[_BEARER_BYTES:]).digest()
            cached_token = response_cache.tokens.entries.get(digest)
            if cached_token is None:
                findings = FastPathFindings(
                    response_cache.epoch, target, seen, digest, len(credential) - _BEARER_BYTES
                )
                return self._verify_or_queue(findings, attributes, started_ns)
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
        if self._limiter is not None:
            refused = self._limit(self._limiter, target, cached_token, attributes, started_ns)
            if refused is not None:
                return refused
        decision_id = self._new_id()
        latency_ns = self._elapsed_ns() - started_ns
        self._observer.allowed_fast(
            (target, template, cached_token, attributes, now, latency_ns, decision_id)
        )
        return template.fill(own, decision_id)

    def _limit(
        self,
        limiter: RateLimiter,
        target: ResolvedTarget,
        cached_token: CachedToken | None,
        attributes: Attributes,
        started_ns: int,
    ) -> bytes | None:
        """Return the answer to a request that is over a limit; ``None`` for one that is not."""
        limits = target.route_scope.route.limits or limiter.policy.unmatched
        source = attributes.source.address.socket_address.address if limits.address else ""
        refusal = limit_cached(limits, cached_token, source, limiter, started_ns)
        if refusal is None:
            return None
        decision = refused_target(target, cached_token, refusal)
        return self._slow_path.deny(decision, view_of(attributes), started_ns)

    def _take_slow_path(self, attributes: Attributes, started_ns: int) -> bytes | Awaitable[bytes]:
        lane = self._lane
        try:
            return self._slow_path.answer(
                attributes, started_ns, None if lane is None else lane.free
            )
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
                answer = self._slow_path.answer(attributes, started_ns, may_verify, (found,))
            else:
                answer = await self._queue(lane, attributes, started_ns)
        except VerificationDeferred:
            if lane is None:
                raise
            answer = await self._queue(lane, attributes, started_ns, (found,))
        return answer if isinstance(answer, bytes) else await answer

    def _verify_or_queue(
        self, findings: FastPathFindings, attributes: Attributes, started_ns: int
    ) -> bytes | Awaitable[bytes]:
        """Verify a token that is not cached: at once if the lane is free, otherwise queued.

        An address that is over its limit gets no verification.
        """
        target, limiter = findings.target, self._limiter
        limits = target.route_scope.route.limits
        if limiter is not None and limits is not None and limits.address:
            source = attributes.source.address.socket_address.address
            refusal = limiter.refuse_address(limits, source, started_ns)
            if refusal is not None:
                decision = refused_target(target, None, refusal)
                return self._slow_path.deny(decision, view_of(attributes), started_ns)
        lane = self._lane
        if lane is None or lane.free():
            return self._slow_path.answer(attributes, started_ns, findings=findings)
        return self._queue(lane, attributes, started_ns, findings=findings)

    def _queue(
        self,
        lane: Lane,
        attributes: Attributes,
        started_ns: int,
        found: tuple[Found] = _NOT_FOUND,
        findings: FastPathFindings | None = None,
    ) -> Awaitable[bytes]:
        """Answer from the lane. The fleet is not asked again: a job in the lane never waits."""
        later = lane.later(
            partial(self._slow_path.answer, attributes, started_ns, None, found, findings)
        )
        # Without a verifier pool every answer is bytes and needs no coroutine around it.
        return _whole(later) if self._judges_bundles else cast("Awaitable[bytes]", later)


async def _whole(later: Awaitable[bytes | Awaitable[bytes]]) -> bytes:
    """Await the queued job, and then the answer that it started."""
    answer = await later
    return answer if isinstance(answer, bytes) else await answer
