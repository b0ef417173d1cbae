"""One client's stream: its requests in, the subscription's decisions out.

A stream waits for two things at once, the client's next request and a change in the table.
Nothing is queued for a client: of a name that changes twice before it is read, the later
version is sent. A client that does not read is not written to, one that does not stop
asking is not read from.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import grpc

from sidecar.sds.messages import (
    Envelope,
    MessageFault,
    read_delta,
    read_sotw,
    write_delta,
    write_sotw,
)
from sidecar.sds.residence import Residence
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

INVALID = grpc.StatusCode.INVALID_ARGUMENT
MAX_UNREAD_REQUESTS = 64
MAX_TAKEN_BACK_AT_ONCE = 5000
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


class Household(NamedTuple):
    """How a client is kept small: what it obtained on demand stays for so long, and no more."""

    stay_seconds: float
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
        household: Household | None = None,
    ) -> None:
        self._variant = variant
        self._secrets = secrets
        self._events = events
        self._context = context
        self._subscription = variant.subscription()
        self._inbox: deque[bytes] = deque()
        self._room = asyncio.Event()
        self._wake = asyncio.Event()
        self._ended = False
        self._no_more_requests = False
        self._node = ""
        self._told_of_foreign_type = False
        # State of the world knows no removals: what was given there stays.
        self._household = household if variant.subscription is DeltaSubscription else None
        self._residence: Residence | None = None
        if self._household is not None:
            stay_seconds, max_names, _, jitter = self._household
            self._residence = Residence(stay_seconds, max_names, jitter)

    @property
    def names(self) -> Collection[str]:
        """What the client is subscribed to."""
        names: Collection[str] = self._subscription.names
        return names

    def end(self) -> None:
        """Let the stream end after what it is doing."""
        self._ended = True
        self._wake.set()

    def take_back(self, name: str) -> None:
        """Have the client drop a name, if it can be told so and holds it."""
        if self._variant.subscription is DeltaSubscription and self._subscription.take_back(name):
            self._wake.set()

    def take_back_overdue(self) -> int:
        """Have the client drop what it obtained on demand long ago; returns how much."""
        if self._household is None or self._residence is None:
            return 0
        now, count = self._household.clock(), 0
        for name in self._residence.overdue(now, MAX_TAKEN_BACK_AT_ONCE):
            if self._secrets.could_serve_again(name):
                self.take_back(name)
                count += 1
            else:
                self._residence.extend(name, now + EXTENDED_BY_SECONDS)
        return count

    async def run(self) -> None:
        """Serve until the client has left, or the stream is ended."""
        unwatch = self._secrets.watch(self._changed)
        reader = asyncio.create_task(self._read())
        try:
            while not self._ended:
                while self._inbox:
                    await self._receive(self._inbox.popleft())
                self._room.set()
                if await self._answer():
                    continue
                if self._no_more_requests and not self._inbox:
                    return
                await self._wake.wait()
                self._wake.clear()
        finally:
            unwatch()
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)

    def _changed(self, name: str) -> None:
        if self._subscription.mark(name):
            self._wake.set()

    async def _read(self) -> None:
        """Move requests to the inbox; a client that floods waits for its own answers."""
        try:
            while (raw := await self._context.read()) is not grpc.aio.EOF:
                self._inbox.append(raw)
                self._wake.set()
                if len(self._inbox) >= MAX_UNREAD_REQUESTS:
                    self._room.clear()
                    await self._room.wait()
        finally:
            self._no_more_requests = True
            self._wake.set()

    async def _receive(self, raw: bytes) -> None:
        try:
            envelope, request = self._variant.read(raw)
        except MessageFault as fault:
            await self._context.abort(INVALID, str(fault))
        self._node = envelope.node or self._node
        if not await self._is_ours(envelope.type_url):
            return
        try:
            nack: Nack | None = self._subscription.receive(request)
        except SubscriptionFault as fault:
            await self._context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, str(fault))
        if nack is not None:
            self._events.on_nack(self._node, f"{nack.name!r}: {nack.message}")
        if self._household is not None and self._residence is not None:
            self._note_request(request, self._residence, self._household.clock())

    async def _is_ours(self, type_url: str) -> bool:
        """Tell whether a request is for secrets.

        Over ADS an Envoy may ask for other types on the same stream. Ending the stream
        would take its secrets away; an empty answer would take its listeners away. So it
        is left waiting, and told about in the log.
        """
        if type_url == SECRET_TYPE or (not type_url and not self._variant.aggregated):
            return True
        if not type_url or not self._variant.aggregated:
            await self._context.abort(INVALID, "only secrets are served here")
        if not self._told_of_foreign_type:
            self._told_of_foreign_type = True
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
        if self._household is not None and self._residence is not None:
            self._note_answer(answer, self._residence, self._household.clock())
        await self._context.write(self._variant.write(answer))
        self._events.on_push(len(answer.resources))
        return True

    def _lookup(self, name: str, waits: bool) -> Resource | Pending | None:
        # A refusal can be told in delta alone, and only there can anything be taken back.
        if self._variant.subscription is DeltaSubscription:
            return self._secrets.lookup(name, waits=waits)
        return self._secrets.lookup_configured(name)

    def _note_request(self, request: DeltaRequest, residence: Residence, now: float) -> None:
        for name in request.unsubscribe:
            residence.leave(name)
        for name in request.subscribe:
            if name in request.initial_versions and not self._secrets.is_configured(name):
                residence.resume(name, now, RESUMED_WITHIN_SECONDS)

    def _note_answer(self, answer: DeltaAnswer, residence: Residence, now: float) -> None:
        for name in answer.removed:
            residence.leave(name)
        for resource in answer.resources:
            if not self._secrets.is_configured(resource.name):
                residence.arrive(resource.name, now)
