"""SDS and ADS over grpcio: streams in, the subscription's decisions out.

Served under both names, ``SecretDiscoveryService`` and ``AggregatedDiscoveryService``:
the messages are the same, and over ADS one stream carries thousands of names. A stream
waits for two things at once, the client's next request and a change in the store.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import grpc

from sidecar.sds import resources
from sidecar.sds.subscription import (
    DeltaSubscription,
    SotwSubscription,
    SubscriptionFault,
)

SECRET_SERVICE = "envoy.service.secret.v3.SecretDiscoveryService"  # noqa: S105
AGGREGATED_SERVICE = "envoy.service.discovery.v3.AggregatedDiscoveryService"
MAX_STREAMS = 4096
MAX_UNREAD_REQUESTS = 64
_UNREADABLE = (ValueError, LookupError, TypeError, EOFError, AttributeError, OverflowError)
"""What betterproto2 raises for bytes that are no message; it has no error of its own."""


class SecretStore(Protocol):
    """Where the resources are; ``sidecar.certs.store`` is one."""

    def lookup(self, name: str) -> Any:
        """See ``sds.subscription.Lookup``."""

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Call ``changed`` on every change; returns what ends that."""


class SdsEvents(NamedTuple):
    """What the service tells those who count and log."""

    on_streams: Callable[[int], None]
    """How many streams there are now."""
    on_push: Callable[[int], None]
    """How many resources went out in one answer."""
    on_nack: Callable[[str, str], None]
    """The node that refused, and its words."""


class _Variant(NamedTuple):
    """One of the two protocols: its subscription and its messages."""

    subscription: Callable[[], Any]
    read: Callable[[bytes], tuple[str, str, Any]]
    write: Callable[[Any], bytes]


_SOTW = _Variant(SotwSubscription, resources.read_sotw, resources.write_sotw)
_DELTA = _Variant(DeltaSubscription, resources.read_delta, resources.write_delta)


class SdsService:
    """The streams of every client."""

    def __init__(self, store: SecretStore, events: SdsEvents) -> None:
        self._store = store
        self._events = events
        self._streams: set[_Stream] = set()

    def handlers(self) -> Sequence[grpc.GenericRpcHandler]:
        """Return the handlers for a grpc.aio server."""
        sotw = grpc.stream_stream_rpc_method_handler(self._stream_of(_SOTW))
        delta = grpc.stream_stream_rpc_method_handler(self._stream_of(_DELTA))
        fetch = grpc.unary_unary_rpc_method_handler(self._fetch)
        secrets = {"StreamSecrets": sotw, "DeltaSecrets": delta, "FetchSecrets": fetch}
        aggregated = {"StreamAggregatedResources": sotw, "DeltaAggregatedResources": delta}
        return (
            grpc.method_handlers_generic_handler(SECRET_SERVICE, secrets),
            grpc.method_handlers_generic_handler(AGGREGATED_SERVICE, aggregated),
        )

    def drain(self) -> None:
        """End every stream; Envoy keeps what it has and comes back to whoever listens then."""
        for stream in tuple(self._streams):
            stream.end()

    def _stream_of(self, variant: _Variant) -> Callable[[Any, Any], Any]:
        async def run(_requests: object, context: grpc.aio.ServicerContext) -> None:
            if len(self._streams) >= MAX_STREAMS:
                await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many streams")
            stream = _Stream(variant, self._store, self._events, context)
            self._streams.add(stream)
            self._events.on_streams(len(self._streams))
            try:
                await stream.run()
            finally:
                self._streams.discard(stream)
                self._events.on_streams(len(self._streams))

        return run

    async def _fetch(self, raw: bytes, context: grpc.aio.ServicerContext) -> bytes:
        """Answer ``FetchSecrets``: one request, what there is, no stream."""
        _node, type_url, request = resources.read_sotw(raw)
        if type_url not in {"", resources.SECRET_TYPE}:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "only secrets are served here")
        subscription = SotwSubscription()
        subscription.receive(request._replace(error=None))
        answer = subscription.answer(self._store.lookup)
        if answer is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "none of these secrets exists")
            return b""
        return resources.write_sotw(answer)


class _Stream:
    """One stream: a task that reads, and a loop that answers."""

    def __init__(
        self,
        variant: _Variant,
        store: SecretStore,
        events: SdsEvents,
        context: grpc.aio.ServicerContext,
    ) -> None:
        self._variant = variant
        self._store = store
        self._events = events
        self._context = context
        self._inbox: deque[bytes] = deque()
        self._room = asyncio.Event()
        self._wake = asyncio.Event()
        self._ended = False
        self._node = ""

    def end(self) -> None:
        """Let the stream end after what it is doing."""
        self._ended = True
        self._wake.set()

    async def run(self) -> None:
        """Serve until the client leaves or the stream is ended."""
        subscription = self._variant.subscription()
        unwatch = self._store.watch(self._wake.set)
        reader = asyncio.create_task(self._read())
        try:
            while not self._ended:
                await self._wake.wait()
                self._wake.clear()
                while self._inbox and not self._ended:
                    await self._receive(subscription, self._inbox.popleft())
                self._room.set()
                await self._push(subscription)
        finally:
            unwatch()
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)

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
            self.end()

    async def _receive(self, subscription: Any, raw: bytes) -> None:
        invalid = grpc.StatusCode.INVALID_ARGUMENT
        try:
            node, type_url, request = self._variant.read(raw)
        except _UNREADABLE:
            await self._context.abort(invalid, "the message is no discovery request")
            return
        self._node = node or self._node
        if type_url not in {"", resources.SECRET_TYPE}:
            await self._context.abort(invalid, "only secrets are served here")
        try:
            nack = subscription.receive(request)
        except SubscriptionFault as fault:
            await self._context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, str(fault))
            return
        if nack is not None:
            self._events.on_nack(self._node, nack.message)

    async def _push(self, subscription: Any) -> None:
        answer = subscription.answer(self._store.lookup)
        if answer is not None:
            await self._context.write(self._variant.write(answer))
            self._events.on_push(len(answer.resources))
