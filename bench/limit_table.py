"""What keeps a rate limit, side by side: CPU of a request, and how exact it is.

Usage: python -m bench.limit_table [--json] [--quick] [--anyway]

One table. Envoy's ``local_ratelimit`` counts in Envoy itself. envoyproxy/ratelimit is asked by
Envoy's ``ratelimit`` filter for every request, and asks Redis. The sidecar counts in one process,
in two workers, and in a fleet of four that share by Redis; beside the limit it verifies tokens,
which the others don't. The row ``no filter`` is Envoy alone.

CPU is of one request that passes, 32 in flight, by the kernel's account; runs alternate. Exactness
is of an overload of twice the limit, steady, spread over one Envoy or four: how much passes in a
second on average, and in the worst second, both as a share of the limit. A burst of a tenth is
allowed, so 1.1 is the most that a token bucket may let pass in a second.

envoyproxy/ratelimit is a Go program without a package. Where it is not installed, its rows say so;
to have them: go install github.com/envoyproxy/ratelimit/src/service_cmd@latest
"""

import argparse
import json
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from bench import limit_servers as servers
from bench.clients import EdgeClient, Headers
from bench.envoys import Config, ext_authz, http2_cluster, plain_edge, running_envoy, typed
from bench.figures import alternate, within
from bench.harness import settled
from bench.kernel import cpu_of
from bench.limit_servers import BURST, NEVER_REACHED, OVERLOADED, RATE, Keeper
from bench.limits import local_ratelimit
from bench.machine import require_quiet
from bench.material import PLAIN_HEADERS, Material
from demo.process import ProcessFault

FLEET = 4
_WARM_UP = 300
_BUDGET_SECONDS = 90.0
_SETTLE_SECONDS = 1.5
"""Of an overload before it is counted: bursts are spent, and shares are divided."""
_OK, _TOO_MANY = 200, 429
ABSENT = f"not installed; {servers.INSTALL}"


class Size(NamedTuple):
    """How much is run."""

    runs: int
    calls: int
    seconds: float
    """Of each overload."""


QUICK, FULL = Size(3, 1_500, 3.0), Size(7, 6_000, 10.0)


class Row(NamedTuple):
    """What is measured: filters, those they ask (one set for each Envoy), and the store."""

    filters: Sequence[Config]
    edges: Sequence[Keeper | None]
    """What each Envoy asks; its length is the number of Envoys in the overload."""
    store: Keeper | None = None
    exact: bool = True


class Edge(NamedTuple):
    """A running Envoy with what it asks."""

    port: int
    envoy: int
    row: Row

    def pids(self) -> dict[str, tuple[int, ...]]:
        """Return the processes whose CPU counts, by what they are."""
        asked, store = self.row.edges[0], self.row.store
        return {
            "envoy": (self.envoy,),
            "server": () if asked is None else asked.pids(),
            "redis": () if store is None else store.pids(),
        }


class Overload(NamedTuple):
    """Shares of the limit."""

    mean: float
    worst_second: float


def remote_ratelimit() -> list[Config]:
    """Envoy's filter that asks envoyproxy/ratelimit, by a header."""
    action = {"request_headers": {"header_name": "x-tenant", "descriptor_key": "tenant"}}
    service = {
        "transport_api_version": "V3",
        "grpc_service": {"envoy_grpc": {"cluster_name": "authz"}, "timeout": "0.5s"},
    }
    config = typed(
        "filters.http.ratelimit.v3.RateLimit",
        domain="edge",
        timeout="0.5s",
        failure_mode_deny=True,
        rate_limit_service=service,
        rate_limits=[{"actions": [action]}],
    )
    return [{"name": "envoy.filters.http.ratelimit", "typed_config": config}]


def edge_config(filters: Sequence[Config], asked: Keeper | None) -> tuple[Config, int]:
    """Build an Envoy that asks all ports of a keeper in turn; return it and its port.

    What is let pass goes to an application, which is a listener of the same Envoy: the filter
    ``ratelimit`` does nothing on a route with a direct response.
    """
    config, port = plain_edge(filters, None if asked is None else asked.ports[0])
    resources = config["static_resources"]
    if asked is not None:
        (cluster,) = resources["clusters"]
        ends = [
            http2_cluster("authz", each)["load_assignment"]["endpoints"][0]["lb_endpoints"][0]
            for each in asked.ports
        ]
        cluster["load_assignment"]["endpoints"] = [{"lb_endpoints": ends}]
    behind, behind_port = plain_edge([])
    resources["listeners"] += [
        {**each, "name": "application"} for each in behind["static_resources"]["listeners"]
    ]
    manager = resources["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    (route,) = manager["route_config"]["virtual_hosts"][0]["routes"]
    del route["direct_response"]
    route["route"] = {"cluster": "application"}
    resources["clusters"].append(http2_cluster("application", behind_port))
    return config, port


def rows(material: Material, stack: ExitStack) -> dict[str, Row | str]:
    """Start what keeps limits; a text is the reason why a row is not measured."""
    folder = material.folder
    openbao, program = servers.vault(material, stack), servers.find_ratelimit()
    sidecar = partial(servers.sidecar, openbao, stack=stack)
    one = sidecar(folder / "one", store=None)
    two = sidecar(folder / "two", workers=2, store=None)
    store = servers.redis(folder, stack)
    fleet = [sidecar(folder / f"fleet-{number}", store=store) for number in range(FLEET)]
    local = local_ratelimit(RATE, BURST)
    found: dict[str, Row | str] = {
        "no filter": Row([], [None], exact=False),
        "local_ratelimit, one Envoy": Row(local, [None]),
        "local_ratelimit, four Envoys": Row(local, [None] * FLEET),
        "envoyproxy/ratelimit, one Envoy": ABSENT,
        "envoyproxy/ratelimit, four Envoys": ABSENT,
        "sidecar, one process": Row(ext_authz(), [one]),
        "sidecar, two workers": Row(ext_authz(), [two]),
        "four sidecars over Redis, four Envoys": Row(ext_authz(), fleet, store),
    }
    if program is not None:
        own = servers.redis(folder, stack)
        asked = servers.ratelimit(program, folder, own, stack)
        found["envoyproxy/ratelimit, one Envoy"] = Row(remote_ratelimit(), [asked], own)
        found["envoyproxy/ratelimit, four Envoys"] = Row(remote_ratelimit(), [asked] * FLEET, own)
    return found


def never_reached(row: Row) -> Row:
    """Return the row for the measure of CPU: Envoy's own bucket is for all tenants alike."""
    local = bool(row.filters) and row.filters[0]["name"].endswith("local_ratelimit")
    return row._replace(filters=local_ratelimit(NEVER_REACHED, 4 * NEVER_REACHED)) if local else row


def request_headers(material: Material, tenant: str, word: str) -> Headers:
    """Return a browser's request with a token of a tenant, and its word for the other filters."""
    return (
        (b":method", b"GET"),
        (b":scheme", b"http"),
        (b":path", b"/api/orders?page=2"),
        (b":authority", b"app.septemcore.com"),
        (b"authorization", b"Bearer " + material.token(0, tenant=tenant)),
        (b"x-tenant", word.encode()),
        *((f"x-header-{index}".encode(), b"v" * 24) for index in range(PLAIN_HEADERS - 1)),
    )


def run_edges(row: Row, folder: Path, stack: ExitStack) -> Iterator[Edge]:
    """Start an Envoy for each of a row."""
    for asked in row.edges:
        config, port = edge_config(row.filters, asked)
        envoy = stack.enter_context(running_envoy(config, folder))
        yield Edge(port, envoy.pid, row)


def cost(edge: Edge, headers: Headers, calls: int) -> dict[str, float]:
    """Return the CPU of a request that passes, in microseconds, by who spends it."""
    client = EdgeClient(edge.port, headers)
    if (status := client.status()) != _OK:
        raise SystemExit(f"a request of the bench is answered {status}")
    client.run([b""] * _WARM_UP)
    pids = edge.pids()
    every = [pid for each in pids.values() for pid in each]
    settled(*every)
    before = {name: cpu_of(each) for name, each in pids.items()}
    client.run([b""] * calls)
    settled(*every)
    spent = {name: (cpu_of(each) - before[name]) / calls * 1e6 for name, each in pids.items()}
    if (status := client.status()) != _OK:
        raise SystemExit(f"a request of the bench is answered {status} at the end")
    client.close()
    return spent


def cpu(measured: Mapping[str, Row], material: Material, size: Size) -> dict[str, dict[str, float]]:
    """Alternate between the rows, one Envoy each; return medians in microseconds."""
    headers = request_headers(material, servers.BUSY, "busy")
    samples: dict[str, list[dict[str, float]]] = {name: [] for name in measured}
    with ExitStack() as stack:
        edges = {
            name: next(run_edges(never_reached(row), material.folder, stack))
            for name, row in measured.items()
        }

        def one(name: str) -> float:
            samples[name].append(cost(edges[name], headers, size.calls))
            return sum(samples[name][-1].values())

        measures = {name: partial(one, name) for name in measured}
        alternate(size.runs, measures, within(_BUDGET_SECONDS, time.monotonic))
    return {
        name: {part: round(statistics.median(each[part] for each in taken), 1) for part in taken[0]}
        for name, taken in samples.items()
    }


def overload(row: Row, material: Material, seconds: float) -> Overload:
    """Ask at twice the limit, of all Envoys in turn; return what passed once the burst is spent."""
    headers = request_headers(material, OVERLOADED, "overloaded")
    with ExitStack() as stack:
        edges = list(run_edges(row, material.folder, stack))
        clients = [EdgeClient(each.port, headers) for each in edges]
        for each in clients:
            stack.callback(each.close)
        began, sent, passed = time.perf_counter(), 0, list[float]()
        while (now := time.perf_counter() - began) < _SETTLE_SECONDS + seconds:
            if sent >= now * 2 * RATE:
                time.sleep(0.000_5)
                continue
            status = clients[sent % len(clients)].status()
            if status not in {_OK, _TOO_MANY}:
                raise SystemExit(f"Envoy answers {status}")
            if status == _OK and now >= _SETTLE_SECONDS:
                passed.append(now)
            sent += 1
    if sent < 1.9 * RATE * now:
        raise SystemExit("the machine is too busy to ask at twice the limit")
    mean = len(passed) / (now - _SETTLE_SECONDS) / RATE
    return Overload(round(mean, 3), round(most_in_a_second(passed) / RATE, 3))


def most_in_a_second(moments: Sequence[float]) -> int:
    """Return the most of these, in order, that lie within one second."""
    window: deque[float] = deque()
    most = 0
    for each in moments:
        window.append(each)
        while window[0] <= each - 1.0:
            window.popleft()
        most = max(most, len(window))
    return most


def measure(size: Size) -> dict[str, dict[str, float | str]]:
    """Run everything; return for each row its figures, or why there are none."""
    with tempfile.TemporaryDirectory(prefix="septem-limits-") as path, ExitStack() as stack:
        material = Material(Path(path))
        found = rows(material, stack)
        measured = {name: row for name, row in found.items() if isinstance(row, Row)}
        spent = cpu(measured, material, size)
        result: dict[str, dict[str, float | str]] = {}
        for name, row in found.items():
            if isinstance(row, str):
                result[name] = {"reason": row}
                continue
            result[name] = {**spent[name], "together": round(sum(spent[name].values()), 1)}
            if row.exact:
                result[name] |= overload(row, material, size.seconds)._asdict()
        return result


def table(result: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Write the one table, in Markdown."""
    yield (
        "| What keeps the limit | Envoy, µs | server, µs | Redis, µs | together, µs"
        " | passes at twice the limit | in the worst second |"
    )
    yield "|---|---:|---:|---:|---:|---:|---:|"
    for name, row in result.items():
        if "reason" in row:
            yield f"| {name} | {row['reason']} | | | | | |"
            continue
        parts = [str(row[part] or "") for part in ("envoy", "server", "redis", "together")]
        shares = [f"{row[part]:.3f}" if part in row else "" for part in Overload._fields]
        yield f"| {name} | {' | '.join([*parts, *shares])} |"


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter runs")
    parser.add_argument("--anyway", action="store_true", help="on a busy machine too")
    options = parser.parse_args()
    load = require_quiet(anyway=options.anyway)
    try:
        result = measure(QUICK if options.quick else FULL)
    except ProcessFault as fault:
        raise SystemExit(str(fault)) from None
    if options.json:
        print(json.dumps({"load_before": load, "rows": result}))
    else:
        print(f"load before {load}", *table(result), sep="\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
