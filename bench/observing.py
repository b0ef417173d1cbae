"""Times what tracing and the audit chain add to a warm Check. Usage: python -m bench.observing.

Each case answers the same Check, decision and audit line included, in one process; cases take
turns, and the least of all rounds counts. It is CPU of the whole process, so the thread that
chains and writes lines is in it. Spans are queued and
thrown away: exporting is not in it.
"""

import json
import time
from collections.abc import Callable
from hashlib import sha256
from typing import NoReturn

from sidecar.authz.decision_ids import DecisionIds
from sidecar.authz.encoding.request import carry_trace
from sidecar.authz.recorder import DecisionRecorder
from sidecar.authz.service import CheckService
from sidecar.authz.snapshot import build_snapshot
from sidecar.common.clock import elapsed_ns, wall_seconds
from sidecar.config import parse_config
from sidecar.observability.audit import AuditLog
from sidecar.observability.audit.chain_file import MemoryPlace
from sidecar.observability.audit.trail import Trail
from sidecar.observability.counters import Counters
from sidecar.observability.tracing.tracer import SpanQueue, Tracer
from sidecar.tokens.cache import TokenCache
from tests.authz.checks import check_request
from tests.authz.conftest import CONFIG
from tests.support.minting import NOW, Issuer

CHECKS, ROUNDS = 4096, 15
TURN = 64
"""Checks between two of which the lines are handed to the writing thread."""
CONTEXT = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-"
CASES = {
    "neither": (False, b""),
    "chain": (True, b""),
    "context not sampled": (False, CONTEXT + b"00"),
    "chain, context not sampled": (True, CONTEXT + b"00"),
    "context sampled": (False, CONTEXT + b"01"),
    "chain, context sampled": (True, CONTEXT + b"01"),
}
ISSUER = Issuer.generate()


class _Nowhere:
    """A sink that keeps nothing."""

    bytes_written = 0

    def write(self, data: bytes) -> None:
        self.bytes_written += len(data)

    def reopen(self) -> None:
        """There is no file."""

    def close(self) -> None:
        """There is no file."""


def _stop(fault: Exception) -> NoReturn:
    raise fault


def checks(*, chained: bool, context: bytes) -> Callable[[int], None]:
    """Return a function that answers so many Checks and waits for their lines."""
    trail = Trail(MemoryPlace(), wall_seconds) if chained else None
    audit = AuditLog(_Nowhere(), queue_lines=2 * CHECKS, on_error=_stop, trail=trail)
    spans = SpanQueue(2 * TURN, {})
    tracer = Tracer(spans, 0.0, 10**9) if context else None
    recorder = DecisionRecorder(Counters(), audit, lambda *_: None, tracer=tracer)
    service = CheckService(
        build_snapshot(parse_config(CONFIG, "bench"), ISSUER.ring),
        now=lambda: NOW + 0.25,
        elapsed_ns=elapsed_ns,
        new_id=DecisionIds().take,
        observer=recorder,
        on_fault=_stop,
        cache=TokenCache(),
    )
    headers = {f"x-header-{number}": "v" * 20 for number in range(14)}
    headers |= {"authorization": f"Bearer {ISSUER.mint().decode()}", "x-request-id": "0d1c6c3a"}
    raw = check_request(path="/api/x", headers=headers) + (
        carry_trace(context, b"") * bool(context)
    )

    def answer(count: int) -> None:
        for turn in range(0, count, TURN):
            for _ in range(turn, min(turn + TURN, count)):
                service.handle(raw)
            recorder.drain()
            spans._spans.clear()  # noqa: SLF001 - else their messages would fill the memory
        while audit.written < audit.lines_in:
            time.sleep(0.0005)

    return answer


def main() -> None:
    """Print a line a case as JSON: microseconds of CPU for one Check, and beyond neither."""
    cases = {name: checks(chained=chain, context=trace) for name, (chain, trace) in CASES.items()}
    least = dict.fromkeys(cases, float("inf"))
    for _ in range(ROUNDS):
        for name, answer in cases.items():
            began = time.process_time()
            answer(CHECKS)
            least[name] = min(least[name], (time.process_time() - began) / CHECKS * 1e6)
    for name, spent in least.items():
        added = spent - least["neither"]
        print(json.dumps({"case": name, "us": round(spent, 2), "added_us": round(added, 2)}))
    line = bytes(700)
    began = time.process_time()
    for _ in range(CHECKS):
        sha256(line).hexdigest()
    bare = (time.process_time() - began) / CHECKS * 1e6
    print(json.dumps({"case": "SHA-256 of 700 bytes alone", "us": round(bare, 2)}))


if __name__ == "__main__":
    main()
