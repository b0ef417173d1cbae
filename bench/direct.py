"""(a) What one Check costs the server, asked directly, side by side.

Every figure is CPU of the server process per Check, of runs that alternate. The client is
ours, in this process: it does not count.
"""

import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from bench.figures import Spread, alternate, spread_row, within
from bench.harness import WARM_UP_CALLS, Server, expect, load, serving
from bench.load_tools import find_tool, run_h2load_checks
from bench.material import (
    Material,
    check_request,
    cycled,
    read_messages,
    verify_microseconds,
    write_messages,
)
from bench.servers import audit_path
from sidecar.tokens.cache import DEFAULT_ENTRIES

KINDS = ("warm", "single", "cold", "forged", "missing")


class Size(NamedTuple):
    """How much is run."""

    runs: int
    kinds: Sequence[str]
    calls: int
    """Warm Checks of a fast engine, a run."""
    few: int
    """Of anything that takes longer: other kinds of Checks, other servers."""
    cold: int
    """Tokens never seen before, a run; the servers that are compared get ``few`` at most."""
    distinct: Sequence[int]
    """Numbers of different warm tokens, beside one."""
    token_bytes: Sequence[int]
    load_seconds: float
    """Of h2load, a variant; 0 leaves it out."""
    budget_seconds: float
    """Of each group of rounds; a machine that is too busy for it gets fewer, but two."""


QUICK = Size(3, ("warm", "cold", "forged"), 3_000, 200, 600, (1_000,), (), 0, 12)
FULL = Size(
    7, KINDS, 20_000, 1_500, 3_000, (1_000, 100_000), (583, 1_024, 2_048, 4_096, 8_000), 4, 100
)

Measures = dict[str, Callable[[], float]]
Row = dict[str, float]


def measure(material: Material, size: Size) -> dict[str, Any]:
    """Run everything and return the figures, microseconds unless their name says otherwise."""
    folder = material.folder
    with ExitStack() as stack:
        servers = {
            name: stack.enter_context(serving(name, folder))
            for name in ("ours-h2", "ours-grpcio", "floor", "naive")
        }
        result = kinds(material, servers, size)
        if size.load_seconds and find_tool("h2load"):
            result["per_second"] = throughput(material, servers, size)
    result["distinct_us"] = distinct(material, size)
    if size.token_bytes:
        result["token_bytes_us"] = token_sizes(material, size)
    return result


def kinds(material: Material, servers: dict[str, Server], size: Size) -> dict[str, Any]:
    """Warm, cold and denied Checks on every variant, and the bare verification beside them."""
    warm, forged = material.request(0), material.requests(500, forged=True)
    bare = check_request(None)
    for name, server in servers.items():
        expect(server, warm, allowed=True)
        if name != "floor":
            expect(server, forged[0], allowed=False)
            expect(server, bare, allowed=False)
    cold = {
        name: fresh(material, size.cold if name == "ours-h2" else min(size.few, size.cold))
        for name in servers
    }
    measures: Measures = {"verify": lambda: verify_microseconds(material, 400)}
    for name, server in servers.items():
        is_fast = name in {"ours-h2", "floor"}
        of_kind = {
            "warm": cpu(server, [warm] * (size.calls if is_fast else size.few)),
            "single": cpu(server, [warm] * size.few, in_flight=1),
        }
        if name != "floor":  # it can't tell one from another
            of_kind["cold"] = cpu_of_next(server, cold[name], warm)
            of_kind["forged"] = cpu(server, cycled(forged, size.few))
            of_kind["missing"] = cpu(server, [bare] * size.few)
        measures |= {f"{kind} {name}": of_kind[kind] for kind in size.kinds if kind in of_kind}
    ours = servers["ours-h2"]
    before = ours.asked - audited(material.folder, ours)
    spreads = alternate(size.runs, measures, within(size.budget_seconds, time.monotonic))
    unwritten = ours.asked - audited(material.folder, ours) - before
    rounds = spreads["verify"].runs
    rows = regroup(spreads)
    return {
        "verify_us": rows.pop("verify")[""],
        **{f"{kind}_us": row for kind, row in rows.items()},
        "rounds": rounds,
        "audit_lines_share": round(1 - unwritten / ours.asked, 3),
        "noise": {name: round(each.relative, 3) for name, each in spreads.items()},
        "spread_us": {name: spread_row(each) for name, each in spreads.items()},
    }


def cpu(server: Server, messages: Sequence[bytes], in_flight: int = 32) -> Callable[[], float]:
    """Make a measure of these calls."""
    return lambda: load(server, messages, in_flight=in_flight).cpu_microseconds


def cpu_of_next(server: Server, batches: Iterator[list[bytes]], warm: bytes) -> Callable[[], float]:
    """Make a measure of calls that are new each time."""
    return lambda: load(server, next(batches), warm_up=[warm] * WARM_UP_CALLS).cpu_microseconds


def fresh(
    material: Material, count: int, *, first: int = 1_000_000, about_bytes: int = 0
) -> Iterator[list[bytes]]:
    """Mint batches of tokens that nobody has seen, as they are asked for."""
    while True:
        yield material.requests(count, first=first, about_bytes=about_bytes)
        first += count


def regroup(spreads: dict[str, Spread]) -> dict[str, Row]:
    """Turn medians named ``kind variant`` into a row a kind."""
    rows: dict[str, Row] = {}
    for name, each in spreads.items():
        kind, _, variant = name.partition(" ")
        rows.setdefault(kind, {})[variant] = round(each.median, 1)
    return rows


def audited(folder: Path, server: Server) -> int:
    """Count the audit lines a server has written, once it writes no more."""
    path = audit_path(folder, server.pid)
    counts = [-1, path.read_bytes().count(b"\n") if path.exists() else 0]
    while counts[-1] != counts[-2] and len(counts) < 20:
        time.sleep(0.25)
        counts.append(path.read_bytes().count(b"\n") if path.exists() else 0)
    return counts[-1]


def distinct(material: Material, size: Size) -> Row:
    """Warm Checks among so many remembered tokens, in random order.

    The largest number is run twice: with a cache that holds them all, and with the cache's
    default size, which may not.
    """
    most = max(size.distinct)
    path = material.folder / "distinct"
    write_messages(path, (material.request(number) for number in range(most)))
    messages = list(read_messages(path))
    rng = random.Random(7)
    with ExitStack() as stack:
        start = partial(serving, "ours-h2", material.folder)
        roomy = stack.enter_context(start("--cache", str(2 * most)))
        load(roomy, messages, warm_up=())
        measures = {
            str(count): cpu(roomy, rng.choices(messages[:count], k=size.calls))
            for count in (1, *size.distinct)
        }
        if most > DEFAULT_ENTRIES:
            default = stack.enter_context(start())
            load(default, messages, warm_up=())
            calls = rng.choices(messages, k=size.calls)
            measures[f"{most}, default cache"] = cpu(default, calls)
        enough = within(size.budget_seconds / 2, time.monotonic)
        found = alternate(min(size.runs, 3), measures, enough)
    return {name: round(each.median, 1) for name, each in found.items()}


def token_sizes(material: Material, size: Size) -> dict[str, Row]:
    """Warm and cold Checks by the size of the token."""
    measures: Measures = {}
    with serving("ours-h2", material.folder) as server:
        for number, about in enumerate(size.token_bytes):
            warm = material.request(number, about_bytes=about)
            expect(server, warm, allowed=True)
            batches = fresh(material, size.few, first=(number + 2) * 1_000_000, about_bytes=about)
            measures[f"{about} warm"] = cpu(server, [warm] * (size.calls // 2))
            measures[f"{about} cold"] = cpu_of_next(server, batches, warm)
        return regroup(
            alternate(min(size.runs, 3), measures, within(size.budget_seconds / 2, time.monotonic))
        )


def throughput(material: Material, servers: dict[str, Server], size: Size) -> Row:
    """Warm Checks a second, by h2load: four connections with 16 calls each."""
    with tempfile.NamedTemporaryFile(dir=material.folder) as body:
        message = material.request(0)
        body.write(b"\0" + len(message).to_bytes(4, "big") + message)
        body.flush()
        measures: Measures = {
            name: partial(run_h2load_checks, server.address, body.name, size.load_seconds / 2)
            for name, server in servers.items()
        }
        found = alternate(2, measures)
    return {name: round(each.median) for name, each in found.items()}
