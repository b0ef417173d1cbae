"""A collector as tests need it: HTTP by the standard library, OTLP by the official messages."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

Answer = Callable[[BaseHTTPRequestHandler], None]


class SentSpan(NamedTuple):
    """A span, and what it says of itself as a mapping."""

    span: Span
    said: dict[str, str | int]
    service: str

    @property
    def trace_id(self) -> str:
        """Return it as a log shows it."""
        return self.span.trace_id.hex()


class Receiver:
    """What arrived. ``answers`` are given in their order, and then 200 for ever."""

    def __init__(self) -> None:
        self.spans: list[SentSpan] = []
        self.headers: list[dict[str, str]] = []
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        self.asked = 0
        self.hold = threading.Event()
        self.hold.set()
        self.url = ""

    def take(self, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        """Keep what a request that is answered 200 brings; return the answer."""
        self.asked += 1
        self.headers.append(headers)
        answer = self.answers.pop(0) if self.answers else (200, {}, b"")
        if answer[0] == 200:
            for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                named = {each.key: each.value for each in of_resource.resource.attributes}
                for of_scope in of_resource.scope_spans:
                    self.spans += [
                        SentSpan(span, _said(span), named["service.name"].string_value)
                        for span in of_scope.spans
                    ]
        return answer

    def of_decisions(self) -> list[SentSpan]:
        """Return the sidecar's spans."""
        return [each for each in self.spans if "septem.decision_id" in each.said]


def _said(span: Span) -> dict[str, str | int]:
    return {
        each.key: each.value.int_value
        if each.value.HasField("int_value")
        else each.value.string_value
        for each in span.attributes
    }


@contextmanager
def collector() -> Iterator[Receiver]:
    """Run a collector."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            """Take spans."""
            body = self._body()
            receiver.hold.wait(20)
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, more, answer = receiver.take({":path": self.path, **headers}, body)
            self.send_response(status)
            for name, value in {"content-length": str(len(answer)), **more}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer)

        def _body(self) -> bytes:
            if self.headers.get("transfer-encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("content-length", 0)))
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}/v1/traces"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.hold.set()
        server.shutdown()
        thread.join()
        server.server_close()
