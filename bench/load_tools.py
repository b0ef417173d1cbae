"""h2load and wrk: load in C, which leaves more of a small machine to what is measured.

``tools/get-load-tools`` brings both from Debian. Where they are missing, what they measure
is left out of the tables.
"""

import re
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import NamedTuple

from bench.clients import CHECK_HEADERS, Headers
from sidecar.transport.names import CHECK_METHOD

_TIMEOUT_SECONDS = 60


class Rate(NamedTuple):
    """What a load tool reports."""

    per_second: float
    requests: int
    failed: int
    """Of them: not answered with 2xx. At full load on a busy machine a Check may be too late."""

    @property
    def answered_per_second(self) -> float:
        """Requests that were answered as they should be."""
        return self.per_second * (1 - self.failed / self.requests) if self.requests else 0.0


def find_tool(name: str) -> str | None:
    """Return the program's path, or ``None``."""
    beside = Path(sysconfig.get_path("scripts")) / name
    return str(beside) if beside.is_file() else shutil.which(name)


def run_h2load(
    url: str,
    headers: Headers,
    seconds: float,
    *,
    connections: int = 4,
    in_flight: int = 16,
    body: str | None = None,
    requests: int | None = None,
) -> Rate:
    """Run h2load's closed loop: for so long, after half a second that does not count.

    With ``requests``, run so many instead.
    """
    program = find_tool("h2load")
    if program is None:
        raise SystemExit("h2load is missing: tools/get-load-tools .venv")
    command = [program, "-t1", f"-c{connections}", f"-m{in_flight}"]
    if requests is None:
        command += [f"-D{max(1, round(seconds))}", "--warm-up-time=500ms"]
    else:
        command += [f"-n{requests}"]
    command += ("-d", body) if body else ()
    for name, value in headers:
        if not name.startswith(b":"):
            command += ["-H", f"{name.decode()}: {value.decode()}"]
    return parse_h2load(_run([*command, url]))


def run_h2load_checks(address: int | str, body: str, seconds: float) -> float:
    """Run one and the same Check against a server; returns Checks a second."""
    return run_h2load(
        f"http://127.0.0.1:{address}{CHECK_METHOD}", CHECK_HEADERS, seconds, body=body
    ).answered_per_second


def run_wrk(url: str, headers: Headers, seconds: float, *, connections: int = 32) -> Rate:
    """Run wrk's closed loop: HTTP/1.1, one request at a time on each connection."""
    program = find_tool("wrk")
    if program is None:
        raise SystemExit("wrk is missing: tools/get-load-tools .venv")
    command = [program, "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s"]
    for name, value in headers:
        if name == b":authority":
            command += ["-H", f"Host: {value.decode()}"]  # wrk knows its own by this spelling
        elif not name.startswith(b":"):
            command += ["-H", f"{name.decode()}: {value.decode()}"]
    return parse_wrk(_run([*command, url]))


def parse_h2load(text: str) -> Rate:
    """Read h2load's report. What is not answered with 2xx counts as failed."""
    rate = re.search(r"finished in [\d.]+m?s, ([\d.]+) req/s", text)
    done = re.search(r"requests: \d+ total, \d+ started, (\d+) done", text)
    codes = re.search(r"status codes: (\d+) 2xx", text)
    if rate is None or done is None or codes is None:
        raise ValueError(f"h2load said something else: {text[-400:]}")
    requests = int(done[1])
    return Rate(float(rate[1]), requests, requests - int(codes[1]))


def parse_wrk(text: str) -> Rate:
    """Read wrk's report."""
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    done = re.search(r"(\d+) requests in ", text)
    if rate is None or done is None:
        raise ValueError(f"wrk said something else: {text[-400:]}")
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    errors = re.search(r"Socket errors: (.*)", text)
    broken = sum(int(number) for number in re.findall(r"\d+", errors[1])) if errors else 0
    return Rate(float(rate[1]), int(done[1]), (int(failed[1]) if failed else 0) + broken)


def _run(command: list[str]) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=False
    )
    if done.returncode != 0:
        raise SystemExit(f"{Path(command[0]).name} failed: {done.stdout}{done.stderr}")
    return done.stdout
