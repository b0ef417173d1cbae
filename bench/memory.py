"""(d) What memory is kept: at rest, a remembered token, a connection, an hour's worth of churn.

Usage (the process that lives the hour): python -m bench.memory FOLDER FILE START
"""

import asyncio
import gc
import json
import os
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Awaitable, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, NamedTuple

import uvloop

from bench.clients import GrpcClient
from bench.harness import load, serving
from bench.kernel import rss_mb
from bench.material import (
    Material,
    check_request,
    is_allowed,
    read_messages,
    write_messages,
)
from demo.process import listens

HOUR_SECONDS = 3_600
_MARKS = 12
"""Marks of the hour: every five minutes of it."""


class Size(NamedTuple):
    """How much is run."""

    tokens: int
    """Of a server whose resident memory is looked at; 0 leaves that out."""
    connections: int
    churn_tokens: int
    """In the hour; 0 leaves the hour out."""


QUICK = Size(0, 0, 0)
FULL = Size(10_000, 400, 90_000)


def measure(material: Material, size: Size) -> dict[str, Any]:
    """Return resident memory in MB, and bytes of each thing that is kept."""
    result: dict[str, Any] = {
        "rss_idle_mb": rss_idle(),
        "rss_worker_mb": rss_worker(),
        "bytes_per_token": bytes_per_token(material),
    }
    if size.tokens:
        result |= tokens_and_connections(material, size)
    if size.churn_tokens:
        result["churn"] = churn(material, size.churn_tokens)
    return result


def rss_idle() -> float:
    """Resident memory of a whole sidecar, with Vault, SDS and a certificate, doing nothing."""
    from demo.stack import Stack

    with Stack() as stack:
        time.sleep(1)
        return round(rss_mb(stack.sidecar.pid), 1)


def rss_worker() -> float:
    """Resident memory of the larger of two workers of a whole sidecar, after a Check each."""
    from demo.stack import Stack

    ports = two_in_a_row()

    class TwoWorkers(Stack):
        def _sidecar_config(self) -> Mapping[str, Any]:
            config = dict(super()._sidecar_config())
            authz = {"address": f"127.0.0.1:{ports[0]}", "workers": 2}
            return {**config, "listen": {**config["listen"], "authz": authz}}

    with TwoWorkers() as stack:
        for port in ports:
            with closing(GrpcClient(port)) as client:
                client.ask(check_request(None))
        pid = stack.sidecar.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return round(max(rss_mb(int(child)) for child in children), 1)


def two_in_a_row() -> tuple[int, int]:
    """Return two free ports, one after the other."""
    for first in range(21_000, 32_000, 2):
        if not listens(first) and not listens(first + 1):
            return first, first + 1
    raise SystemExit("no two free ports in a row")


def bytes_per_token(material: Material) -> int:
    """Memory of one remembered token, by the allocator's own account.

    The whole of ``handle``: what it keeps beside the token (an encoded answer, say) counts.
    """
    from bench.servers import service

    count = 2_000

    async def grown() -> int:
        handle = service(material.folder).handle
        messages = material.requests(count + 100, first=5_000_000)
        for message in messages[count:]:
            await answered(handle(message))
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        for message in (*messages[:count], *messages[:count]):  # what is made on a second use too
            await answered(handle(message))
        after = 0
        for _ in range(20):  # until what was queued for the audit log is written
            await asyncio.sleep(0.5)
            gc.collect()  # it empties the interpreter's free lists too: they are nobody's token
            earlier, after = after, tracemalloc.get_traced_memory()[0]
            if earlier and after >= earlier:
                break
        tracemalloc.stop()
        return after - before

    return round(asyncio.run(grown()) / count)


async def answered(value: bytes | Awaitable[bytes]) -> bytes:
    """Take the answer of a handler, whether it gave it at once or later."""
    return value if isinstance(value, bytes) else await value


def tokens_and_connections(material: Material, size: Size) -> dict[str, Any]:
    """Grow a server by tokens, then by connections, and look at its resident memory."""
    with serving("ours-h2", material.folder) as server, ExitStack() as stack:
        load(server, material.requests(1_000, first=6_000_000))
        before = server.rss_mb()
        load(server, material.requests(size.tokens, first=7_000_000), warm_up=())
        with_tokens = server.rss_mb()
        for _ in range(size.connections):
            client = stack.enter_context(closing(GrpcClient(server.address)))
            client.ask(material.request(0))
        connected = server.rss_mb()
    return {
        "rss_bytes_per_token": round((with_tokens - before) * 1e6 / size.tokens),
        "rss_bytes_per_connection": round((connected - with_tokens) * 1e6 / size.connections),
        "connections": size.connections,
    }


def churn(material: Material, tokens: int) -> dict[str, Any]:
    """Live through an hour in a process of its own, as fast as it goes."""
    start = time.time()
    path = material.folder / "hour"
    write_messages(
        path,
        (
            material.request(number, now=start + number * HOUR_SECONDS / tokens)
            for number in range(tokens)
        ),
    )
    command = [sys.executable, "-m", "bench.memory", str(material.folder), str(path), str(start)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=600)
    path.unlink()
    marks: list[dict[str, Any]] = json.loads(done.stdout)
    late = [mark for mark in marks if mark["minute"] >= 30]
    return {
        "tokens": tokens,
        "new_tokens_per_second": round(tokens / HOUR_SECONDS, 1),
        "marks": marks,
        "growth_of_last_half_mb": round(late[-1]["rss_mb"] - late[0]["rss_mb"], 1),
    }


async def live(folder: Path, path: Path, start: float) -> list[dict[str, Any]]:
    """Answer each token twice when it is new, by a clock that jumps from one to the next."""
    from bench.servers import service
    from sidecar.tokens.cache import TokenCache

    clock = [start]
    cache = TokenCache()
    checks = service(folder, cache=cache, now=lambda: clock[0])
    total = sum(1 for _ in read_messages(path))
    marks: list[dict[str, Any]] = []
    for number, message in enumerate(read_messages(path)):
        clock[0] = start + number * HOUR_SECONDS / total
        for _ in range(2):
            if not is_allowed(await answered(checks.handle(message))):
                raise SystemExit("a token of the hour is refused")
        if (number + 1) % (total // _MARKS) == 0:
            minute = round((number + 1) / total * 60)
            marks.append({"minute": minute, "rss_mb": round(rss_mb(os.getpid()), 1)})
            marks[-1]["remembered"] = len(cache)
    return marks


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        hour = runner.run(live(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])))
    print(json.dumps(hour))
