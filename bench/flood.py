"""What forged tokens without end do to those who have good ones.

Usage (the attacker's process): python -m bench.flood ADDRESS FILE

One client sends warm Checks in an open loop, one every 2 ms; another process, at the lowest
priority so that it takes no CPU from either, keeps 32 forged tokens in flight without end,
which is more than a server can verify. Windows at rest and flooded take turns, and the
medians of their p99 are compared.

The latency is the client's: from when a Check was due to when its answer was read, the
network stack, two wake-ups and the client's own Python included. That makes the p99 at
rest larger than the server's part of it alone. ``client_late_p99_us`` says how late the
client itself was with its sending.
"""

import itertools
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from bench.clients import IN_FLIGHT, GrpcClient
from bench.figures import percentile
from bench.harness import Server, expect, serving
from bench.material import Material, read_messages, write_messages
from bench.pacing import Paced

RATE = 500.0
FORGED_TOKENS = 256
_BUILD_UP_SECONDS = 0.7


class Size(NamedTuple):
    """How much is run."""

    windows: int
    """Of each kind."""
    seconds: float
    """A window."""


QUICK = Size(2, 1.5)
FULL = Size(4, 4.0)


def measure(material: Material, size: Size) -> dict[str, Any]:
    """Return the p99 of warm Checks at rest and flooded, and the flood's shape."""
    warm = material.request(0)
    forged = material.requests(FORGED_TOKENS, forged=True)
    path = material.folder / "forged"
    write_messages(path, forged)
    rest: list[Paced] = []
    flooded: list[Paced] = []
    answered: list[float] = []
    with serving("ours-h2", material.folder) as server:
        expect(server, warm, allowed=True)
        expect(server, forged[0], allowed=False)
        probe(server, warm, 0.3)
        for _ in range(size.windows):
            rest.append(probe(server, warm, size.seconds))
            with attacked(server, path) as count:
                before, started = count(), time.perf_counter()
                flooded.append(probe(server, warm, size.seconds))
                answered.append((count() - before) / (time.perf_counter() - started))
    at_rest, under = (statistics.median(p99s(windows)) for windows in (rest, flooded))
    return {
        "flood_p99": round(under / at_rest, 2),
        "p99_at_rest_us": round(at_rest * 1e6),
        "p99_flooded_us": round(under * 1e6),
        "windows_at_rest_us": [round(each * 1e6) for each in p99s(rest)],
        "windows_flooded_us": [round(each * 1e6) for each in p99s(flooded)],
        "p50_at_rest_us": round(pooled(rest, 0.5) * 1e6),
        "p50_flooded_us": round(pooled(flooded, 0.5) * 1e6),
        "client_late_p99_us": {
            "at rest": round(late(rest) * 1e6),
            "flooded": round(late(flooded) * 1e6),
        },
        "unanswered": sum(each.unanswered for each in (*rest, *flooded)),
        "shape": (
            f"{FORGED_TOKENS} different forged tokens in turn, closed loop, {IN_FLIGHT} in flight "
            f"on one connection, a process of its own at nice 19; warm Checks: open loop, "
            f"{RATE:.0f} a second on another connection, {size.windows} windows of "
            f"{size.seconds:g} s of each kind in turn"
        ),
        "forged_per_second": round(statistics.median(answered)),
    }


def probe(server: Server, warm: bytes, seconds: float) -> Paced:
    """Send warm Checks at the fixed rate."""
    client = GrpcClient(server.address)
    try:
        return client.paced([warm], RATE, seconds)
    finally:
        client.close()


def p99s(windows: list[Paced]) -> list[float]:
    """Return the p99 of each window."""
    return [percentile(each.latencies, 0.99) for each in windows]


def pooled(windows: list[Paced], share: float) -> float:
    """Return a percentile of all windows together."""
    return percentile([value for each in windows for value in each.latencies], share)


def late(windows: list[Paced]) -> float:
    """Return the p99 of the client's own lateness."""
    return percentile([value for each in windows for value in each.lateness], 0.99)


@contextmanager
def attacked(server: Server, path: Path) -> Iterator[Any]:
    """Flood a server for the length of a block; gives what counts the answers so far."""
    counter = path.with_suffix(".count")
    counter.write_bytes(bytes(8))
    command = [sys.executable, "-m", "bench.flood", str(server.address), str(path)]
    attacker = subprocess.Popen(command)
    try:
        time.sleep(_BUILD_UP_SECONDS)
        while not count_in(counter):
            if attacker.poll() is not None:
                raise SystemExit("the flood did not start")
            time.sleep(0.05)
        yield lambda: count_in(counter)
        if attacker.poll() is not None:
            raise SystemExit("the flood has ended by itself")
    finally:
        attacker.terminate()
        attacker.wait(10)


def count_in(counter: Path) -> int:
    """Read how many forged tokens were answered."""
    return int.from_bytes(counter.read_bytes()[:8], "big")


def attack(address: int | str, path: Path) -> None:
    """Send forged tokens until killed, and keep count in a file."""
    os.nice(19)
    messages = list(read_messages(path))
    client = GrpcClient(address)
    answered = 0
    with path.with_suffix(".count").open("r+b", buffering=0) as counter:

        def without_end() -> Iterator[bytes]:
            nonlocal answered
            for message in itertools.cycle(messages):
                yield message
                answered += 1
                if answered % IN_FLIGHT == 0:
                    counter.seek(0)
                    counter.write(answered.to_bytes(8, "big"))

        client.run(without_end())


if __name__ == "__main__":
    attack(int(sys.argv[1]) if sys.argv[1].isdigit() else sys.argv[1], Path(sys.argv[2]))
