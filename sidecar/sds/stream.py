"""One client's stream: its requests in, the subscription's decisions out.

A stream waits for two things at once, the client's next request and a change in the table.
Nothing is queued for a client: of a name that changes twice before it is read, the later
version is sent. A client that does not read is not written to, and its stream ended after a
while; one that does not stop asking is not read from.
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
from sidecar.sds.resources import SECRET_TYPE
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
"""A client that takes no answer for so long has its stream ended."""
REFUSE_SECONDS = 2.0
MAX_EVICTED_AT_ONCE = 5000
RESUMED_WITHIN_SECONDS = 600.0
"""What a client brings from before it connected is asked for anew within this time."""
EXTENDED_BY_SECONDS = 60.0
"""A stay goes on for so long where we could not give the name again."""
_log = logging.getLogger("sidecar.sds")


class SdsEvents(NamedTuple):
    """What the service tells those who count and log."""

    on_streams: Callable[[int], None]
    """How many streams there are now."""
    on_push: Callable[[int], None]
    """How many resources went out in one answer."""
    on_nack: Callable[[str, str], None]
    """The node that refused; which secret, and its words."""


class EvictionPolicy(NamedTuple):
    """How a client is kept small: what it obtained on demand stays for so long, and no more."""

    ttl_seconds: float
    max_names: int
    clock: Callable[[], float]
    jitter: Callable[[], float]


class Variant(NamedTuple):
    """One of the protocols: its subscription, its messages, and whose types it carries."""

    subscription: Callable[[], Any]
    read: Callable[[bytes], tuple[Envelope, Any]]
    write: Callable[[Any], bytes]
    aggregated: bool


SOTW = Variant(SotwSubscription, read_sotw, write_sotw, aggregated=False)
DELTA = Variant(DeltaSubscription, read_delta, write_delta, aggregated=False)


class Stream:
    """One stream: a task that reads, and a loop that takes requests and answers in turn."""

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
        """``shared`` is what all streams of the service hold together."""
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
        # State of the world knows no removals: what was given there stays.
        self._eviction = eviction if variant.subscription is DeltaSubscription else None
        self._ttl_tracker: TtlTracker | None = None
        if self._eviction is not None:
            ttl_seconds, max_names, _, jitter = self._eviction
            self._ttl_tracker = TtlTracker(ttl_seconds, max_names, jitter)

    @property
    def names(self) -> Collection[str]:
        """What the client is subscribed to."""
        names: Collection[str] = self._subscription.names
        return names

    def end(self) -> None:
        """Let the stream end after what it is doing."""
        self._ended = True
        self._wake.set()

    def evict(self, name: str) -> None:
        """Have the client drop a name, if it can be told so and holds it."""
        if self._variant.subscription is DeltaSubscription and self._subscription.evict(name):
            self._wake.set()

    def evict_overdue(self) -> int:
        """Have the client drop what it obtained on demand long ago; returns how much."""
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
        """Serve until the client has left, or the stream is ended."""
        unwatch = self._secrets.watch(self._changed)
        reader = asyncio.create_task(self._read())
        try:
            while not self._ended:
                while self._inbox:
                    await self._receive(self._inbox.pop())
                if self._overflows:
                    await self._refuse(EXHAUSTED, "too much waits to be read; come back")
                if await self._answer():
                    continue
                if self._no_more_requests and not self._inbox:
                    return
                await self._wake.wait()
                self._wake.clear()
        finally:
            unwatch()
            reader.cancel()
            # First what is shared: a call that is cancelled may not come back from the wait.
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
        would take its secrets away; an empty answer would take its listeners away. So it
        is left waiting, and told about in the log.
        """
        if type_url == SECRET_TYPE or (not type_url and not self._variant.aggregated):
            return True
        if not type_url or not self._variant.aggregated:
            await self._refuse(INVALID, "only secrets are served here")
        if not self._logged_foreign_type:
            self._logged_foreign_type = True
            _log.warning(
                "Envoy %s asks over ADS for %.128r; only secrets are served, it gets no answer",
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
            _log.warning("Envoy %s takes no answer for %.0f s", self._node, WRITE_SECONDS)
            await self._refuse(grpc.StatusCode.DEADLINE_EXCEEDED, "no answer is taken")
        self._events.on_push(len(answer.resources))
        return True

    async def _refuse(self, code: grpc.StatusCode, words: str) -> NoReturn:
        """End the stream and say why, whether or not the client reads that.

        The status comes after the answers that are on their way. grpcio keeps it for a client
        that reads none of them; nothing of ours waits with it.
        """
        try:
            async with asyncio.timeout(REFUSE_SECONDS):
                await self._context.abort(code, words)
        except TimeoutError:
            raise asyncio.CancelledError from None
        raise AssertionError(words)  # abort never returns

    def _lookup(self, name: str, waits: bool) -> Resource | Pending | None:
        # A refusal can be told in delta alone, and only there can anything be taken back.
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
