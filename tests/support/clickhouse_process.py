"""A process of ClickHouse's engine (``make test-clickhouse``), as tests talk to it."""

import base64
import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.support.clickhouse_server import Exc

PYTHON = os.environ.get("SEPTEM_TEST_CLICKHOUSE", "")
SCRIPT = Path(__file__).parent / "clickhouse_engine.py"
OF_ACCESS = {497, 511, 514}
"""ACCESS_DENIED, UNKNOWN_ROLE: what an engine without users says of what it could read."""


class Engine:
    """The engine, and the code of what it refuses."""

    def __init__(self, folder: str | Path, works_in: str) -> None:
        self._process = subprocess.Popen(
            [Path(PYTHON).absolute(), SCRIPT, str(folder)], cwd=works_in,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def ask(self, query: str, params: Mapping[str, str] | None = None) -> str:
        return str(self._answer({"query": query, "params": params})["text"]).strip()

    def bytes_of(self, query: str, params: Mapping[str, str] | None = None) -> bytes:
        """Return the answer as it is, in the format that the query says."""
        answer = self._answer({"query": query, "params": params, "bytes": True})
        return base64.b64decode(answer["bytes"])

    def code_of(self, query: str) -> int:
        """Return the code of its exception, or 0."""
        try:
            self.ask(query)
        except Exc as exc:
            return exc.code
        return 0

    def stop(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        if "error" in answer:
            (code, *_) = re.findall(r"Code: (\d+)", answer["error"]) or ["0"]
            names = re.findall(r"\(([A-Z_0-9]{3,})\)", answer["error"]) or ["UNKNOWN"]
            raise Exc(int(code), names[-1])
        return answer


@contextmanager
def engine_in(folder: str | Path) -> Iterator[Engine]:
    """Run an engine whose data is in a folder; what queries write goes to one that is deleted."""
    with TemporaryDirectory() as works_in:
        engine = Engine(folder, works_in)
        try:
            yield engine
        finally:
            engine.stop()
