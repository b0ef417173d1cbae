"""Check as one function of bytes, so that any transport can carry it."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import NamedTuple, Protocol

from sidecar.authz.challenge import (
    CHALLENGE_PREFIX,
    ChallengeSource,
    Found,
    NotYet,
    challenge_decision,
    find_challenge,
)
from sidecar.authz.decision import Decision, RequestView, Snapshot
from sidecar.authz.pipeline import NotNow, decide
from sidecar.authz.wire import (
    Parts,
    SharedKey,
    decode_request,
    encode_allowed,
    encode_challenge,
    encode_denied,
)
from sidecar.clock import Now
from sidecar.errors import Denied
from sidecar.reasons import Reason
from sidecar.tokens.cache import TokenCache


class Outcome(NamedTuple):
    """One answered Check, for those who count and record."""

    decision: Decision
    view: RequestView | None
    """``None`` where the message could not be read."""
    decision_id: str
    at_seconds: float
    latency_ns: int
    key_state: str


class Lane(Protocol):
    """Gives expensive work its turns; ``sidecar.transport.lane`` does."""

    def free(self) -> bool:
        """Take this turn, if nobody has."""

    def later(self, function: Callable[[], bytes]) -> Awaitable[bytes]:
        """Run it when its turn comes."""


class CheckService:
    """Answers Checks from memory, each in one go.

    ``snapshot`` is replaced by the runtime, whole, between two Checks. ``observe`` is
    called with every outcome and must return at once. ``on_fault`` gets the exceptions
    that should not have been; their requests are refused with ``internal_fault``.
    """

    __slots__ = (
        "_elapsed_ns",
        "_lane",
        "_new_id",
        "_now",
        "_observers",
        "_on_fault",
        "_shared",
        "cache",
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
        observe: Callable[[Outcome], None],
        on_fault: Callable[[Exception], None],
        cache: TokenCache | None = None,
        lane: Lane | None = None,
    ) -> None:
        self.snapshot = snapshot
        self.cache = cache
        self._lane = lane
        self.challenges: ChallengeSource | None = None
        """What CAs ask for, where certificates come from ACME."""
        self._shared: dict[SharedKey, Parts] = {}
        self._now = now
        self._elapsed_ns = elapsed_ns
        self._new_id = new_id
        self._observers = [observe]
        self._on_fault = on_fault

    def add_observer(self, observe: Callable[[Outcome], None]) -> None:
        """Tell one more about every outcome."""
        self._observers.append(observe)

    def handle(self, raw: bytes) -> bytes | Awaitable[bytes]:
        """Answer one serialised ``CheckRequest`` with one ``CheckResponse``. Never raises.

        With a lane, a request that needs a signature check may have to wait for its turn;
        everything else is answered at once.
        """
        lane = self._lane
        try:
            return self._answer(raw, lane.free if lane is not None else None)
        except NotNow:
            if lane is None:
                raise
            return lane.later(partial(self._answer, raw, None))
        except NotYet as waiting:
            return self._answer_when_found(raw, waiting.found)

    async def _answer_when_found(self, raw: bytes, found: Awaitable[Found]) -> bytes:
        return self._answer(raw, None, await found, is_asked=True)

    def _answer(
        self,
        raw: bytes,
        may_verify: Callable[[], bool] | None,
        found: Found = None,
        *,
        is_asked: bool = False,
    ) -> bytes:
        started_ns = self._elapsed_ns()
        now = self._now()
        snapshot = self.snapshot
        view: RequestView | None = None
        try:
            view = decode_request(raw)
            challenged: Decision | None = None
            if self.challenges is not None and view.path.startswith(CHALLENGE_PREFIX):
                if not is_asked:
                    found = find_challenge(view, self.challenges)
                challenged = challenge_decision(view, found) if found is not None else None
            if challenged is not None and found is not None:
                decision, decision_id = challenged, self._new_id()
                answer = encode_challenge(decision, snapshot, decision_id, found.answer)
            else:
                decision = decide(view, snapshot, now, self.cache, may_verify)
                decision_id = self._new_id()
                answer = (
                    encode_allowed(decision, snapshot, self._shared)
                    if decision.allowed
                    else encode_denied(decision, snapshot, decision_id)
                )
        except (NotNow, NotYet):
            raise
        except Denied as denied:
            decision = Decision(denied.reason, denied.detail)
            decision_id = self._new_id()
            answer = encode_denied(decision, snapshot, decision_id)
        except Exception as exc:  # noqa: BLE001 - the service's edge: whatever it was, the answer is no
            self._on_fault(exc)
            decision = Decision(Reason.INTERNAL_FAULT, type(exc).__name__)
            decision_id = self._new_id()
            answer = encode_denied(decision, snapshot, decision_id)
        latency_ns = self._elapsed_ns() - started_ns
        outcome = Outcome(decision, view, decision_id, now, latency_ns, snapshot.key_state)
        for observe in self._observers:
            observe(outcome)
        return answer
