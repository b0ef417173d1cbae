"""Check as one function of bytes, so that any transport can carry it.

There are two ways to an answer, and they come to the same bytes. The long one is
``pipeline.decide`` and ``wire``. The short one is for a Check whose target and token were
both decided upon before, under this very snapshot: parse, two look-ups, two comparisons
with the clock, one join (``authz.memory`` says why that is enough). Whatever is not plainly
so takes the long way.
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
from sidecar.authz.credential import LOOK
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
"""The fleet was asked for a challenge, or none was asked for, and there is none."""
_PLAIN_GRANTS = frozenset({Grant.TOKEN_VERIFIED, Grant.PUBLIC, Grant.ANONYMOUS})


class Outcome(NamedTuple):
    """One answered Check, for those who count and record."""

    decision: Decision
    view: RequestView | None
    """``None`` where the message could not be read."""
    decision_id: str
    at_seconds: float
    latency_ns: int
    key_state: str


class Observer(Protocol):
    """Told of every Check; ``sidecar.authz.recorder`` is. Both must return at once."""

    def decided(self, outcome: Outcome) -> None:
        """Take note of a Check that was refused, or allowed on other than plain grounds."""

    def allowed_fast(self, passage: AllowedCheck) -> None:
        """Take note of a Check that was allowed on plain grounds, as nearly all are."""


class CheckService:
    """Answers Checks from memory, each in one go.

    ``snapshot`` is replaced by the runtime, whole, between two Checks. ``observer`` is told
    of every Check. ``on_fault`` gets the exceptions that should not have been; their
    requests are refused with ``internal_fault``.
    """

    __slots__ = (
        "_allowed",
        "_denied",
        "_desk",
        "_elapsed_ns",
        "_lane",
        "_memory",
        "_new_id",
        "_new_nonce",
        "_now",
        "_observer",
        "_on_fault",
        "_under",
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
        desk: VerifierPool | None = None,
        new_nonce: Callable[[], bytes] | None = None,
    ) -> None:
        self.snapshot = snapshot
        self._under = snapshot
        """The snapshot that the memory was made under."""
        self._memory = ResponseCache(TokenCache(0) if cache is None else cache)
        self._allowed: dict[SharedKey, EncodedFields] = {}
        self._denied: dict[DenialKey, bytes] = {}
        self._lane = lane
        self._desk = desk
        self.challenges: ChallengeSource | None = None
        """What CAs ask for, where certificates come from ACME."""
        self._now = now
        self._elapsed_ns = elapsed_ns
        self._new_id = new_id
        self._new_nonce = NoncePool().take if new_nonce is None else new_nonce
        self._observer = observer
        self._on_fault = on_fault

    def handle(self, raw: bytes) -> bytes | Awaitable[bytes]:  # noqa: PLR0911 - one for each way out
        """Answer one serialised ``CheckRequest`` with one ``CheckResponse``. Never raises.

        With a lane, a request that needs a signature check may have to wait for its turn, and
        one that brings a bundle waits for its digest; everything else is answered at once.
        """
        started_ns = self._elapsed_ns()
        if self.snapshot is not self._under:
            self._invalidate()
        try:
            attributes = parse_request(raw)
        except Denied as denied:
            return self._deny(Decision(denied.reason, denied.detail), None, started_ns)
        memory = self._memory
        http = attributes.request.http
        path, _, query = http.path.partition(b"?")
        visit = memory.visits.get((http.method, http.host, path))
        if visit is None or not visit.place.plain or http.HasField("header_map"):
            return self._take_slow_path(attributes, started_ns)
        place = visit.place
        seen = place.glance(http.headers, query) if place.reads_token else 0
        if seen == LOOK:
            return self._take_slow_path(attributes, started_ns)
        now = self._now()
        remembered: CachedToken | None = None
        principal_key, own = NO_TOKEN, NO_FIELDS
        credential = http.headers.get("authorization") if place.reads_token else None
        if credential is not None:
            if credential[:_BEARER_BYTES] != _BEARER:
                return self._take_slow_path(attributes, started_ns)
            remembered = memory.tokens.entries.get(sha256(credential[_BEARER_BYTES:]).digest())
            if remembered is None:
                return self._wait_for_turn(attributes, started_ns)
            if (
                remembered.epoch != memory.epoch
                or not remembered.holds_at(now)
                or remembered.runs is None
            ):
                return self._take_slow_path(attributes, started_ns)
            principal_key, own = remembered.principal_key, remembered.runs
            memory.tokens.hits += 1
        principal_key ^= -seen
        template = place.answers.get(
            (principal_key, http.headers.get("origin", b""))
            if place.reads_origin
            else principal_key
        )
        if template is None:
            return self._take_slow_path(attributes, started_ns)
        latency_ns = self._elapsed_ns() - started_ns
        self._observer.allowed_fast((visit, template, remembered, attributes, now, latency_ns))
        return template.fill(own)

    def _invalidate(self) -> None:
        """Forget what was made under the snapshot that has gone."""
        self._under = self.snapshot
        self._memory.invalidate()
        self._allowed.clear()
        self._denied.clear()

    def _take_slow_path(self, attributes: Attributes, started_ns: int) -> bytes | Awaitable[bytes]:
        lane = self._lane
        try:
            return self._answer(attributes, started_ns, None if lane is None else lane.free)
        except VerificationDeferred:
            if lane is None:
                raise
            return self._later(lane, attributes, started_ns)
        except ChallengePending as waiting:
            return self._answer_when_found(attributes, started_ns, waiting.found)

    async def _answer_when_found(
        self, attributes: Attributes, started_ns: int, asked: Awaitable[Found]
    ) -> bytes:
        """Answer when the fleet was asked. Whoever waited with it takes the lane one by one."""
        try:
            found = await asked
        except Exception as exc:  # noqa: BLE001 - the request goes its way without
            self._on_fault(exc)
            found = None
        lane = self._lane
        try:
            # With a challenge found there is most likely nothing to verify.
            if lane is None or found is not None:
                may_verify = None if lane is None else lane.free
                answer = self._answer(attributes, started_ns, may_verify, (found,))
            else:
                answer = await self._later(lane, attributes, started_ns)
        except VerificationDeferred:
            if lane is None:
                raise
            answer = await self._later(lane, attributes, started_ns, (found,))
        return answer if isinstance(answer, bytes) else await answer

    def _wait_for_turn(self, attributes: Attributes, started_ns: int) -> bytes | Awaitable[bytes]:
        """Verify a token that is not remembered: at once, if nothing else is waiting for that."""
        lane = self._lane
        if lane is None or lane.free():
            return self._answer(attributes, started_ns)
        return self._later(lane, attributes, started_ns)

    def _later(
        self,
        lane: Lane,
        attributes: Attributes,
        started_ns: int,
        found: tuple[Found] = _NOT_FOUND,
    ) -> Awaitable[bytes]:
        """Answer when its turn comes. The fleet is not asked again: the lane waits for nobody."""
        later = lane.later(partial(self._answer, attributes, started_ns, None, found))
        # Without a desk every answer is bytes, and needs no coroutine around it.
        return _whole(later) if self._desk is not None else cast("Awaitable[bytes]", later)

    def _answer(
        self,
        attributes: Attributes,
        started_ns: int,
        may_verify: Callable[[], bool] | None = None,
        found: tuple[Found] | None = None,
    ) -> bytes | Awaitable[bytes]:
        """Decide and encode. ``found`` is what the fleet was asked for, where it was."""
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
                    return self._tell_ca(challenged, view, known.answer, started_ns)
            decision = decide(view, self.snapshot, now, self._memory, may_verify)
            if decision.module is not None:
                return self._judge(decision, view, now, started_ns)
            if decision.allowed:
                return self._allow(decision, view, attributes, now, started_ns)
        except (VerificationDeferred, ChallengePending):
            raise
        except Exception as exc:  # noqa: BLE001 - the service's edge: whatever it was, the answer is no
            self._on_fault(exc)
            decision = Decision(Reason.INTERNAL_FAULT, type(exc).__name__)
        return self._deny(decision, view, started_ns)

    def _judge(
        self, decision: Decision, view: RequestView, now: float, started_ns: int
    ) -> Awaitable[bytes]:
        """Have the bundle judged of a request that may pass but for it."""
        if self._desk is None:
            raise RuntimeError("a bundle came, and there is no desk to judge it at")
        return self._judge_at(self._desk, decision, view, now, started_ns)

    async def _judge_at(
        self, desk: VerifierPool, decision: Decision, view: RequestView, now: float, started_ns: int
    ) -> bytes:
        try:
            decision = await desk.run(partial(judge_bundle, decision, view, self.snapshot))
            if self.snapshot is not self._under:
                self._invalidate()
            if decision.allowed:
                answer = encode_allowed(decision, self.snapshot, self._allowed, self._new_nonce)
                self._tell(decision, view, self._new_id(), now, started_ns)
                return answer
        except Denied as denied:
            decision = refused(decision, denied)
        except Exception as exc:  # noqa: BLE001 - as in _answer
            self._on_fault(exc)
            decision = Decision(Reason.INTERNAL_FAULT, type(exc).__name__)
        return self._deny(decision, view, started_ns)

    def _tell_ca(
        self, decision: Decision, view: RequestView, answer: str, started_ns: int
    ) -> bytes:
        """Answer a CA that looks for the token of an order in flight."""
        decision_id = self._new_id()
        encoded = encode_challenge(decision, self.snapshot, decision_id, answer)
        self._tell(decision, view, decision_id, self._now(), started_ns)
        return encoded

    def _allow(
        self,
        decision: Decision,
        view: RequestView,
        attributes: Attributes,
        now: float,
        started_ns: int,
    ) -> bytes:
        """Encode, and remember what makes the short way possible the next time."""
        if decision.outcome is Grant.PREFLIGHT:
            answer = encode_preflight(decision, self.snapshot, self._denied)
            self._tell(decision, view, self._new_id(), now, started_ns)
            return answer
        visit, remembered, token = decision.visit, decision.remembered, decision.token
        seen = LOOK
        if visit is not None and visit.place.plain and decision.outcome in _PLAIN_GRANTS:
            seen = _seen(visit.place, view)
        if visit is None or seen == LOOK:
            answer = encode_allowed(decision, self.snapshot, self._allowed, self._new_nonce)
            self._tell(decision, view, self._new_id(), now, started_ns)
            return answer
        memory = self._memory
        principal_key, own = NO_TOKEN, NO_FIELDS
        if token is not None:
            own = own_fields(token.claims)
            principal_key = memory.principal_key_of(token.claims, own)
            if remembered is not None:
                remembered.runs, remembered.principal_key = own, principal_key
                remembered.epoch = memory.epoch
        place = visit.place
        principal_key ^= -seen
        key = (principal_key, decision.origin.encode()) if place.reads_origin else principal_key
        template = place.answers.get(key)
        if template is None:
            template = make_template(decision, self.snapshot, own, self._allowed, self._new_nonce)
            memory.cache_template(place, key, template)
        latency_ns = self._elapsed_ns() - started_ns
        self._observer.allowed_fast((visit, template, remembered, attributes, now, latency_ns))
        return template.fill(own)

    def _deny(self, decision: Decision, view: RequestView | None, started_ns: int) -> bytes:
        decision_id = self._new_id()
        answer = encode_denied(decision, self.snapshot, decision_id, self._denied)
        self._tell(decision, view, decision_id, self._now(), started_ns)
        return answer

    def _tell(
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


def _seen(place: RouteScope, view: RequestView) -> int:
    """Return what the short way will see beside ``Authorization``."""
    return place.glance(view.headers, view.path.partition(b"?")[2]) if place.reads_token else 0


async def _whole(later: Awaitable[bytes | Awaitable[bytes]]) -> bytes:
    """Wait for a turn, and then for what began in it."""
    answer = await later
    return answer if isinstance(answer, bytes) else await answer
