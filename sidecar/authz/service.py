"""Check as one function of bytes, so that any transport can carry it."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import NamedTuple, Protocol, TypeVar

from sidecar.authz.bundles import judge_bundle, refused
from sidecar.authz.decision import Decision, RequestView, Snapshot
from sidecar.authz.pipeline import NotNow, decide
from sidecar.authz.wire import Parts, SharedKey, decode_request, encode_allowed, encode_denied
from sidecar.clock import Now
from sidecar.errors import Denied
from sidecar.reasons import Reason
from sidecar.tokens.cache import TokenCache

T = TypeVar("T")


class Outcome(NamedTuple):
    """One answered Check, for those who count and record."""

    decision: Decision
    view: RequestView | None
    """``None`` where the message could not be read."""
    decision_id: str
    at_seconds: float
    latency_ns: int
    key_state: str


class _Started(NamedTuple):
    """A Check that is on its way, and what it stands on."""

    view: RequestView | None
    snapshot: Snapshot
    started_ns: int
    now: float


class Lane(Protocol):
    """Gives expensive work its turns; ``sidecar.transport.lane`` does."""

    def free(self) -> bool:
        """Take this turn, if nobody has."""

    def later(self, function: Callable[[], T]) -> Awaitable[T]:
        """Run it when its turn comes."""


class Desk(Protocol):
    """Runs what is slow off the event loop; ``sidecar.modules.desk`` does."""

    async def run(self, function: Callable[[], T]) -> T:
        """Run it; raises ``Denied`` where too much is waiting."""


class CheckService:
    """Answers Checks from memory, each in one go.

    ``snapshot`` is replaced by the runtime, whole, between two Checks. ``observe`` is
    called with every outcome and must return at once. ``on_fault`` gets the exceptions
    that should not have been; their requests are refused with ``internal_fault``.
    """

    __slots__ = (
        "_desk",
        "_elapsed_ns",
        "_lane",
        "_new_id",
        "_now",
        "_observers",
        "_on_fault",
        "_shared",
        "cache",
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
        desk: Desk | None = None,
    ) -> None:
        self.snapshot = snapshot
        self.cache = cache
        self._lane = lane
        self._desk = desk
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

        With a lane, a request that needs a signature check may have to wait for its turn, and
        one that brings a bundle waits for its digest; everything else is answered at once.
        """
        lane = self._lane
        if lane is None:
            return self._answer(raw, None)
        try:
            return self._answer(raw, lane.free)
        except NotNow:
            later = lane.later(partial(self._answer, raw, None))
            return _whole(later)

    def _answer(
        self, raw: bytes, may_verify: Callable[[], bool] | None
    ) -> bytes | Awaitable[bytes]:
        started_ns = self._elapsed_ns()
        now = self._now()
        snapshot = self.snapshot
        view: RequestView | None = None
        try:
            view = decode_request(raw)
            decision = decide(view, snapshot, now, self.cache, may_verify)
            if decision.module is not None and self._desk is not None:
                return self._judge_bundle(
                    self._desk, decision, _Started(view, snapshot, started_ns, now)
                )
        except NotNow:
            raise
        except Denied as denied:
            decision = Decision(denied.reason, denied.detail)
        except Exception as exc:  # noqa: BLE001 - the service's edge: whatever it was, the answer is no
            decision = self._fault(exc)
        return self._conclude(decision, _Started(view, snapshot, started_ns, now))

    async def _judge_bundle(self, desk: Desk, decision: Decision, check: "_Started") -> bytes:
        """Judge the bundle of a request that may pass but for it, then conclude."""
        try:
            decision = await desk.run(partial(judge_bundle, decision, check.view, check.snapshot))
        except Denied as denied:
            decision = refused(decision, denied)
        except Exception as exc:  # noqa: BLE001 - as in _answer
            decision = self._fault(exc)
        return self._conclude(decision, check)

    def _conclude(self, decision: Decision, check: "_Started") -> bytes:
        """Write the answer, and tell those who count and record."""
        snapshot = check.snapshot
        decision_id = self._new_id()
        try:
            answer = (
                encode_allowed(decision, snapshot, self._shared)
                if decision.allowed
                else encode_denied(decision, snapshot, decision_id)
            )
        except Exception as exc:  # noqa: BLE001 - as in _answer
            decision = self._fault(exc)
            answer = encode_denied(decision, snapshot, decision_id)
        latency_ns = self._elapsed_ns() - check.started_ns
        outcome = Outcome(
            decision, check.view, decision_id, check.now, latency_ns, snapshot.key_state
        )
        for observe in self._observers:
            observe(outcome)
        return answer

    def _fault(self, exc: Exception) -> Decision:
        self._on_fault(exc)
        return Decision(Reason.INTERNAL_FAULT, type(exc).__name__)


async def _whole(later: Awaitable[bytes | Awaitable[bytes]]) -> bytes:
    """Wait for a turn, and then for what began in it."""
    answer = await later
    return answer if isinstance(answer, bytes) else await answer
