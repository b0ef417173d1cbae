"""The slow path: decides one Check, encodes the answer, and records it.

It also caches what lets the fast path (``authz.service``) answer the next such Check: the
resolved target, the verified token with its own fields, and the answer's template. What was
cached under a snapshot is dropped in the moment in which another one replaces it.
"""

from collections.abc import Awaitable, Callable
from functools import partial

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
from sidecar.authz.encoding.request import Attributes, view_of
from sidecar.authz.evaluate import VerificationDeferred, decide
from sidecar.authz.limiting import limit_decision
from sidecar.authz.module_install import judge_bundle, refused
from sidecar.authz.ports import Observer, Outcome, RepeatableAnswers, VerifierPool
from sidecar.authz.response_cache import (
    CHALLENGE_PREFIX,
    NO_FIELDS,
    NO_TOKEN,
    EncodedFields,
    FastPathFindings,
    ResponseCache,
    RouteScope,
)
from sidecar.common.clock import Now
from sidecar.common.errors import Denied
from sidecar.common.reasons import Grant, Reason
from sidecar.limits.limiter import RateLimiter
from sidecar.tokens.proofs import ProofGuard

_PLAIN_GRANTS = frozenset({Grant.TOKEN_VERIFIED, Grant.PUBLIC, Grant.ANONYMOUS})


class SlowPath:
    """Answers each Check by evaluating it.

    ``observer`` records every Check. ``on_fault`` receives unexpected exceptions; their
    requests are denied with ``internal_fault``.
    """

    __slots__ = (
        "_allowed",
        "_denied",
        "_elapsed_ns",
        "_new_id",
        "_new_nonce",
        "_now",
        "_observer",
        "_on_fault",
        "_proofs",
        "_response_cache",
        "_snapshot",
        "_verifier_pool",
        "challenges",
        "limiter",
        "repeatable",
    )

    def __init__(
        self,
        snapshot: Snapshot,
        response_cache: ResponseCache,
        *,
        now: Now,
        elapsed_ns: Callable[[], int],
        new_id: Callable[[], bytes],
        new_nonce: Callable[[], bytes],
        observer: Observer,
        on_fault: Callable[[Exception], None],
        verifier_pool: VerifierPool | None,
        proofs: ProofGuard,
        limiter: RateLimiter | None = None,
    ) -> None:
        self.limiter = limiter
        self._proofs = proofs
        self._snapshot = snapshot
        self._response_cache = response_cache
        self._allowed: dict[SharedKey, EncodedFields] = {}
        self._denied: dict[DenialKey, bytes] = {}
        self._verifier_pool = verifier_pool
        self.challenges: ChallengeSource | None = None
        """The http-01 challenges in flight, where certificates come from ACME."""
        self.repeatable: RepeatableAnswers | None = None
        """Lets Envoy repeat answers, where that is configured."""
        self._now = now
        self._elapsed_ns = elapsed_ns
        self._new_id = new_id
        self._new_nonce = new_nonce
        self._observer = observer
        self._on_fault = on_fault

    @property
    def snapshot(self) -> Snapshot:
        """The snapshot that Checks are decided with; setting another one empties the caches."""
        return self._snapshot

    @snapshot.setter
    def snapshot(self, snapshot: Snapshot) -> None:
        if snapshot is self._snapshot:
            return
        self._snapshot = snapshot
        self._response_cache.invalidate()
        self._allowed.clear()
        self._denied.clear()

    def answer(
        self,
        attributes: Attributes,
        started_ns: int,
        may_verify: Callable[[], bool] | None = None,
        found: tuple[Found] | None = None,
        findings: FastPathFindings | None = None,
    ) -> bytes | Awaitable[bytes]:
        """Decide and encode. ``found`` is the fleet's reply, where the fleet was asked.

        ``findings`` are the fast path's about this request, where it looked for a token. They
        count only under the snapshot they were made under.

        Raises ``VerificationDeferred`` where ``may_verify`` does not permit a verification that
        is needed, and ``ChallengePending`` where the fleet must be asked first.
        """
        view: RequestView | None = None
        if findings is not None and findings.epoch != self._response_cache.epoch:
            findings = None
        try:
            view = view_of(attributes)
            now = self._now()
            if self.challenges is not None and view.path.startswith(CHALLENGE_PREFIX):
                known = found[0] if found else find_challenge(view, self.challenges)
                challenged = challenge_decision(view, known)
                if known is not None and challenged is not None:
                    return self._answer_challenge(challenged, view, known.answer, started_ns)
            decision = decide(
                view, self._snapshot, now, self._response_cache, may_verify,
                findings=findings, proofs=self._proofs,
            )  # fmt: skip
            if self.limiter is not None:
                decision = limit_decision(decision, view, self.limiter, started_ns)
            if decision.module is not None:
                return self._judge(decision, view, now, started_ns)
            if decision.allowed:
                return self._allow(decision, view, attributes, now, started_ns, findings=findings)
        except (VerificationDeferred, ChallengePending):
            raise
        except Exception as exc:  # noqa: BLE001 - the service's edge: fail closed on any exception
            self._on_fault(exc)
            decision = Decision(Reason.INTERNAL_FAULT, type(exc).__name__)
        return self.deny(decision, view, started_ns)

    def _judge(
        self, decision: Decision, view: RequestView, now: float, started_ns: int
    ) -> Awaitable[bytes]:
        """Check the bundle of a request that passed every other step."""
        if self._verifier_pool is None:
            raise RuntimeError("the route checks bundles, but the service has no verifier pool")
        return self._judge_in(
            self._verifier_pool, decision, view, now, started_ns, snapshot=self._snapshot
        )

    async def _judge_in(
        self,
        verifier_pool: VerifierPool,
        decision: Decision,
        view: RequestView,
        now: float,
        started_ns: int,
        *,
        snapshot: Snapshot,
    ) -> bytes:
        """Answer under the snapshot of the decision: the profile it names may be gone by then."""
        try:
            decision = await verifier_pool.run(partial(judge_bundle, decision, view, snapshot))
            if decision.allowed:
                shared = self._allowed if snapshot is self._snapshot else {}
                decision_id = self._new_id()
                answer = encode_allowed(decision, snapshot, shared, self._new_nonce, decision_id)
                self._record(decision, view, decision_id, now, started_ns)
                return answer
        except Denied as denied:
            decision = refused(decision, denied)
        except Exception as exc:  # noqa: BLE001 - as in answer
            self._on_fault(exc)
            decision = Decision(Reason.INTERNAL_FAULT, type(exc).__name__)
        return self.deny(decision, view, started_ns, snapshot)

    def _answer_challenge(
        self, decision: Decision, view: RequestView, answer: str, started_ns: int
    ) -> bytes:
        """Answer a CA that validates an http-01 challenge of an order in flight."""
        decision_id = self._new_id()
        encoded = encode_challenge(decision, self._snapshot, decision_id, answer)
        self._record(decision, view, decision_id, self._now(), started_ns)
        return encoded

    def _allow(
        self,
        decision: Decision,
        view: RequestView,
        attributes: Attributes,
        now: float,
        started_ns: int,
        *,
        findings: FastPathFindings | None,
    ) -> bytes:
        """Encode, and cache what lets the fast path answer the next such request."""
        decision_id = self._new_id()
        if decision.outcome is Grant.PREFLIGHT:
            answer = encode_preflight(decision, self._snapshot, decision_id, self._denied)
            self._record(decision, view, decision_id, now, started_ns)
            return answer
        target, cached_token, token = decision.target, decision.cached_token, decision.token
        seen = UNDECIDED
        # A bound token is proved anew by each request: none of its answers may be cached.
        bound = token is not None and token.claims.confirmation is not None
        plain = target is not None and target.route_scope.plain and not bound
        if target is not None and plain and decision.outcome in _PLAIN_GRANTS:
            seen = _seen(target.route_scope, view) if findings is None else findings.seen
        if target is None or seen == UNDECIDED:
            answer = encode_allowed(
                decision, self._snapshot, self._allowed, self._new_nonce, decision_id
            )
            self._record(decision, view, decision_id, now, started_ns)
            return answer
        response_cache = self._response_cache
        principal_key, own = NO_TOKEN, NO_FIELDS
        if token is not None:
            own = own_fields(token.claims)
            principal_key = response_cache.principal_key_of(token.claims, own)
            if cached_token is not None:
                if self.repeatable is not None:
                    own = self.repeatable.own_fields(own, cached_token)
                cached_token.encoded_fields, cached_token.principal_key = own, principal_key
                cached_token.epoch = response_cache.epoch
        route_scope = target.route_scope
        principal_key ^= -seen
        key = (
            (principal_key, decision.origin.encode()) if route_scope.reads_origin else principal_key
        )
        template = route_scope.answers.get(key)
        if template is None:
            template = make_template(decision, self._snapshot, own, self._allowed, self._new_nonce)
            one_origins = route_scope.reads_origin and decision.origin
            if self.repeatable is not None and not seen and not one_origins:
                template = self.repeatable.template(template)
            response_cache.cache_template(route_scope, key, template)
        latency_ns = self._elapsed_ns() - started_ns
        self._observer.allowed_fast(
            (target, template, cached_token, attributes, now, latency_ns, decision_id)
        )
        return template.fill(own, decision_id)

    def deny(
        self,
        decision: Decision,
        view: RequestView | None,
        started_ns: int,
        under: Snapshot | None = None,
    ) -> bytes:
        """Encode and record a denial; ``view`` is ``None`` where the message was not readable.

        ``under`` is the snapshot of the decision, where another may be in force by now.
        """
        snapshot = self._snapshot if under is None else under
        shared = self._denied if snapshot is self._snapshot else {}
        decision_id = self._new_id()
        request_id = "" if view is None else view.request_id
        answer = encode_denied(decision, snapshot, decision_id, request_id, shared)
        self._record(decision, view, decision_id, self._now(), started_ns)
        return answer

    def _record(
        self,
        decision: Decision,
        view: RequestView | None,
        decision_id: bytes,
        now: float,
        started_ns: int,
    ) -> None:
        latency_ns = self._elapsed_ns() - started_ns
        key_state = self._snapshot.key_state
        text = decision_id.decode("ascii")
        self._observer.decided(Outcome(decision, view, text, now, latency_ns, key_state))


def _seen(route_scope: RouteScope, view: RequestView) -> int:
    """Return what the fast path's scan finds in addition to ``Authorization``."""
    return (
        route_scope.scan(view.headers, view.path.partition(b"?")[2])
        if route_scope.reads_token
        else 0
    )
