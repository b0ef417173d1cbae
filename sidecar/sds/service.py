"""SDS and ADS over grpcio: the streams of all clients.

Served under both names, ``SecretDiscoveryService`` and ``AggregatedDiscoveryService``:
the messages are the same, and over ADS one stream carries thousands of names.
"""

import asyncio
from collections.abc import Container, Sequence

import grpc

from sidecar.sds.inbox import Shared
from sidecar.sds.messages import MessageFault, read_sotw, write_sotw
from sidecar.sds.resources import SDS_TYPE_URL
from sidecar.sds.stream import DELTA, INVALID, SOTW, EvictionPolicy, SdsEvents, Stream, Variant
from sidecar.sds.subscription import Resource, SotwAnswer
from sidecar.sds.table import CertificateSource, OnDemandSource, SecretTable

SDS_SERVICE = "envoy.service.secret.v3.SecretDiscoveryService"
AGGREGATED_SERVICE = "envoy.service.discovery.v3.AggregatedDiscoveryService"
MAX_STREAMS = 4096
MAX_FETCHED_NAMES = 100
__all__ = ["AGGREGATED_SERVICE", "SDS_SERVICE", "SdsEvents", "SdsService"]
_NAMES_A_TURN = 500
"""The number of streams handled before the event loop runs other tasks."""


class SdsService:
    """The streams of every client. ``secrets`` holds the secrets that are not certificates.

    ``on_demand`` obtains the certificates of names that are not ``configured``;
    ``eviction`` says how long a client keeps those.
    """

    def __init__(
        self,
        certificates: CertificateSource,
        events: SdsEvents,
        *,
        on_demand: OnDemandSource | None = None,
        configured: Container[str] = (),
        eviction: EvictionPolicy | None = None,
    ) -> None:
        self.secrets = SecretTable(certificates, on_demand, configured)
        self._events = events
        self._eviction = eviction
        self._streams: set[Stream] = set()
        self._shared = Shared()
        self._draining = False

    def handlers(self) -> Sequence[grpc.GenericRpcHandler]:
        """Return the handlers for a grpc.aio server."""
        secrets = {
            "StreamSecrets": self._stream_of(SOTW),
            "DeltaSecrets": self._stream_of(DELTA),
            "FetchSecrets": grpc.unary_unary_rpc_method_handler(self._fetch),
        }
        aggregated = {
            "StreamAggregatedResources": self._stream_of(SOTW._replace(aggregated=True)),
            "DeltaAggregatedResources": self._stream_of(DELTA._replace(aggregated=True)),
        }
        return (
            grpc.method_handlers_generic_handler(SDS_SERVICE, secrets),
            grpc.method_handlers_generic_handler(AGGREGATED_SERVICE, aggregated),
        )

    def drain(self) -> None:
        """End every stream; Envoy keeps its secrets and reconnects."""
        self._draining = True
        for stream in tuple(self._streams):
            stream.end()

    def use_on_demand(self, configured: Container[str], eviction: EvictionPolicy) -> None:
        """Take other names as configured, and evict the others by another policy (a reload)."""
        self.secrets.use_configured(configured)
        self._eviction = eviction
        for stream in tuple(self._streams):
            stream.use_eviction(eviction)

    def evict(self, name: str) -> None:
        """Evict a name from every client; a client that needs it asks again (delta)."""
        for stream in tuple(self._streams):
            stream.evict(name)

    def evict_overdue(self) -> int:
        """Evict the names whose TTL is over; return how many there were."""
        return sum(stream.evict_overdue() for stream in tuple(self._streams))

    async def evict_withdrawn(self) -> None:
        """Evict the names that a changed registry no longer allows."""
        for stream in tuple(self._streams):
            names = tuple(stream.names)
            for start in range(0, len(names), _NAMES_A_TURN):
                for name in names[start : start + _NAMES_A_TURN]:
                    if self.secrets.is_withdrawn(name):
                        stream.evict(name)
                await asyncio.sleep(0)

    def _stream_of(self, variant: Variant) -> grpc.RpcMethodHandler:
        async def run(_requests: object, context: grpc.aio.ServicerContext) -> None:
            if self._draining:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "shutting down")
            if len(self._streams) >= MAX_STREAMS:
                await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many streams")
            stream = Stream(
                variant, self.secrets, self._events, context, self._eviction, shared=self._shared
            )
            self._streams.add(stream)
            self._events.on_streams(len(self._streams))
            try:
                await stream.run()
            finally:
                self._streams.discard(stream)
                self._events.on_streams(len(self._streams))

        return grpc.stream_stream_rpc_method_handler(run)

    async def _fetch(self, raw: bytes, context: grpc.aio.ServicerContext) -> bytes:
        """Answer ``FetchSecrets``: one request; nothing is obtained on demand for it."""
        try:
            envelope, request = read_sotw(raw)
        except MessageFault as fault:
            await context.abort(INVALID, str(fault))
        if envelope.type_url not in {"", SDS_TYPE_URL}:
            await context.abort(INVALID, "only secrets are served here")
        if len(request.names) > MAX_FETCHED_NAMES:
            await context.abort(INVALID, f"more than {MAX_FETCHED_NAMES} names")
        found = [self.secrets.lookup(name, waits=False) for name in dict.fromkeys(request.names)]
        there = tuple(each for each in found if isinstance(each, Resource))
        if not there:
            await context.abort(grpc.StatusCode.NOT_FOUND, "none of these secrets exists")
        self._events.on_push(len(there))
        return write_sotw(SotwAnswer(there[-1].version, "", there))
