"""How many connections fit below the limit of open files, and that no listener holds more."""

import asyncio
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from sidecar.common.clock import monotonic_seconds
from sidecar.config import parse_config
from sidecar.transport.aio import GrpcServer, check_handlers
from sidecar.transport.descriptors import (
    Demand,
    DescriptorFault,
    allot,
    raise_limit,
)
from sidecar.transport.h2 import H2Server
from sidecar.transport.http1 import HttpServer
from sidecar.transport.http1_messages import Response
from sidecar.transport.limits import Limits
from tests.support.failing import fail_on

A, B = Demand("a", 100, 10), Demand("b", 50, 5, 3)
ALLOTTED = [
    ("room for all", 1000, (A, B), {"a": 100, "b": 50}),
    ("just room for all", 10 + 100 + 150, (A, B), {"a": 100, "b": 50}),
    ("one too few", 10 + 100 + 150 - 1, (A, B), {"a": 99, "b": 49}),
    ("half of what is wanted beyond", 10 + 25 + 112, (A, B), {"a": 54, "b": 27}),
    ("the least", 10 + 10 + 15, (A, B), {"a": 10, "b": 5}),
    ("nothing to share", 10 + 7, (Demand("c", 7, 7),), {"c": 7}),
]


@pytest.mark.parametrize(
    ("limit", "demands", "bounds"), [a[1:] for a in ALLOTTED], ids=[a[0] for a in ALLOTTED]
)
def test_allotted(limit: int, demands: tuple[Demand, ...], bounds: dict[str, int]) -> None:
    assert allot(limit, 10, demands) == bounds
    assert 10 + sum(bounds[each.name] * each.each for each in demands) <= limit


def test_too_few_are_one_sentence() -> None:
    with pytest.raises(DescriptorFault) as fault:
        allot(34, 10, (A, B))
    assert str(fault.value) == (
        "the limit of 34 open files is too low: at least 35 are needed (a 10, b 15, the process "
        "itself 10); raise it (ulimit -n, LimitNOFILE=), or lower listen.reports.max_connections"
    )


def run_limited(soft: int, hard: int, *arguments: str) -> "subprocess.CompletedProcess[str]":
    limited = (
        "import os, resource, sys; "
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard})); "
        "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    )
    command = [sys.executable, "-c", limited, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(("soft", "hard", "limit"), [(64, 1024, 1024), (512, 512, 512)])
def test_the_soft_limit_is_raised_to_the_hard_one(soft: int, hard: int, limit: int) -> None:
    show = (
        "import resource; from sidecar.transport.descriptors import raise_limit; "
        "print(raise_limit(), resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    )
    assert run_limited(soft, hard, "-c", show).stdout == f"{limit} {limit}\n"


def test_a_sidecar_with_too_few_descriptors_ends_with_a_message(tmp_path: Path) -> None:
    text = """\
vault: {address: "https://vault.invalid", auth: {method: token_file, path: /t}}
tokens: {issuers: [{issuer: "https://iam.example", audiences: [a]}]}
routes: [{name: api, path_prefix: /}]
"""
    parse_config(text, "test")
    path = tmp_path / "sidecar.yaml"
    path.write_text(text)
    done = run_limited(100, 100, "-m", "sidecar", "serve", "--config", str(path))
    assert done.returncode == 1
    assert "the limit of 100 open files is too low: at least " in done.stderr
    assert "Traceback" not in done.stderr


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


SERVERS = ["h2", "grpcio", "http"]


def make(kind: str, limit: int) -> H2Server | GrpcServer | HttpServer:
    if kind == "h2":
        return H2Server(
            "127.0.0.1:0",
            {"/a.B/C": lambda raw: raw},
            limits=Limits(),
            clock=monotonic_seconds,
            on_fault=lambda exc: pytest.fail(str(exc)),
            max_connections=limit,
        )
    if kind == "grpcio":
        return GrpcServer(
            "127.0.0.1:0",
            "a.B",
            check_handlers(lambda raw: raw, fail_on),
            max_message_bytes=1000,
            max_connections=limit,
        )
    return HttpServer(
        "127.0.0.1:0",
        {("GET", "/"): lambda _: Response(200, b"")},
        on_fault=lambda exc: pytest.fail(str(exc)),
        max_connections=limit,
    )


@pytest.mark.parametrize("kind", SERVERS)
async def test_no_listener_holds_more_connections_than_it_may(kind: str) -> None:
    server = make(kind, 20)
    await server.start()
    host, _, port = server.bound_address.rpartition(":")
    before = open_files()
    opened = [await asyncio.open_connection(host, int(port)) for _ in range(100)]
    async with asyncio.timeout(10):
        while open_files() > before + len(opened) + 20:
            await asyncio.sleep(0.05)
    for _, writer in opened:
        writer.transport.abort()
    await (server.close() if isinstance(server, HttpServer) else server.stop(0))


def test_this_process_may_open_enough_for_these_tests() -> None:
    assert raise_limit() == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
