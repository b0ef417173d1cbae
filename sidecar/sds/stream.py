"""One client's stream: its requests, and the answers of its subscription.

A stream waits for the client's next request and for a change in the table. Nothing is queued
for a client: if a name changes twice before the client reads, only the later version is sent.
A client that does not read is not written to, and its stream ends after a while; a client that
sends too many requests is not read from.
"""

import asyncio
import logging
from collections.abc import Callable, Collection
from typing import Any, NamedTuple, NoReturn

import grpc

from sidecar.sds.inbox import Inbox, Shared
from sidecar.sds.messages import (
    Envelope,
    MessageFault,
    read_delta,
    read_sotw,
    write_delta,
    write_sotw,
)
from sidecar.sds.resources import SDS_TYPE_URL
from sidecar.sds.subscription import (
    DeltaAnswer,
    DeltaRequest,
    DeltaSubscription,
    Nack,
    Pending,
    Resource,
    SotwSubscription,
    SubscriptionFault,
)
from sidecar.sds.table import SecretTable
from sidecar.sds.ttl import TtlTracker

INVALID = grpc.StatusCode.INVALID_ARGUMENT
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
WRITE_SECONDS = 60.0
"""The stream of a client that reads no answer for this long is ended."""
REFUSE_SECONDS = 2.0
MAX_EVICTED_AT_ONCE = 5000
RESUMED_WITHIN_SECONDS = 600.0
"""Names that a client held before it connected are evicted within this time."""
EXTENDED_BY_SECONDS = 60.0
"""A TTL is extended by this if the sidecar could not serve the name again."""
_log = logging.getLogger("sidecar.sds")


class SdsEvents(NamedTuple):
    """The callbacks for metrics and log."""

    on_streams: Callable[[int], None]
    """Called with the number of streams."""
    on_push: Callable[[int], None]
    """Called with the number of resources in an answer."""
    on_nack: Callable[[str, str], None]
    """Called with the node that rejected a secret, and the secret's name with its message."""


class EvictionPolicy(NamedTuple):
    """The TTL of names that a client obtained on demand, and how many it may hold."""

    ttl_seconds: float
    max_names: int
    clock: Callable[[], float]
    jitter: Callable[[], float]


class Variant(NamedTuple):
    """One protocol variant: its subscription, its messages, and whether it is aggregated."""

    subscription: Callable[[], Any]
    read: Callable[[bytes], tuple[Envelope, Any]]
    write: Callable[[Any], bytes]
    aggregated: bool


SOTW = Variant(SotwSubscription, read_sotw, write_sotw, aggregated=False)
DELTA = Variant(DeltaSubscription, read_delta, write_delta, aggregated=False)


class Stream:
    """One stream: a task that reads, and a loop that handles requests and sends answers."""

    def __init__(
        self,
        variant: Variant,
        secrets: SecretTable,
        events: SdsEvents,
        context: grpc.aio.ServicerContext,
        eviction: EvictionPolicy | None = None,
        *,
        shared: Shared | None = None,
    ) -> None:
        """``shared`` is the budget that all streams of the service share."""
        self._shared = shared or Shared()
        self._variant = variant
        self._secrets = secrets
        self._events = events
        self._context = context
        self._subscription = variant.subscription()
        self._inbox = Inbox(self._shared)
        self._held_names = 0
        self._overflows = False
        self._wake = asyncio.Event()
        self._ended = False
        self._no_more_requests = False
        self._node = ""
        self._logged_foreign_type = False
        # State of the world has no removals: a client keeps what it was sent.
        self._eviction = eviction if variant.subscription is DeltaSubscription else None
        self._ttl_tracker: TtlTracker | None = None
        if self._eviction is not None:
            ttl_seconds, max_names, _, jitter = self._eviction
            self._ttl_tracker = TtlTracker(ttl_seconds, max_names, jitter)

    def use_eviction(self, eviction: EvictionPolicy) -> None:
        """Evict by another policy from now on, where names are evicted at all."""
        if self._eviction is not None and self._ttl_tracker is not None:
            self._eviction = eviction
            self._ttl_tracker.use(eviction.ttl_seconds, eviction.max_names)

    @property
    def names(self) -> Collection[str]:
        """Return the names that the client is subscribed to."""
        names: Collection[str] = self._subscription.names
        return names

    def end(self) -> None:
        """Ask the stream to end after its current step."""
        self._ended = True
        self._wake.set()

    def evict(self, name: str) -> None:
        """Evict a name from the client, if the protocol allows it and the client holds it."""
        if self._variant.subscription is DeltaSubscription and self._subscription.evict(name):
            self._wake.set()

    def evict_overdue(self) -> int:
        """Evict the names whose TTL is over; return how many there were."""
        if self._eviction is None or self._ttl_tracker is None:
            return 0
        now, count = self._eviction.clock(), 0
        for name in self._ttl_tracker.overdue(now, MAX_EVICTED_AT_ONCE):
            if self._secrets.could_serve_again(name):
                self.evict(name)
                count += 1
            else:
                self._ttl_tracker.extend(name, now + EXTENDED_BY_SECONDS)
        return count

    async def run(self) -> None:
        """Serve until the client disconnects, or the stream is ended."""
        unwatch = self._secrets.watch(self._changed)
        reader = asyncio.create_task(self._read())
        try:
            while not self._ended:
                while self._inbox:
                    await self._receive(self._inbox.pop())
                if self._overflows:
                    await self._refuse(EXHAUSTED, "too many requests are waiting; reconnect later")
                if await self._answer():
                    continue
                if self._no_more_requests and not self._inbox:
                    return
                await self._wake.wait()
                self._wake.clear()
        finally:
            unwatch()
            reader.cancel()
            # The shared budget first: a cancelled call may not return from the wait below.
            self._inbox.clear()
            self._shared.take_names(-self._held_names)
            await asyncio.gather(reader, return_exceptions=True)

    def _changed(self, name: str) -> None:
        if self._subscription.mark(name):
            self._wake.set()

    async def _read(self) -> None:
        """Move requests to the inbox; a client that floods waits for its own answers."""
        try:
            while (raw := await self._context.read()) is not grpc.aio.EOF:
                if not self._inbox.put(raw):
                    self._overflows = True
                    return
                self._wake.set()
                await self._inbox.room()
        finally:
            self._no_more_requests = True
            self._wake.set()

    async def _receive(self, raw: bytes) -> None:
        try:
            envelope, request = self._variant.read(raw)
        except MessageFault as fault:
            await self._refuse(INVALID, str(fault))
        self._node = envelope.node or self._node
        if not await self._is_ours(envelope.type_url):
            return
        try:
            nack: Nack | None = self._subscription.receive(request)
        except SubscriptionFault as fault:
            await self._refuse(EXHAUSTED, str(fault))
        more = len(self._subscription.names) - self._held_names
        self._held_names += more
        if not self._shared.take_names(more):
            await self._refuse(EXHAUSTED, "too many names on all streams together")
        if nack is not None:
            self._events.on_nack(self._node, f"{nack.name!r}: {nack.message}")
        if self._eviction is not None and self._ttl_tracker is not None:
            self._note_request(request, self._ttl_tracker, self._eviction.clock())

    async def _is_ours(self, type_url: str) -> bool:
        """Tell whether a request is for secrets.

        Over ADS an Envoy may ask for other types on the same stream. Ending the stream
        would take its secrets away; an empty answer would take its listeners away. So the
        request gets no answer, and a line in the log.
        """
        if type_url == SDS_TYPE_URL or (not type_url and not self._variant.aggregated):
            return True
        if not type_url or not self._variant.aggregated:
            await self._refuse(INVALID, "only secrets are served here")
        if not self._logged_foreign_type:
            self._logged_foreign_type = True
            _log.warning(
                "Envoy %s asks over ADS for %.128r and gets no answer: only secrets are served",
                self._node,
                type_url,
            )
        return False

    async def _answer(self) -> bool:
        """Send the next answer, if one is due."""
        answer = self._subscription.answer(self._lookup)
        if answer is None:
            return False
        if self._eviction is not None and self._ttl_tracker is not None:
            self._note_answer(answer, self._ttl_tracker, self._eviction.clock())
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                await self._context.write(self._variant.write(answer))
        except TimeoutError:
            _log.warning(
                "Envoy %s has read no answer for %.0f s; its stream is ended",
                self._node,
                WRITE_SECONDS,
            )
            await self._refuse(grpc.StatusCode.DEADLINE_EXCEEDED, "no answer was read in time")
        self._events.on_push(len(answer.resources))
        return True

    async def _refuse(self, code: grpc.StatusCode, message: str) -> NoReturn:
        """End the stream with a status, whether or not the client reads it.

        The status follows the answers that are on their way. grpcio keeps it for a client that
        reads none of them; this task does not wait for that.
        """
        try:
            async with asyncio.timeout(REFUSE_SECONDS):
                await self._context.abort(code, message)
        except TimeoutError:
            raise asyncio.CancelledError from None
        raise AssertionError(message)  # abort never returns

    def _lookup(self, name: str, waits: bool) -> Resource | Pending | None:
        # Only delta has refusals and removals.
        if self._variant.subscription is DeltaSubscription:
            return self._secrets.lookup(name, waits=waits)
        return self._secrets.lookup_configured(name)

    def _note_request(self, request: DeltaRequest, tracker: TtlTracker, now: float) -> None:
        for name in request.unsubscribe:
            tracker.discard(name)
        for name in request.subscribe:
            if name in request.initial_versions and not self._secrets.is_configured(name):
                tracker.resume(name, now, RESUMED_WITHIN_SECONDS)

    def _note_answer(self, answer: DeltaAnswer, tracker: TtlTracker, now: float) -> None:
        for name in answer.removed:
            tracker.discard(name)
        for resource in answer.resources:
            if not self._secrets.is_configured(resource.name):
                tracker.add(resource.name, now)
