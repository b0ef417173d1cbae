"""Unary gRPC over HTTP/2, sans-I/O: bytes in, calls out, answers in, bytes out.

One object per connection. libnghttp2 does framing, HPACK, flow control and the defences against
a hostile peer (resets, continuations, settings, pings, header lists); this module does gRPC,
after "gRPC over HTTP2" (grpc/doc/PROTOCOL-HTTP2.md):

- a request is POST, ``application/grpc``, a known path, one uncompressed message, half-close;
- an answer is headers, one message, trailers; an error is trailers only;
- any other request has a status: UNIMPLEMENTED for an unknown method or a compressed message,
  RESOURCE_EXHAUSTED over a limit, INVALID_ARGUMENT for bad framing, DEADLINE_EXCEEDED when
  ``grpc-timeout`` expires first.

The read path is optimised for nearly all requests: a whole message in one DATA frame that also
ends the stream.
"""

from collections.abc import Callable, Mapping

import ngh2

from sidecar.transport.grpc_framing import PREFIX_BYTES, read_message
from sidecar.transport.grpc_headers import (
    NO_CALL,
    NO_TRACES,
    OK_HEADERS,
    OK_TRAILERS,
    CallRefusedError,
    CarryTrace,
    Headers,
    error_headers,
    read_request_headers,
)
from sidecar.transport.grpc_status import GrpcStatus, RpcError
from sidecar.transport.limits import BufferAccount, Limits


class _Call:
    """A request whose message is still arriving, or whose answer is pending.

    ``body`` is the received part of the message, and empty once the message is dispatched.
    ``deadline`` is the client's; while the message is arriving, the receive time-out if earlier.
    """

    __slots__ = ("answer_by", "body", "carried", "deadline", "ended", "path")

    def __init__(self, path: bytes, deadline: float | None, *, ended: bool = False) -> None:
        self.path = path
        self.carried = b""
        """What of the call's headers is appended to its message."""
        self.deadline = deadline
        self.answer_by = deadline
        self.body = bytearray()
        self.ended = ended


class UnaryConnection:
    """The gRPC side of one HTTP/2 connection.

    ``dispatch(stream_id, path, message)`` is called for every whole request. It returns the
    answer, or raises ``RpcError``, or returns ``None`` and answers later with ``respond`` or
    ``fail``. After ``receive``, and after any answer given later, ``outgoing`` has what to
    write. A ``ngh2.ProtocolError`` out of ``receive`` ends the connection, once ``outgoing``
    (the GOAWAY) is written. ``abandon(stream_id)`` is called for a call that was dispatched
    and whose answer is no longer awaited: its peer has left, or its deadline has passed.
    """

    __slots__ = (
        "_abandon", "_buffered", "_calls", "_dispatch", "_h2", "_known", "_limits", "_paths",
        "_resets", "_shared", "_traces",
    )  # fmt: skip

    def __init__(
        self,
        paths: frozenset[bytes],
        dispatch: Callable[[int, bytes, bytes], bytes | None],
        limits: Limits,
        abandon: Callable[[int], None] = lambda _: None,
        shared: BufferAccount | None = None,
        *,
        traces: Mapping[bytes, CarryTrace] = NO_TRACES,
    ) -> None:
        """``shared`` is what all connections of the server hold together.

        ``traces`` has for a path what makes of a call's trace context what is appended to its
        message.
        """
        self._abandon = abandon
        self._traces = traces
        self._shared = shared or BufferAccount()
        self._paths = paths
        self._dispatch = dispatch
        self._limits = limits
        self._calls: dict[int, _Call] = {}
        self._buffered = 0
        self._resets: list[int] = []
        self._known = NO_CALL
        self._h2 = ngh2.Connection(ngh2.Role.SERVER, ngh2.Configuration())
        self._h2.initiate_connection(
            {
                ngh2.Setting.MAX_CONCURRENT_STREAMS: limits.max_concurrent_streams,
                ngh2.Setting.INITIAL_WINDOW_SIZE: 1_048_576,
                ngh2.Setting.MAX_HEADER_LIST_SIZE: 65_536,
                ngh2.Setting.ENABLE_PUSH: 0,
            }
        )
        self._h2.set_local_window_size(self._limits.max_buffered_bytes)

    @property
    def open_calls(self) -> int:
        """How many requests are not answered yet."""
        return len(self._calls)

    @property
    def finished(self) -> bool:
        """Whether neither side has anything left to send."""
        return not (self._h2.want_read or self._h2.want_write)

    def receive(self, data: bytes, now: float) -> None:
        """Process the peer's bytes at ``now`` (monotonic seconds)."""
        h2 = self._h2
        h2.receive_data(data)
        opened: ngh2.RequestReceived | None = None
        for event in h2.events():
            if type(event) is ngh2.RequestReceived:
                if opened is not None:
                    self._on_request(opened, now)
                opened = event
                continue
            if opened is not None:
                if (
                    type(event) is ngh2.DataReceived
                    and event.end_stream
                    and event.stream_id == opened.stream_id
                    and (opened.headers == self._known[0] or self._known.is_like(opened.headers))
                ):
                    self._on_whole(event.stream_id, event.data, now, opened.headers)
                    opened = None
                    continue
                self._on_request(opened, now)
                opened = None
            if type(event) is ngh2.DataReceived:
                self._on_data(event.stream_id, event.data, event.end_stream)
            elif type(event) is ngh2.StreamClosed or type(event) is ngh2.StreamReset:
                self._forget(event.stream_id)
            elif type(event) is ngh2.TrailersReceived:
                self._on_data(event.stream_id, b"", ended=True)
        if opened is not None:
            self._on_request(opened, now)

    def outgoing(self) -> bytes:
        """Return all bytes to write, in one piece."""
        data = self._h2.data_to_send()
        if self._resets:
            # The client learns the status first, and only then to stop sending (RFC 9113 §8.1).
            for stream_id in self._resets:
                self._h2.reset_stream(stream_id, ngh2.ErrorCode.NO_ERROR)
            self._resets.clear()
            data += self._h2.data_to_send()
        return data

    def respond(self, stream_id: int, message: bytes) -> None:
        """Answer one call. A call that the peer has reset meanwhile is ignored."""
        if self._remove_call(stream_id) is not None:
            self._send(stream_id, message)

    def _send(self, stream_id: int, message: bytes) -> None:
        h2 = self._h2
        try:
            h2.send_response(stream_id, OK_HEADERS)
        except ngh2.StreamUnavailableError:
            return  # it was reset in the same read
        h2.send_data(stream_id, b"\0" + len(message).to_bytes(4, "big") + message)
        h2.send_trailers(stream_id, OK_TRAILERS)

    def fail(self, stream_id: int, status: GrpcStatus, message: str) -> None:
        """Answer one call with an error: trailers only."""
        call = self._calls.get(stream_id)
        if call is None:
            return
        self._refuse(stream_id, error_headers(status, message), ended=call.ended)

    def close(self) -> None:
        """Drop every call: the connection has ended."""
        for stream_id in tuple(self._calls):
            self._forget(stream_id)

    def expire(self, now: float) -> None:
        """Fail the calls whose ``grpc-timeout`` or receive time-out has expired."""
        late = [
            (stream_id, call)
            for stream_id, call in self._calls.items()
            if call.deadline is not None and now >= call.deadline
        ]
        for stream_id, call in late:
            if call.ended:
                self._abandon(stream_id)
            self.fail(stream_id, GrpcStatus.DEADLINE_EXCEEDED, "the deadline has passed")

    def ping(self) -> None:
        """Send a PING."""
        self._h2.ping()

    def announce_drain(self) -> None:
        """Announce the shutdown: a client sends its next calls elsewhere (RFC 9113 §6.8)."""
        self._h2.send_shutdown_notice()

    def drain(self) -> None:
        """Refuse new calls; those in flight are still answered."""
        self._h2.send_goaway()

    def _on_request(self, event: ngh2.RequestReceived, now: float) -> None:
        # A client's calls nearly always have equal headers, so the last result is cached.
        known = self._known
        if not known.is_like(event.headers):
            try:
                known = self._known = read_request_headers(event.headers, self._paths)
            except CallRefusedError as refusal:
                self._refuse(event.stream_id, refusal.headers, ended=event.end_stream)
                return
        path, timeout = known.path, known.timeout
        patience = self._limits.receive_seconds
        call = _Call(path, now + (patience if timeout is None else min(timeout, patience)))
        call.carried = self._trace_of(event.headers)
        call.answer_by = None if timeout is None else now + timeout
        self._calls[event.stream_id] = call
        if event.end_stream:
            call.ended = True
            self.fail(event.stream_id, GrpcStatus.INVALID_ARGUMENT, "the request has no message")

    def _trace_of(self, headers: Headers) -> bytes:
        """Return what a call that is like the last one appends to its message."""
        _, path, _, at, tracestate = self._known
        carry_trace = self._traces.get(path)
        if at < 0 or carry_trace is None:
            return b""
        return carry_trace(headers[at][1], tracestate)

    def _on_whole(self, stream_id: int, data: bytes, now: float, headers: Headers) -> None:
        """Handle a request that arrived in one piece, with the same headers as the last one."""
        _, path, timeout, traceparent_at, _ = self._known
        if (
            data[:1] == b"\0"
            and len(data) - PREFIX_BYTES
            == int.from_bytes(data[1:PREFIX_BYTES], "big")
            <= self._limits.max_message_bytes
        ):
            deadline = None if timeout is None else now + timeout
            message = data[PREFIX_BYTES:]
            if traceparent_at >= 0 and self._traces:
                message += self._trace_of(headers)
            self._dispatch_call(stream_id, path, message, deadline)
            return
        call = self._calls[stream_id] = _Call(path, None)
        call.carried = self._trace_of(headers)
        self._on_data(stream_id, data, ended=True)

    def _dispatch_call(
        self, stream_id: int, path: bytes, message: bytes, deadline: float | None
    ) -> None:
        try:
            answer = self._dispatch(stream_id, path, message)
        except RpcError as error:
            self._refuse(stream_id, error_headers(error.status, error.message), ended=True)
            return
        if answer is None:
            self._calls[stream_id] = _Call(path, deadline, ended=True)
        else:
            self._send(stream_id, answer)

    def _on_data(self, stream_id: int, data: bytes, ended: bool) -> None:
        call = self._calls.get(stream_id)
        if call is None:
            return
        if not ended or call.body:
            call.body += data
            self._buffered += len(data)
            self._shared.held_bytes += len(data)
            if self._over_limit(stream_id, call) or not ended:
                return
            data = bytes(call.body)
        call.ended = True
        try:
            message = read_message(data, self._limits.max_message_bytes)
        except RpcError as error:
            self.fail(stream_id, error.status, error.message)
            return
        self._remove_call(stream_id)
        self._dispatch_call(stream_id, call.path, message + call.carried, call.answer_by)

    def _over_limit(self, stream_id: int, call: _Call) -> bool:
        too_large = len(call.body) > self._limits.max_message_bytes + PREFIX_BYTES
        over_own = self._buffered > self._limits.max_buffered_bytes
        if not (too_large or over_own or self._shared.is_overdrawn):
            return False
        whose = "the connection's" if over_own else "all connections'"
        what = "the message is" if too_large else f"{whose} unfinished messages are"
        self.fail(stream_id, GrpcStatus.RESOURCE_EXHAUSTED, f"{what} too large")
        return True

    def _refuse(self, stream_id: int, headers: Headers, *, ended: bool) -> None:
        self._remove_call(stream_id)
        try:
            self._h2.send_response(stream_id, headers, end_stream=True)
        except ngh2.StreamUnavailableError:
            return  # as in _send
        if not ended:
            self._resets.append(stream_id)

    def _forget(self, stream_id: int) -> None:
        call = self._remove_call(stream_id)
        if call is not None and call.ended:
            self._abandon(stream_id)

    def _remove_call(self, stream_id: int) -> _Call | None:
        """Remove a call and release its memory; every call is removed here."""
        call = self._calls.pop(stream_id, None)
        if call is not None and call.body:
            self._buffered -= len(call.body)
            self._shared.held_bytes -= len(call.body)
        return call
