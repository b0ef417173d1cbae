"""What Envoy's settings cost in instructions, which other load does not change.

Usage: python -m bench.envoy_instructions [--only WORDS | --filters]

Runs each change of ``bench.envoy_changes`` in an Envoy under Valgrind's callgrind (Debian:
``valgrind``), one request at a time, and counts the instructions of Envoy's own code per
request. The kernel's work is not in it (so a Unix socket saves nothing here), nor how fast
an instruction is; but two runs of the same differ by a percent, on however busy a machine.

Puts the counts into bench/envoy_settings.json, beside the CPU that ``bench.envoy_settings``
measures there, and writes the table of envoy/README.md anew. With ``--filters`` it counts the
variants of ``bench.through_envoy`` instead, for the table of bench/README.md.
"""

import argparse
import itertools
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path

from bench import machine
from bench.check import constant_answer
from bench.clients import EdgeClient, Headers
from bench.envoy_changes import CHANGES, Change
from bench.envoy_settings import BASE, FIGURES, README, edge_of, section
from bench.envoys import Config, environment, plain_edge, running_envoy
from bench.filter_counts import write_filters
from bench.harness import Server, serving
from bench.material import Material
from bench.report import put_section
from bench.variants import Plan, plans, request_headers
from demo.process import fetch_status
from sidecar.pb import ext_authz_pb2 as pb

REQUESTS = 100
WARM_UP = 30
_READY_SECONDS = 240.0
_TOTALS = re.compile(r"^totals: (\d+)", re.MULTILINE)


def instructions(
    config: Config,
    port: int,
    folder: Path,
    headers: Headers,
    plan: Plan | None = None,
) -> float:
    """Instructions of Envoy's own for one request.

    With a plan, its tokens are sent in turn, and its modules can be loaded.
    """
    turn = itertools.cycle((b"",) if plan is None else plan.tokens)
    path, out = folder / "envoy.json", folder / "callgrind"
    path.write_text(json.dumps(config))
    command = ["valgrind", "--tool=callgrind", "--instr-atstart=no", "--fair-sched=try"]
    command += [f"--callgrind-out-file={out}", str(real_envoy())]
    command += ["--config-path", str(path), "--disable-hot-restart", "--concurrency", "1"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "-l", "warning"],
            stdout=log,
            stderr=log,
            env=environment(None if plan is None else plan.modules),
        )
    try:
        wait_ready(process, config["admin"]["address"]["socket_address"]["port_value"])
        client = EdgeClient(port, headers if plan is None else (*headers, *plan.more))
        client.run(itertools.islice(turn, warm_up(plan)), in_flight=1)
        control(process.pid, "instrumentation on")
        client.run(itertools.islice(turn, 5), in_flight=1)
        control(process.pid, "zero")
        client.run(itertools.islice(turn, REQUESTS), in_flight=1)
        control(process.pid, "dump")
        client.close()
        return read_total(out.with_name("callgrind.1")) / REQUESTS
    finally:
        process.kill()
        process.wait()


def warm_up(plan: Plan | None) -> int:
    """Return how many requests go before: of a module's table, until it is full."""
    return WARM_UP if plan is None or len(plan.tokens) == 1 else len(plan.tokens) // 2


def real_envoy() -> Path:
    """Find the program itself: what the package installs is a script that becomes it."""
    (package,) = import_module("envoy").__path__
    return Path(package) / "_bin" / "envoy"


def wait_ready(process: "subprocess.Popen[bytes]", admin: int) -> None:
    """Wait until an Envoy serves; under Valgrind that takes its time."""
    deadline = time.monotonic() + _READY_SECONDS
    while fetch_status(admin, "/ready") != 200:
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit("Envoy did not start under Valgrind")
        time.sleep(0.2)


def control(pid: int, command: str) -> None:
    """Tell callgrind something, through Valgrind's own debugging channel."""
    program = shutil.which("vgdb")
    assert program is not None, "it comes with valgrind"
    done = subprocess.run(
        [program, f"--pid={pid}", "--wait=60", *command.split()],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(f"vgdb {command}: {done.stdout}{done.stderr}")


def read_total(path: Path) -> int:
    """Read a dump's total."""
    found = _TOTALS.search(path.read_text())
    if found is None:
        raise SystemExit("callgrind wrote no total")
    return int(found[1])


def answers(whole: bytes) -> dict[str, bytes]:
    """Take parts away from the sidecar's answer: what is left shows what they cost Envoy."""
    taken: dict[str, Callable[[pb.CheckResponse], None]] = {
        "request headers": lambda answer: answer.ok_response.ClearField("headers"),
        "removals": lambda answer: answer.ok_response.ClearField("headers_to_remove"),
        "response headers": lambda answer: answer.ok_response.ClearField("response_headers_to_add"),
        "metadata": lambda answer: answer.ClearField("dynamic_metadata"),
    }
    made = {}
    for name, take in taken.items():
        answer = pb.CheckResponse.FromString(whole)
        take(answer)
        made[f"without {name}"] = answer.SerializeToString()
    bare = pb.CheckResponse.FromString(whole)
    for take in taken.values():
        take(bare)
    return {**made, "with none of these": bare.SerializeToString()}


def counted(changes: tuple[Change, ...], *, with_answers: bool) -> dict[str, dict[str, int]]:
    """Count the base, every change, and every answer with a part taken away."""
    counts: dict[str, dict[str, int]] = {"instructions": {}, "answers": {}}
    with tempfile.TemporaryDirectory(prefix="septem-bench-") as path, ExitStack() as stack:
        folder = Path(path)
        material = Material(folder)
        whole = constant_answer(material)
        socket = str(folder / "floor.sock")
        floor = answering(stack, folder / "whole", whole)
        stack.enter_context(serving("floor", folder / "whole", "--unix", socket))
        upstream, application = plain_edge([])
        stack.enter_context(running_envoy(upstream, folder))
        headers = request_headers(material)

        def count(kind: str, name: str, change: Change, server: Server) -> None:
            config, port = edge_of(change, application, server, socket)
            with tempfile.TemporaryDirectory(dir=folder) as own:
                found = round(instructions(config, port, Path(own), headers))
            counts[kind][name] = found
            print(f"{found:>10,}  {name}", file=sys.stderr, flush=True)

        for change in (BASE, *changes):
            count("instructions", change.name, change, floor)
        for name, answer in answers(whole).items() if with_answers else ():
            count("answers", name, BASE, answering(stack, folder / name, answer))
    return counts


def counted_filters() -> dict[str, int]:
    """Count every variant of ``bench.through_envoy``."""
    counts = {}
    with tempfile.TemporaryDirectory(prefix="septem-bench-") as path, ExitStack() as stack:
        folder = Path(path)
        material = Material(folder)
        answer = constant_answer(material)
        (folder / "answer").write_bytes(answer)
        headers = request_headers(material)
        for name, plan in plans(material, answer, stack).items():
            config, port = plain_edge(plan.filters, plan.address)
            with tempfile.TemporaryDirectory(dir=folder) as own:
                counts[name] = round(instructions(config, port, Path(own), headers, plan))
            print(f"{counts[name]:>10,}  {name}", file=sys.stderr, flush=True)
    return counts


def answering(stack: ExitStack, folder: Path, answer: bytes) -> Server:
    """Run a server that always answers this."""
    folder.mkdir()
    (folder / "answer").write_bytes(answer)
    return stack.enter_context(serving("floor", folder))


def main() -> int:
    """Count, and put the counts beside the other figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="changes whose name contains this; nothing is written")
    parser.add_argument(
        "--filters", action="store_true", help="of bench.through_envoy, into bench/filters.json"
    )
    options = parser.parse_args()
    if shutil.which("valgrind") is None:
        raise SystemExit("valgrind is missing: apt-get install valgrind")
    if options.filters:
        about = {"date": machine.now(), "versions": machine.versions()}
        write_filters({**about, "instructions": counted_filters()})
        return 0
    if options.only:
        chosen = tuple(change for change in CHANGES if options.only in change.name)
        counted(chosen, with_answers=False)
        return 0
    changes = tuple(change for change in CHANGES if change.concurrency == 1)
    results = json.loads(FIGURES.read_text(encoding="utf-8"))
    results |= counted(changes, with_answers=True)
    FIGURES.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    README.write_text(
        put_section(README.read_text(encoding="utf-8"), section(results)), encoding="utf-8"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
