"""Check as one function of bytes, so that any transport can carry it."""

from collections.abc import Callable
from typing import NamedTuple

from sidecar.authz.decision import Decision, RequestView, Snapshot
from sidecar.authz.pipeline import decide
from sidecar.authz.wire import decode_request, encode_allowed, encode_denied
from sidecar.clock import Now
from sidecar.errors import Denied
from sidecar.reasons import Reason


class Outcome(NamedTuple):
    """One answered Check, for those who count and record."""

    decision: Decision
    view: RequestView | None
    """``None`` where the message could not be read."""
    decision_id: str
    at_seconds: float
    latency_ns: int
    key_state: str


class CheckService:
    """Answers Checks from memory. Not a coroutine in sight: nothing here can wait.

    ``snapshot`` is replaced by the runtime, whole, between two Checks. ``observe`` is
    called with every outcome and must return at once. ``on_fault`` gets the exceptions
    that should not have been; their requests are refused with ``internal_fault``.
    """

    __slots__ = ("_elapsed_ns", "_new_id", "_now", "_observers", "_on_fault", "snapshot")

    def __init__(
        self,
        snapshot: Snapshot,
        *,
        now: Now,
        elapsed_ns: Callable[[], int],
        new_id: Callable[[], str],
        observe: Callable[[Outcome], None],
        on_fault: Callable[[Exception], None],
    ) -> None:
        self.snapshot = snapshot
        self._now = now
        self._elapsed_ns = elapsed_ns
        self._new_id = new_id
        self._observers = [observe]
        self._on_fault = on_fault

    def add_observer(self, observe: Callable[[Outcome], None]) -> None:
        """Tell one more about every outcome."""
        self._observers.append(observe)

    def handle(self, raw: bytes) -> bytes:
        """Answer one serialised ``CheckRequest`` with one ``CheckResponse``. Never raises."""
        started_ns = self._elapsed_ns()
        now = self._now()
        snapshot = self.snapshot
        view: RequestView | None = None
        try:
            view = decode_request(raw)
            decision = decide(view, snapshot, now)
            decision_id = self._new_id()
            answer = (
                encode_allowed(decision, snapshot)
                if decision.allowed
                else encode_denied(decision, snapshot, decision_id)
            )
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
