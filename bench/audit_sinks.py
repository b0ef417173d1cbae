"""What a line costs on its way into ClickHouse: through the queue, the spool, gzip and HTTP.

``python -m bench.audit_sinks`` starts a server that only counts, in a process of its own, writes
lines at full speed, and prints lines a second of one core (CPU of this process, all threads).
"""

import multiprocessing
import sys
import tempfile
import threading
import time
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path

from sidecar.config import model
from sidecar.observability.audit import AuditEntry, encode_entry
from sidecar.observability.audit.delivery import BatchBounds, Delivery
from sidecar.observability.audit.intake import Intake
from sidecar.observability.audit.open_sink import open_sink
from sidecar.observability.audit.spool.keys import DataKey
from sidecar.observability.audit.spool.records import KeyReference
from sidecar.observability.audit.spool.spool import Spool

LINES = 400_000
_CHUNK = 512
_WAITING = 40_000
_REPORTED = 3


class _Key:
    """One key, as Vault KV has it."""

    def new(self) -> DataKey:
        return DataKey(bytes(32), KeyReference(version=1))

    def open(self, _reference: KeyReference) -> bytes:
        return bytes(32)


def _count(connection: Connection) -> None:
    """Serve ClickHouse's answer to whatever comes."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            left = int(self.headers["content-length"])
            while left:
                left -= len(self.rfile.read(min(left, 1_048_576)))
            self.send_response(200)
            self.send_header("X-ClickHouse-Query-Id", "bench")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    connection.send(server.server_port)
    connection.recv()


def _line(number: int) -> bytes:
    """Return the line of an ordinary allowed request, of which no two have an id in common."""
    digits = sha256(number.to_bytes(8, "big")).hexdigest()
    entry = AuditEntry(
        at=1.7e9 + number / 1000, decision_id=digits[:32], outcome="allow", reason="allowed",
        status=200, route="api", latency_us=number % 97, method="GET",
        host=f"tenant-{number % 50}.example.com", path=f"/api/orders/{digits[:6]}",
        tenant=f"7f1c9a52-3f0e-4c8e-9f3b-{number % 50:012}", subject=f"user-{digits[6:12]}",
        kid="2026-01", source="10.1.2.3", key_state="active", token_digest=digits[32:],
    )  # fmt: skip
    return encode_entry(entry)


def lines() -> list[bytes]:
    """Return chunks of lines, as the audit log writes them."""
    starts = range(0, LINES, _CHUNK)
    return [
        b"".join(_line(number) for number in range(first, min(first + _CHUNK, LINES)))
        for first in starts
    ]


def run(
    url: str, chunks: list[bytes], folder: Path | None, compression: str
) -> tuple[float, float]:
    """Return the seconds of CPU and of the clock that all lines took."""
    settings = model.ClickHouseAudit(url=url, compression=compression)  # type: ignore[arg-type]
    opened = open_sink(settings)
    intake = Intake(LINES + 1, 1 << 34)
    spool = None
    if folder is not None:
        spool = Spool(
            folder, _Key(), max_bytes=1 << 32, intake=intake, sinks=["clickhouse"], now=time.time
        )
        spool.start()
    delivery = Delivery(
        "clickhouse", opened.sink,
        lambda: intake if spool is None else spool.reader("clickhouse"),
        bounds=BatchBounds(20_000, 8_388_608, 1.0), clock=time.monotonic, jitter=lambda: 0.0,
    )  # fmt: skip
    delivery.start()
    cpu, clock = time.process_time(), time.monotonic()
    for chunk in chunks:
        while intake.waiting > _WAITING:
            time.sleep(0.001)
        intake.put(chunk, chunk.count(b"\n"))
    while delivery.delivered < LINES:
        time.sleep(0.005)
    spent = time.process_time() - cpu, time.monotonic() - clock
    delivery.stop(0.0)
    delivery.join(10)
    if spool is not None:
        spool.stop()
        spool.join(10)
        spool.release()
    return spent


def main() -> None:
    """Measure each way, and print it."""
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.Process(target=_count, args=(theirs,), daemon=True)
    server.start()
    url = f"http://127.0.0.1:{ours.recv()}"
    chunks = lines()
    size = sum(map(len, chunks)) / LINES
    sys.stdout.write(f"{LINES} lines of {size:.0f} bytes\n")
    for name, compression, spooled in (
        ("queue, not compressed", "none", False),
        ("queue, gzip", "gzip", False),
        ("spool, gzip", "gzip", True),
    ):
        best = float("inf")
        for _ in range(_REPORTED):
            with tempfile.TemporaryDirectory() as folder:
                where = Path(folder) / "spool" if spooled else None
                cpu, _clock = run(url, chunks, where, compression)
                best = min(best, cpu)
        sys.stdout.write(f"{name}: {LINES / best:,.0f} lines a second of one core\n")
    ours.send(None)
    server.join()


if __name__ == "__main__":
    main()
