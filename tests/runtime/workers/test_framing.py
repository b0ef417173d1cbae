"""What is refused as a frame."""

import pytest

from sidecar.observability.counters import Histogram
from sidecar.runtime.workers.frames import Drain, FromWorker, Report, StatsRequest, VersionRefused
from sidecar.runtime.workers.framing import MAX_FROM_WORKER_BYTES, FrameFault, FrameReader, encode
from sidecar.runtime.workers.stats import WorkerStats

OTHER_BUCKETS = WorkerStats()
OTHER_BUCKETS.counters.latency = Histogram((1, 2))
TOO_FEW = WorkerStats()
TOO_FEW.counters.latency.counts.pop()

REFUSED = [
    ("too long", (MAX_FROM_WORKER_BYTES + 1).to_bytes(4, "big"), "the limit is"),
    ("no msgpack", b"\0\0\0\1\xc1", "can't be decoded"),
    ("of an unknown kind", encode(StatsRequest(1)).replace(b"ask", b"axe"), "can't be decoded"),
    ("of the other direction", encode(Drain()), "can't be decoded"),
    ("other buckets than ours", encode(Report(1, 1, OTHER_BUCKETS)), "the buckets differ"),
    ("a bucket short", encode(Report(1, 1, TOO_FEW)), "one count per bucket"),
    (
        "text that is not UTF-8",
        encode(VersionRefused("xx")).replace(b"xx", b"\xff\xff"),
        "can't be decoded",
    ),
]


@pytest.mark.parametrize(("raw", "said"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED])
def test_what_is_no_frame_is_a_fault(raw: bytes, said: str) -> None:
    with pytest.raises(FrameFault, match=said):
        list(FrameReader(FromWorker, MAX_FROM_WORKER_BYTES).feed(raw))
