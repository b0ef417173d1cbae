"""SDS and ADS over grpcio: streams in, the subscription's decisions out.

Served under both names, ``SecretDiscoveryService`` and ``AggregatedDiscoveryService``:
the messages are the same, and over ADS one stream carries thousands of names. A stream
waits for two things at once, the client's next request and a change in the table.

Nothing is queued for a client: of a name that changes twice before it is read, the later
version is sent. A client that does not read is not written to, one that does not stop
asking is not read from.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
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
from sidecar.sds.resources import SECRET_TYPE
from sidecar.sds.subscription import (
    DeltaSubscription,
    Nack,
    Resource,
    SotwAnswer,
    SotwSubscription,
    SubscriptionFault,
)
from sidecar.sds.table import CertificateSource, SecretTable

SECRET_SERVICE = "envoy.service.secret.v3.SecretDiscoveryService"  # noqa: S105
AGGREGATED_SERVICE = "envoy.service.discovery.v3.AggregatedDiscoveryService"
MAX_STREAMS = 4096
MAX_UNREAD_REQUESTS = 64
MAX_FETCHED_NAMES = 100
_INVALID = grpc.StatusCode.INVALID_ARGUMENT
_log = logging.getLogger("sidecar.sds")


class SdsEvents(NamedTuple):
    """What the service tells those who count and log."""

    on_streams: Callable[[int], None]
    """How many streams there are now."""
    on_push: Callable[[int], None]
    """How many resources went out in one answer."""
    on_nack: Callable[[str, str], None]
    """The node that refused; which secret, and its words."""


class _Variant(NamedTuple):
    """One of the protocols: its subscription, its messages, and whose types it carries."""

    subscription: Callable[[], Any]
    read: Callable[[bytes], tuple[Envelope, Any]]
    write: Callable[[Any], bytes]
    aggregated: bool


_SOTW = _Variant(SotwSubscription, read_sotw, write_sotw, aggregated=False)
_DELTA = _Variant(DeltaSubscription, read_delta, write_delta, aggregated=False)


class SdsService:
    """The streams of every client. ``secrets`` takes what is no certificate."""

    def __init__(self, certificates: CertificateSource, events: SdsEvents) -> None:
        self.secrets = SecretTable(certificates)
        self._events = events
        self._streams: set[_Stream] = set()
        self._draining = False

    def handlers(self) -> Sequence[grpc.GenericRpcHandler]:
        """Return the handlers for a grpc.aio server."""
        secrets = {
            "StreamSecrets": self._stream_of(_SOTW),
            "DeltaSecrets": self._stream_of(_DELTA),
            "FetchSecrets": grpc.unary_unary_rpc_method_handler(self._fetch),
        }
        aggregated = {
            "StreamAggregatedResources": self._stream_of(_SOTW._replace(aggregated=True)),
            "DeltaAggregatedResources": self._stream_of(_DELTA._replace(aggregated=True)),
        }
        return (
            grpc.method_handlers_generic_handler(SECRET_SERVICE, secrets),
            grpc.method_handlers_generic_handler(AGGREGATED_SERVICE, aggregated),
        )

    def drain(self) -> None:
        """End every stream; Envoy keeps what it has and comes back to whoever listens then."""
        self._draining = True
        for stream in tuple(self._streams):
            stream.end()

    def _stream_of(self, variant: _Variant) -> grpc.RpcMethodHandler:
        async def run(_requests: object, context: grpc.aio.ServicerContext) -> None:
            if self._draining:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "shutting down")
            if len(self._streams) >= MAX_STREAMS:
                await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many streams")
            stream = _Stream(variant, self.secrets, self._events, context)
            self._streams.add(stream)
            self._events.on_streams(len(self._streams))
            try:
                await stream.run()
            finally:
                self._streams.discard(stream)
                self._events.on_streams(len(self._streams))

        return grpc.stream_stream_rpc_method_handler(run)

    async def _fetch(self, raw: bytes, context: grpc.aio.ServicerContext) -> bytes:
        """Answer ``FetchSecrets``: one request, what there is, no stream."""
        try:
            envelope, request = read_sotw(raw)
        except MessageFault as fault:
            await context.abort(_INVALID, str(fault))
        if envelope.type_url not in {"", SECRET_TYPE}:
            await context.abort(_INVALID, "only secrets are served here")
        if len(request.names) > MAX_FETCHED_NAMES:
            await context.abort(_INVALID, f"more than {MAX_FETCHED_NAMES} names")
        found = [self.secrets.lookup(name) for name in dict.fromkeys(request.names)]
        there = tuple(each for each in found if isinstance(each, Resource))
        if not there:
            await context.abort(grpc.StatusCode.NOT_FOUND, "none of these secrets exists")
        self._events.on_push(len(there))
        return write_sotw(SotwAnswer(there[-1].version, "", there))


class _Stream:
    """One stream: a task that reads, and a loop that takes requests and answers in turn."""

    def __init__(
        self,
        variant: _Variant,
        secrets: SecretTable,
        events: SdsEvents,
        context: grpc.aio.ServicerContext,
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

    def end(self) -> None:
        """Let the stream end after what it is doing."""
        self._ended = True
        self._wake.set()

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
            await self._context.abort(_INVALID, str(fault))
        self._node = envelope.node or self._node
        if not await self._is_ours(envelope.type_url):
            return
        try:
            nack: Nack | None = self._subscription.receive(request)
        except SubscriptionFault as fault:
            await self._context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, str(fault))
        if nack is not None:
            self._events.on_nack(self._node, f"{nack.name!r}: {nack.message}")

    async def _is_ours(self, type_url: str) -> bool:
        """Tell whether a request is for secrets.

        Over ADS an Envoy may ask for other types on the same stream. Ending the stream
        would take its secrets away; an empty answer would take its listeners away. So it
        is left waiting, and told about in the log.
        """
        if type_url == SECRET_TYPE or (not type_url and not self._variant.aggregated):
            return True
        if not type_url or not self._variant.aggregated:
            await self._context.abort(_INVALID, "only secrets are served here")
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
        answer = self._subscription.answer(self._secrets.lookup)
        if answer is None:
            return False
        await self._context.write(self._variant.write(answer))
        self._events.on_push(len(answer.resources))
        return True
