"""The gRPC rules of one connection, walked without a socket, by libnghttp2's own client."""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import ngh2
import pytest

from sidecar.transport.grpc_headers import NO_TRACES, CarryTrace
from sidecar.transport.grpc_status import GrpcStatus
from sidecar.transport.limits import BufferAccount, Limits
from sidecar.transport.unary import UnaryConnection

PATH = b"/pkg.Service/Method"
HEADERS = (
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", PATH),
    (b":authority", b"sidecar"),
    (b"te", b"trailers"),
    (b"content-type", b"application/grpc"),
)
LIMITS = Limits(max_message_bytes=10_000, max_concurrent_streams=8, max_buffered_bytes=20_000)


def message(payload: bytes, flag: int = 0) -> bytes:
    return struct.pack(">BI", flag, len(payload)) + payload


def headers(**changes: bytes | None) -> tuple[tuple[bytes, bytes], ...]:
    fields = dict(HEADERS)
    for name, value in changes.items():
        fields[name.replace("_", "-").replace("--", ":").encode()] = value  # type: ignore[assignment]
    return tuple((name, value) for name, value in fields.items() if value is not None)


@dataclass
class Reply:
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""
    ended: bool = False
    reset: int | None = None

    @property
    def status(self) -> int | None:
        return int(self.headers[b"grpc-status"]) if b"grpc-status" in self.headers else None


class Wire:
    """A client and a server joined by a wire in memory."""

    def __init__(
        self,
        limits: Limits = LIMITS,
        *,
        answer_at_once: bool = True,
        shared: BufferAccount | None = None,
        traces: Mapping[bytes, CarryTrace] = NO_TRACES,
    ) -> None:
        self.now = 0.0
        self.asked: list[tuple[int, bytes, bytes]] = []
        self.answer_at_once = answer_at_once
        self.abandoned: list[int] = []
        self.server = UnaryConnection(
            frozenset({PATH}), self._dispatch, limits, self.abandoned.append, shared, traces=traces
        )
        self.client = ngh2.Connection(ngh2.Role.CLIENT)
        self.client.initiate_connection()
        self.replies: dict[int, Reply] = {}
        self.goaway: list[int] = []
        self.exchange()

    def _dispatch(self, stream_id: int, path: bytes, payload: bytes) -> bytes | None:
        self.asked.append((stream_id, path, payload))
        return payload[::-1] if self.answer_at_once else None

    def exchange(self) -> None:
        for _ in range(8):
            if not self.server.finished:
                self.server.receive(self.client.data_to_send(), self.now)
            if self.client.want_read:
                self.client.receive_data(self.server.outgoing())
            for event in self.client.events():
                self._note(event)

    def _note(self, event: ngh2.Event) -> None:
        match event:
            case ngh2.ResponseReceived(stream_id, fields, end_stream):
                reply = self.replies.setdefault(stream_id, Reply())
                reply.headers.update(dict(fields))
                reply.ended = end_stream
            case ngh2.DataReceived(stream_id, data, _):
                self.replies[stream_id].body += data
            case ngh2.TrailersReceived(stream_id, fields):
                self.replies[stream_id].headers.update(dict(fields))
                self.replies[stream_id].ended = True
            case ngh2.StreamReset(stream_id, error_code):
                self.replies.setdefault(stream_id, Reply()).reset = error_code
            case ngh2.GoAwayReceived(_, error_code, _):
                self.goaway.append(error_code)

    def call(
        self, *pieces: bytes, fields: tuple[tuple[bytes, bytes], ...] = HEADERS, end: bool = True
    ) -> Reply:
        stream_id = self.client.send_request(fields, end_stream=end and not pieces)
        for number, piece in enumerate(pieces, 1):
            self.client.send_data(stream_id, piece, end_stream=end and number == len(pieces))
            self.exchange()
        self.exchange()
        return self.replies.get(stream_id, Reply())


def test_a_call() -> None:
    wire = Wire()
    reply = wire.call(message(b"abc"))
    assert wire.asked == [(1, PATH, b"abc")]
    assert reply.body == message(b"cba")
    assert reply.headers[b":status"] == b"200"
    assert reply.headers[b"content-type"] == b"application/grpc"
    assert (reply.status, reply.ended) == (0, True)
    assert wire.server.open_calls == 0


def test_a_message_in_many_frames() -> None:
    wire = Wire()
    whole = message(bytes(range(256)) * 20)
    assert wire.call(*(whole[i : i + 7] for i in range(0, 700, 7)), whole[700:]).status == 0
    assert wire.asked[0][2] == whole[5:]


def test_a_half_close_that_comes_alone() -> None:
    wire = Wire()
    assert wire.call(message(b"abc"), b"").body == message(b"cba")


def test_an_empty_message_is_a_message() -> None:
    assert Wire().call(message(b"")).body == message(b"")


REFUSALS = [
    ("unknown method", headers(**{"--path": b"/x/y"}), message(b""), GrpcStatus.UNIMPLEMENTED),
    ("compressed", HEADERS, message(b"abc", flag=1), GrpcStatus.UNIMPLEMENTED),
    ("too large", HEADERS, message(b"a" * 10_001), GrpcStatus.RESOURCE_EXHAUSTED),
    ("says it is too large", HEADERS, b"\0\xff\xff\xff\xff", GrpcStatus.RESOURCE_EXHAUSTED),
    ("no message", HEADERS, b"", GrpcStatus.INVALID_ARGUMENT),
    ("half a prefix", HEADERS, b"\0\0", GrpcStatus.INVALID_ARGUMENT),
    ("half a message", HEADERS, message(b"abc")[:-1], GrpcStatus.INVALID_ARGUMENT),
    ("two messages", HEADERS, message(b"a") * 2, GrpcStatus.INVALID_ARGUMENT),
    ("bad timeout", headers(grpc_timeout=b"soon"), message(b""), GrpcStatus.INVALID_ARGUMENT),
    (
        "long timeout",
        headers(grpc_timeout=b"123456789S"),
        message(b""),
        GrpcStatus.INVALID_ARGUMENT,
    ),
    ("no timeout", headers(grpc_timeout=b"S"), message(b""), GrpcStatus.INVALID_ARGUMENT),
]


@pytest.mark.parametrize(
    ("fields", "body", "status"), [r[1:] for r in REFUSALS], ids=[r[0] for r in REFUSALS]
)
def test_refusals_are_trailers_only(
    fields: tuple[tuple[bytes, bytes], ...], body: bytes, status: GrpcStatus
) -> None:
    wire = Wire()
    reply = wire.call(body, fields=fields)
    assert wire.asked == []
    assert reply.headers[b":status"] == b"200"
    assert (reply.status, reply.ended, reply.body) == (status, True, b"")
    assert reply.headers[b"grpc-message"]
    assert wire.server.open_calls == 0
    assert wire.call(message(b"abc")).status == 0, "the connection lives on"


NOT_GRPC = [
    ("GET", headers(**{"--method": b"GET"}), b"405"),
    ("JSON", headers(content_type=b"application/json"), b"415"),
    ("no content type", headers(content_type=None), b"415"),
    ("something like gRPC", headers(content_type=b"application/grpcx"), b"415"),
]


@pytest.mark.parametrize(
    ("fields", "status"), [n[1:] for n in NOT_GRPC], ids=[n[0] for n in NOT_GRPC]
)
def test_what_is_not_grpc(fields: tuple[tuple[bytes, bytes], ...], status: bytes) -> None:
    assert Wire().call(message(b""), fields=fields).headers[b":status"] == status


@pytest.mark.parametrize("kind", [b"application/grpc+proto", b"application/grpc;charset=utf-8"])
def test_content_types_that_are_grpc(kind: bytes) -> None:
    assert Wire().call(message(b"a"), fields=headers(content_type=kind)).status == 0


def test_a_client_that_goes_on_sending_is_stopped_after_its_answer() -> None:
    wire = Wire()
    reply = wire.call(message(b"a" * 12_000)[:11_000], end=False)
    assert (reply.status, reply.ended) == (GrpcStatus.RESOURCE_EXHAUSTED, True)
    assert reply.reset == ngh2.ErrorCode.NO_ERROR


def test_unfinished_messages_are_bounded_together() -> None:
    wire = Wire()
    half = message(b"a" * 9_000)[:8_000]
    replies = [wire.call(half, end=False) for _ in range(4)]
    assert [reply.status for reply in replies[:2]] == [None, None]
    assert [reply.status for reply in replies[2:]] == [GrpcStatus.RESOURCE_EXHAUSTED] * 2


def test_a_cancelled_calls_buffer_is_released() -> None:
    wire = Wire()
    half = message(b"a" * 9_000)[:8_000]
    for _ in range(10):
        stream_id = wire.client.send_request(HEADERS)
        wire.client.send_data(stream_id, half)
        wire.exchange()
        wire.client.reset_stream(stream_id)
        wire.exchange()
    assert wire.server.open_calls == 0
    assert wire.call(half, b"a" * 1005).status == 0


@pytest.mark.parametrize(
    ("raw", "seconds"), [(b"1H", 3600), (b"2M", 120), (b"3S", 3), (b"500m", 0.5), (b"9u", 9e-6)]
)
def test_the_deadline_is_the_clients(raw: bytes, seconds: float) -> None:
    wire = Wire(answer_at_once=False)
    stream_id = wire.client.send_request(headers(grpc_timeout=raw))
    wire.client.send_data(stream_id, message(b"abc"), end_stream=True)
    wire.exchange()
    wire.server.expire(seconds * 0.99)
    wire.exchange()
    assert stream_id not in wire.replies
    wire.server.expire(seconds)
    wire.exchange()
    assert wire.replies[stream_id].status == GrpcStatus.DEADLINE_EXCEEDED


def test_an_answer_that_comes_later() -> None:
    wire = Wire(answer_at_once=False)
    first, second = (wire.call(message(each)) for each in (b"one", b"two"))
    assert (first.ended, second.ended) == (False, False)
    wire.server.respond(3, b"2")
    wire.server.fail(1, GrpcStatus.INTERNAL, "50% häufiger")
    wire.exchange()
    assert wire.replies[3].body == message(b"2")
    assert wire.replies[1].status == GrpcStatus.INTERNAL
    assert wire.replies[1].headers[b"grpc-message"] == b"50%25 h%C3%A4ufiger"


def test_an_answer_to_a_caller_who_left_goes_nowhere() -> None:
    wire = Wire(answer_at_once=False)
    wire.call(message(b"one"))
    wire.client.reset_stream(1)
    wire.exchange()
    wire.server.respond(1, b"late")
    wire.server.fail(1, GrpcStatus.INTERNAL, "late")
    wire.exchange()
    assert wire.server.open_calls == 0


def test_a_closed_window_holds_the_answer_back_until_it_opens() -> None:
    wire = Wire()
    wire.client.update_settings({ngh2.Setting.INITIAL_WINDOW_SIZE: 0})
    wire.exchange()
    stream_id = wire.client.send_request(HEADERS)
    wire.client.send_data(stream_id, message(b"abc"), end_stream=True)
    wire.exchange()
    assert wire.replies[stream_id].body == b""
    wire.client.update_settings({ngh2.Setting.INITIAL_WINDOW_SIZE: 65_535})
    wire.exchange()
    assert wire.replies[stream_id].body == message(b"cba")
    assert wire.replies[stream_id].ended


def test_draining_answers_what_is_in_flight() -> None:
    wire = Wire(answer_at_once=False)
    wire.call(message(b"one"))
    wire.server.drain()
    wire.exchange()
    assert wire.goaway == [0]
    assert wire.server.open_calls == 1
    wire.server.respond(1, b"1")
    wire.exchange()
    assert wire.replies[1].status == 0


NOT_HTTP2 = [
    ("HTTP/1.1", b"GET / HTTP/1.1\r\n\r\n"),
    ("zeros", b"\x00" * 24),
    ("garbage", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 64),
    ("data first", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x01\x00\x00\x00\x00\x00\x01a"),
    ("odd settings", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x05\x04\x00\x00\x00\x00\x00abcde"),
]


@pytest.mark.parametrize("raw", [n[1] for n in NOT_HTTP2], ids=[n[0] for n in NOT_HTTP2])
def test_what_is_not_http2_ends_the_connection(raw: bytes) -> None:
    """Either at once, or with a GOAWAY after which nothing is read."""
    server = UnaryConnection(frozenset({PATH}), lambda *_: None, LIMITS)
    server.outgoing()
    try:
        server.receive(raw, 0.0)
    except ngh2.ProtocolError:
        return
    assert b"\x07" in server.outgoing()
    assert server.finished


def frame(kind: int, flags: int, stream_id: int, payload: bytes) -> bytes:
    return (
        struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream_id) + payload
    )


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b"")
FLOODS = [
    ("settings", lambda _: frame(4, 0, 0, b"")),
    ("pings", lambda _: frame(6, 0, 0, b"12345678")),
    ("continuations", lambda n: frame(1, 0, 1, b"\x82") if n == 0 else frame(9, 0, 1, b"\x82")),
    (
        "resets",
        lambda n: (
            frame(1, 5, 2 * n + 1, b"\x83\x86\x84\x41\x01a") + frame(3, 0, 2 * n + 1, b"\0" * 4)
        ),
    ),
]


@pytest.mark.parametrize("reading", [True, False], ids=["reading", "not reading"])
@pytest.mark.parametrize("make", [f[1] for f in FLOODS], ids=[f[0] for f in FLOODS])
def test_floods_end_the_connection(make: Callable[[int], bytes], reading: bool) -> None:
    """CVE-2019-9512, -9515, CVE-2024-28182 and CVE-2023-44487, whether answers are read or not.

    By an error, or by a GOAWAY after which nothing is read; ``H2Server`` closes after both.
    """
    server = UnaryConnection(frozenset({PATH}), lambda *_: None, LIMITS)
    server.receive(PREFACE, 0.0)
    kind = make(1)[3]
    for number in range(20_000):
        try:
            server.receive(make(number), 0.0)
        except ngh2.ProtocolError:
            return
        if reading or number % 5000 == 0:
            server.outgoing()
            if server.finished:
                return
    assert (kind, reading) in {(4, True), (6, True)}, "a peer that reads may ask and be answered"


def test_calls_that_come_in_one_read_are_all_answered() -> None:
    """Whole ones, one with other headers, one in pieces, one without a message."""
    wire = Wire()
    wire.call(message(b"first"))
    send, data = wire.client.send_request, wire.client.send_data
    streams = [send(HEADERS), send(HEADERS), send(headers(grpc_timeout=b"1S")), send(HEADERS)]
    for stream_id in streams:
        data(stream_id, message(b"%d" % stream_id)[:4])
    for stream_id in streams:
        data(stream_id, message(b"%d" % stream_id)[4:], end_stream=True)
    whole = [send(HEADERS), send(headers(grpc_timeout=b"2S")), send(HEADERS)]
    for stream_id in whole:
        data(stream_id, message(b"%d" % stream_id), end_stream=True)
    empty = send(HEADERS, end_stream=True)
    wire.exchange()
    for stream_id in (*streams, *whole):
        assert wire.replies[stream_id].body == message((b"%d" % stream_id)[::-1])
        assert wire.replies[stream_id].status == 0
    assert wire.replies[empty].status == GrpcStatus.INVALID_ARGUMENT
    assert (wire.server.open_calls, wire.server._buffered) == (0, 0)


def test_a_call_that_is_reset_in_the_read_that_brings_it_harms_no_other() -> None:
    """Envoy resets a call whose time is up; the connection and its other calls go on."""
    for answer_at_once in (True, False):
        wire = Wire(answer_at_once=answer_at_once)
        gone = wire.client.send_request(HEADERS)
        wire.client.send_data(gone, message(b"gone"), end_stream=True)
        stays = wire.client.send_request(HEADERS)
        wire.client.send_data(stays, message(b"stays"), end_stream=True)
        refused = wire.client.send_request(headers(__method=b"GET"))
        raw = wire.client.data_to_send()
        wire.client.reset_stream(gone)
        wire.client.reset_stream(refused)
        wire.server.receive(raw + wire.client.data_to_send(), 0.0)
        if not answer_at_once:
            assert wire.abandoned == [gone]
            wire.server.respond(gone, b"too late")
            wire.server.respond(stays, b"syats")
        wire.exchange()
        assert wire.replies[stays].body == message(b"syats")
        assert wire.goaway == []
        assert wire.server.open_calls == 0
        assert wire.call(message(b"abc")).body == message(b"cba") or not answer_at_once


def test_work_for_an_abandoned_call_is_cancelled() -> None:
    wire = Wire(answer_at_once=False)
    late = wire.client.send_request(headers(grpc_timeout=b"100m"))
    wire.client.send_data(late, message(b"late"), end_stream=True)
    left = wire.client.send_request(HEADERS)
    wire.client.send_data(left, message(b"left"), end_stream=True)
    wire.exchange()
    wire.client.reset_stream(left)
    wire.exchange()
    wire.server.expire(0.2)
    wire.exchange()
    assert wire.abandoned == [left, late]
    assert wire.replies[late].status == GrpcStatus.DEADLINE_EXCEEDED


TRACEPARENT = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def context(number: int, *more: tuple[bytes, bytes]) -> tuple[tuple[bytes, bytes], ...]:
    return (*HEADERS, (b"traceparent", b"%b%d" % (TRACEPARENT[:-1], number)), *more)


def carry(traceparent: bytes, tracestate: bytes) -> bytes:
    return b"|%b|%b" % (traceparent[-2:], tracestate)


STATE = (b"tracestate", b"a=b")
CARRIED: list[tuple[str, list[tuple[tuple[bytes, bytes], ...]], list[bytes]]] = [
    ("none", [HEADERS, HEADERS], [b"", b""]),
    ("each its own", [context(1), context(2), context(2)], [b"|01|", b"|02|", b"|02|"]),
    ("with a state", [context(1, STATE), context(2, STATE)], [b"|01|a=b", b"|02|a=b"]),
    (
        "states that differ",
        [context(1, STATE), context(2, (b"tracestate", b"c=d")), context(3)],
        [b"|01|a=b", b"|02|c=d", b"|03|"],
    ),
    ("two states", [context(1, STATE, (b"tracestate", b"c=d"))], [b"|01|a=b,c=d"]),
    ("two parents", [context(1), (*context(1), context(2)[-1])], [b"|01|", b""]),
    ("one after the other", [context(1), HEADERS, context(2)], [b"|01|", b"", b"|02|"]),
    (
        "something else in its place",
        [context(1), (*HEADERS, (b"x-other", b"9")), context(3)],
        [b"|01|", b"", b"|03|"],
    ),
    ("too long", [(*HEADERS, (b"traceparent", b"0" * 300))], [b""]),
    ("a state too long", [context(1, (b"tracestate", b"a" * 600))], [b"|01|"]),
]


@pytest.mark.parametrize("pieces", [1, 2], ids=["in one frame", "in two"])
@pytest.mark.parametrize(
    ("calls", "carried"), [row[1:] for row in CARRIED], ids=[row[0] for row in CARRIED]
)
def test_a_calls_trace_context_is_appended_to_its_message(
    calls: list[tuple[tuple[bytes, bytes], ...]], carried: list[bytes], pieces: int
) -> None:
    wire = Wire(traces={PATH: carry})
    raw = message(b"abc")
    for fields in calls:
        assert (
            wire.call(*((raw,) if pieces == 1 else (raw[:6], raw[6:])), fields=fields).status == 0
        )
    assert [payload for _, _, payload in wire.asked] == [b"abc" + each for each in carried]


def test_calls_in_one_read_keep_their_own_context() -> None:
    wire = Wire(traces={PATH: carry})
    for number in (1, 2, 3):
        stream_id = wire.client.send_request(context(number))
        wire.client.send_data(stream_id, message(b"abc"), end_stream=True)
    wire.exchange()
    assert [payload for _, _, payload in wire.asked] == [b"abc|01|", b"abc|02|", b"abc|03|"]


def test_nothing_is_appended_where_nobody_asked_for_it() -> None:
    for traces in ({}, {b"/another/Method": carry}):
        wire = Wire(traces=traces)
        for number in (1, 2):
            wire.call(message(b"abc"), fields=context(number))
        assert [payload for _, _, payload in wire.asked] == [b"abc", b"abc"]
