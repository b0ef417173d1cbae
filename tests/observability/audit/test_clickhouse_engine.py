"""The table and the inserts by ClickHouse's real engine: `make test-clickhouse` (opt-in)."""

import gzip
import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from sidecar.observability.audit.chain import LOST, Head, chain_lines, trail_line
from sidecar.observability.audit.sinks import LinesRefusedError
from tests.observability.audit.test_clickhouse import entries, entry, sink_of
from tests.support.clickhouse_process import OF_ACCESS, PYTHON, Engine, engine_in
from tests.support.clickhouse_server import DDL, ClickHouseServer, Fault, serving

pytestmark = pytest.mark.skipif(not PYTHON, reason="run: make test-clickhouse")


class EngineServer(ClickHouseServer):
    """The HTTP interface in front of the engine, which judges the inserts and their settings."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self.engine = engine

    def _insert(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        given = dict(parse_qsl(urlsplit(request.path).query))
        query = given.pop("query")
        of_http = {"wait_end_of_query"}
        settings = ", ".join(f"{k} = '{v}'" for k, v in given.items() if k not in of_http)
        insert = query.replace(" FORMAT ", f" SETTINGS {settings} FORMAT ")
        if request.headers["Content-Encoding"] == "gzip":
            body = gzip.decompress(body)
        self.inserts.append(body.count(b"\n"))
        self.engine.ask(f"{insert} {body.decode()}")


def statements() -> list[str]:
    text = re.sub(r"--[^\n]*", "", DDL)
    return [each.strip() for each in text.split(";") if each.strip()]


DATABASE, TABLE, *_ = statements()


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with engine_in(tmp_path_factory.mktemp("clickhouse")) as running:
        running.ask(DATABASE)
        yield running


@pytest.fixture
def server(engine: Engine) -> ClickHouseServer:
    engine.ask("DROP TABLE IF EXISTS septem.audit SYNC")  # with the tokens that it remembers
    engine.ask(TABLE)
    return EngineServer(engine)


@pytest.fixture
def url(server: ClickHouseServer) -> Iterator[str]:
    with serving(server) as where:
        yield where


@pytest.mark.parametrize("number", range(len(statements())))
def test_every_statement_is_read(engine: Engine, number: int) -> None:
    """Users, roles and policies it has not: it reads those, and says that it may not."""
    assert engine.code_of(statements()[number]) in {0, *OF_ACCESS}


def test_a_batch_comes_once_whatever_is_sent_again(
    engine: Engine, server: ClickHouseServer, url: str
) -> None:
    sink, batch = sink_of(url), entries(1000)
    server.faults = [Fault(503, inserts=True)]
    with pytest.raises(OSError, match="503"):
        sink.write(batch)
    sink.write(batch)
    sink.write(batch)
    assert engine.ask("SELECT count(), uniqExact(decision_id) FROM septem.audit") == "1000\t1000"
    row = "SELECT toUnixTimestamp64Milli(time), path, status FROM septem.audit"
    assert engine.ask(f"{row} WHERE decision_id = 'd7'").split("\t") == [
        "1790000007000", '/a"b\\\\', "401",
    ]  # fmt: skip


def test_lines_of_every_kind_are_rows(engine: Engine, url: str) -> None:
    own = trail_line("2026-01-01T00:00:00.000+00:00", LOST, "lost in a flood", lost=7)
    with_inputs = entry(2)[:-2] + b',"inputs":{"iss":"https://i","exp":5,"aud":["a"]}}\n'
    lines = [own, entry(1, warnings=("a", "b")), with_inputs]
    chained, _ = chain_lines(Head(b"0" * 16), lines)
    sink_of(url).write(b"".join(chained))
    rows = engine.ask("SELECT seq, lost, warnings, inputs FROM septem.audit ORDER BY seq")
    assert [row.split("\t") for row in rows.split("\n")] == [
        ["1", "7", "[]", ""],
        ["2", "0", "['a','b']", ""],
        ["3", "0", "[]", '{"iss":"https://i","exp":5,"aud":["a"]}'],
    ]


@pytest.mark.parametrize(
    "change",
    [
        (b'"status":401', b'"status":"no"'),
        (b'"latency_us":42', b'"latency_us":[42]'),
        (b"{", b"["),
    ],
)
def test_a_bad_row_costs_itself_alone(
    engine: Engine, url: str, change: tuple[bytes, bytes]
) -> None:
    lines: list[Any] = entries(100).splitlines(keepends=True)
    lines[37] = lines[37].replace(*change, 1)
    with pytest.raises(LinesRefusedError) as told:
        sink_of(url).write(b"".join(lines))
    assert told.value.lines == 1
    assert engine.ask("SELECT count(), countIf(decision_id = 'd37') FROM septem.audit") == "99\t0"


@pytest.mark.parametrize("column", ["decision_id", "request_id"])
def test_an_id_is_found_by_its_projection(engine: Engine, url: str, column: str) -> None:
    """ClickHouse does so from a million rows on, unless the setting says fewer."""
    assert url
    rows = "SELECT now(), 'd' || toString(number) FROM numbers(300000)"
    engine.ask(f"INSERT INTO septem.audit (time, {column}) {rows}")
    found = f"FROM septem.audit WHERE {column} = 'd4711'"
    soon = "SETTINGS min_table_rows_to_use_projection_index = 0"
    plan = engine.ask(f"EXPLAIN indexes = 1, projections = 1 SELECT * {found} {soon}")
    assert f"by_{column.removesuffix('_id')}" in plan, plan
    assert engine.ask(f"SELECT count() {found}") == "1"
