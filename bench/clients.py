"""The clients: libnghttp2 on one plain socket, in this process.

``GrpcClient`` sends Checks to a server directly, ``EdgeClient`` requests to an Envoy. Both
run as a closed loop (``run``: so many in flight, the next when one ends), one at a time
(``ask``), or as an open loop (``paced``).
"""

import select
import socket
import struct
import time
from collections.abc import Iterable, Sequence

import ngh2

from bench.kernel import wake_on_time
from bench.pacing import Paced, Schedule, counters
from sidecar.transport.names import CHECK_METHOD

Headers = tuple[tuple[bytes, bytes], ...]
CHECK_HEADERS: Headers = (
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", CHECK_METHOD.encode()),
    (b":authority", b"sidecar"),
    (b"te", b"trailers"),
    (b"grpc-timeout", b"500m"),
    (b"content-type", b"application/grpc"),
    (b"x-envoy-internal", b"true"),
    (b"x-forwarded-for", b"127.0.0.1"),
    (b"x-envoy-expected-rq-timeout-ms", b"500"),
)
"""What Envoy's own call carries."""
IN_FLIGHT = 32
_ANSWERS_SECONDS = 5.0
_LEAD_SECONDS = 0.02


class Client:
    """One connection over HTTP/2 in the clear, to a port or a Unix socket."""

    def __init__(self, address: int | str) -> None:
        if isinstance(address, int):
            self._socket = socket.create_connection(("127.0.0.1", address))
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        else:
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.connect(address)
        self._socket.settimeout(30)
        self._h2 = ngh2.Connection(ngh2.Role.CLIENT)
        self._h2.initiate_connection({ngh2.Setting.INITIAL_WINDOW_SIZE: 1 << 20})
        self._h2.set_local_window_size(1 << 24)
        self._flush()

    def run(self, messages: Iterable[bytes], in_flight: int = IN_FLIGHT) -> int:
        """Make a call of each message; returns how many were answered."""
        todo = iter(messages)
        flying = answered = 0
        exhausted = False
        while flying or not exhausted:
            while not exhausted and flying < in_flight:
                message = next(todo, None)
                if message is None:
                    exhausted = True
                    break
                self._send(message)
                flying += 1
            self._flush()
            if not flying:
                break
            ended = len(self._ended())
            flying -= ended
            answered += ended
        return answered

    def ask(self, message: bytes) -> float:
        """Make one call and return its seconds."""
        started = time.perf_counter()
        self._send(message)
        self._flush()
        while not self._ended():
            pass
        return time.perf_counter() - started

    def answer(self, message: bytes) -> tuple[dict[bytes, bytes], bytes]:
        """Make one call and return its headers and trailers as one, and its body."""
        self._send(message)
        self._flush()
        fields: dict[bytes, bytes] = {}
        body = b""
        while True:
            for event in self._events():
                if isinstance(event, ngh2.ResponseReceived | ngh2.TrailersReceived):
                    fields |= dict(event.headers)
                elif isinstance(event, ngh2.DataReceived):
                    body += event.data
                elif isinstance(event, ngh2.StreamClosed):
                    return fields, body

    def paced(self, messages: Sequence[bytes], rate: float, seconds: float) -> Paced:
        """Send ``rate`` requests a second for so long, each when it is due, and time them."""
        wake_on_time()
        clock = time.perf_counter
        schedule = Schedule.lasting(clock() + _LEAD_SECONDS, rate, seconds)
        sent: dict[int, float] = {}
        answered: dict[int, float] = {}
        number_of: dict[int, int] = {}
        last_due = schedule.due_at(schedule.total - 1)
        while len(answered) < schedule.total:
            now = clock()
            while len(sent) < schedule.due_by(now):
                number = len(sent)
                number_of[self._send(messages[number % len(messages)])] = number
                sent[number] = now
            self._flush()
            due = schedule.due_at(len(sent)) if len(sent) < schedule.total else now + 0.1
            if select.select([self._socket], [], [], max(0.0, due - clock()))[0]:
                ended = self._ended()
                now = clock()
                answered.update({number_of.pop(stream): now for stream in ended})
            elif clock() > last_due + _ANSWERS_SECONDS:
                break
        return counters(schedule, sent, answered, clock())

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _send(self, message: bytes) -> int:
        raise NotImplementedError

    def _flush(self) -> None:
        data = self._h2.data_to_send()
        if data:
            self._socket.sendall(data)

    def _events(self) -> Iterable[ngh2.Event]:
        data = self._socket.recv(262_144)
        if not data:
            raise ConnectionError("the server has closed the connection")
        self._h2.receive_data(data)
        events: Iterable[ngh2.Event] = self._h2.events()
        return events

    def _ended(self) -> list[int]:
        """Read once and return the streams that ended. A stream that was reset is a fault."""
        ended = []
        for event in self._events():
            if isinstance(event, ngh2.StreamClosed):
                if event.error_code:
                    raise ConnectionError(f"a call was reset with code {event.error_code}")
                ended.append(event.stream_id)
        return ended


class GrpcClient(Client):
    """Sends serialised ``CheckRequest`` messages."""

    def _send(self, message: bytes) -> int:
        stream_id: int = self._h2.send_request(CHECK_HEADERS)
        data = struct.pack(">BI", 0, len(message)) + message
        self._h2.send_data(stream_id, data, end_stream=True)
        return stream_id


class EdgeClient(Client):
    """Sends requests with these headers and no body; a message is another token, or empty."""

    def __init__(self, address: int | str, headers: Headers) -> None:
        self._fields = headers
        self._others = tuple(each for each in headers if each[0] != b"authorization")
        super().__init__(address)

    def status(self) -> int:
        """Send one request and return the status of its answer."""
        return int(self.answer(b"")[0][b":status"])

    def _send(self, message: bytes) -> int:
        fields = self._fields
        if message:
            fields = (*self._others, (b"authorization", b"Bearer " + message))
        stream_id: int = self._h2.send_request(fields, end_stream=True)
        return stream_id
