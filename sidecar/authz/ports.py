"""The interfaces that the Check service needs: for expensive work, records, and Envoy's cache."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol, TypeVar

from sidecar.authz.decision import Decision, RequestView
from sidecar.authz.response_cache import AllowedCheck, EncodedFields, Template
from sidecar.tokens.cache import CachedToken

T = TypeVar("T")


class Lane(Protocol):
    """Runs expensive work one job at a time; ``sidecar.transport.lane`` implements it."""

    def free(self) -> bool:
        """Return whether a job may run now, and if so claim this turn."""

    def later(self, function: Callable[[], T]) -> Awaitable[T]:
        """Queue a job and return its result."""


class VerifierPool(Protocol):
    """Runs slow work off the event loop; ``sidecar.module_signing.digest_pool`` implements it."""

    async def run(self, function: Callable[[], T]) -> T:
        """Return the function's result; raise ``Denied`` where the queue is full."""


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


class RepeatableAnswers(Protocol):
    """Lets Envoy repeat answers; ``sidecar.decision_cache.answers`` implements it."""

    def own_fields(self, own: EncodedFields, cached_token: CachedToken) -> EncodedFields:
        """Return a token's own fields of an answer, with what Envoy must remember of it."""

    def template(self, template: Template) -> Template:
        """Return the template to use in place of one that serves a target and its token alone."""
