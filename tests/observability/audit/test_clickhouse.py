"""Lines in ClickHouse: each once, whatever is lost on the way, and a bad row costs itself alone."""

import contextlib
import json
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_origin

import msgspec
import pytest
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from sidecar.config import model
from sidecar.observability.audit.chain import LOST, Head, TrailLine, chain_lines, trail_line
from sidecar.observability.audit.clickhouse import ClickHouseSink
from sidecar.observability.audit.entry import AuditEntry, AuditLine, encode_entry
from sidecar.observability.audit.sinks import LinesRefusedError
from tests.support.authorities import Ca, pem
from tests.support.clickhouse_server import (
    OURS,
    ClickHouseServer,
    Fault,
    answer,
    columns,
    serving,
)

SINKS: list[ClickHouseSink] = []
AT = 1.79e9
"""Young enough for the table's TTL."""


@pytest.fixture(autouse=True)
def close_all() -> Iterator[None]:
    yield
    while SINKS:
        SINKS.pop().close()


def entry(number: int, **fields: Any) -> bytes:
    return encode_entry(
        AuditEntry(
            at=AT + number, decision_id=f"d{number}", outcome="deny", reason="token_expired",
            status=401, route="api", latency_us=42, tenant="t1", path='/a"b\\', **fields,
        )
    )  # fmt: skip


def entries(count: int, bad: tuple[int, ...] = ()) -> bytes:
    lines = [entry(number) for number in range(count)]
    for number in bad:
        lines[number] = lines[number].replace(b"401", b'"no"')
    return b"".join(lines)


def certificates(folder: Path) -> tuple[str, tuple[str, str]]:
    """Write a CA's certificate, and a leaf of it for 127.0.0.1 with its key; return the paths."""
    ca = Ca("clickhouse")
    leaf, key = ca.leaf(addresses=["127.0.0.1"])
    key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    texts = {"ca.pem": pem(ca.certificate), "leaf.pem": pem(leaf), "key.pem": key_pem}
    for name, text in texts.items():
        (folder / name).write_text(text)
    return str(folder / "ca.pem"), (str(folder / "leaf.pem"), str(folder / "key.pem"))


def sink_of(url: str, password: str | None = None, **settings: Any) -> ClickHouseSink:
    wanted = model.ClickHouseAudit(url=url, **{"timeout_seconds": 5.0, **settings})
    sink = ClickHouseSink(wanted, None if password is None else lambda: password)
    SINKS.append(sink)
    return sink


@pytest.fixture
def server() -> ClickHouseServer:
    return ClickHouseServer()


@pytest.fixture
def url(server: ClickHouseServer) -> Iterator[str]:
    with serving(server) as where:
        yield where


LINKS = {"trail", "seq", "chain"}


@pytest.mark.parametrize("kind", [AuditLine, TrailLine])
def test_the_table_has_a_column_for_every_field_of_a_line(kind: type[msgspec.Struct]) -> None:
    """Else a new field would be skipped in silence, which the sink asks ClickHouse to do."""
    table = columns()
    kinds = {int: "UInt", tuple: "Array"}
    for field in msgspec.structs.fields(kind):
        wanted = kinds.get(get_origin(field.type) or field.type, "String")
        wanted = "DateTime64" if field.name == "time" else wanted
        name = field.encode_name
        assert wanted in table.get(name, ""), f"{name} is missing in deploy/clickhouse/audit.sql"


def test_the_table_has_no_other_columns() -> None:
    fields = {*AuditLine.__struct_encode_fields__, *TrailLine.__struct_encode_fields__}
    assert columns().keys() == fields | LINKS | {"received_at"}


def test_a_link_and_a_line_of_the_trails_own_are_rows_too(
    server: ClickHouseServer, url: str
) -> None:
    own = trail_line("2026-01-01T00:00:00.000+00:00", LOST, "lost in a flood", lost=7)
    chained, head = chain_lines(Head(b"0" * 16), [own, entry(1)])
    sink_of(url).write(b"".join(chained))
    assert [row["seq"] for row in server.rows] == [1, 2]
    assert server.rows[0]["lost"] == 7
    assert server.rows[1]["chain"] == head.chain.decode()


@pytest.mark.parametrize("compression", ["gzip", "none"])
def test_a_batch_is_one_insert_of_rows(
    server: ClickHouseServer, url: str, compression: str
) -> None:
    sink_of(url, compression=compression).write(
        entries(100) + entry(100, warnings=("a", "b"), subject="ü\u2028")
    )
    assert server.inserts == [101]
    assert server.ids() == [f"d{number}" for number in range(101)]
    assert server.rows[-1]["warnings"] == ["a", "b"]
    assert server.rows[-1]["subject"] == json.loads(entry(1, subject="ü\u2028"))["subject"]
    assert server.rows[7]["time"].timestamp() == AT + 7


def test_connections_are_kept(server: ClickHouseServer, url: str) -> None:
    sink = sink_of(url)
    for number in range(5):
        sink.write(entry(number))
    assert server.connections == 1


def hang_up(request: Any) -> None:
    request.close_connection = True


def half_an_answer(request: Any) -> None:
    request.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc")
    request.close_connection = True


def never(request: Any) -> None:
    request.rfile.read(1)  # until the client hangs up


def drip(request: Any) -> None:
    pause = threading.Event()
    with contextlib.suppress(OSError):
        while True:
            request.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            pause.wait(0.05)


def cut_in_the_head(request: Any) -> None:
    request.wfile.write(b"HTTP/1.1 200 OK\r\nX-ClickHouse-Query-Id: a\r\n")
    request.close_connection = True


def huge(request: Any) -> None:
    answer(request, 200, b" " * 3_000_000, {})


def redirect(request: Any) -> None:
    answer(request, 307, b"", {"location": "http://127.0.0.1:1/elsewhere"})


BROKEN: list[tuple[str, Fault]] = [
    ("503", Fault(503)),
    ("too many parts", Fault(500, b"Code: 252. (TOO_MANY_PARTS)")),
    ("200, and an exception in the header",
     Fault(200, b"", {**OURS, "X-ClickHouse-Exception-Code": "241"})),
    ("200, and an exception in the body", Fault(200, b"Code: 241. (MEMORY_LIMIT_EXCEEDED)")),
    ("another server's page", Fault(200, b"<html>")),
    ("another server's nothing", Fault(200, b"")),
    ("a head without end", Fault(act=cut_in_the_head)),
    ("it hangs up", Fault(act=hang_up)),
    ("half an answer", Fault(act=half_an_answer)),
    ("no answer", Fault(act=never)),
    ("an answer without end", Fault(act=drip)),
    ("a huge answer", Fault(act=huge)),
    ("a redirect", Fault(act=redirect)),
]  # fmt: skip


@pytest.mark.parametrize("inserts", [False, True], ids=["nothing inserted", "its answer lost"])
@pytest.mark.parametrize("fault", [row[1] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_what_is_not_acknowledged_is_sent_again_and_comes_once(
    server: ClickHouseServer, url: str, fault: Fault, inserts: bool
) -> None:
    server.faults = [fault._replace(inserts=inserts)]
    sink = sink_of(url, timeout_seconds=0.4)
    with pytest.raises(OSError, match="ClickHouse") as told:
        sink.write(entries(3))
    assert "eyJ" not in str(told.value)
    sink.write(entries(3))
    assert server.ids() == ["d0", "d1", "d2"]


def test_a_bad_row_costs_itself_alone(server: ClickHouseServer, url: str) -> None:
    bad = (0, 500, 501, 999)
    with pytest.raises(LinesRefusedError) as told:
        sink_of(url).write(entries(1000, bad))
    assert told.value.lines == 4
    assert str(told.value).endswith("exception 27 (CANNOT_PARSE_INPUT_ASSERTION_FAILED)")
    assert server.ids() == [f"d{number}" for number in range(1000) if number not in bad]
    assert len(server.inserts) < 80, "halves, and not rows, are tried"


@pytest.mark.parametrize("failing_at", range(1, 12))
def test_an_outage_while_a_bad_row_is_sought_doubles_nothing(
    server: ClickHouseServer, url: str, failing_at: int
) -> None:
    sink, batch = sink_of(url), entries(64, (40,))
    server.faults = [Fault(200, b"", OURS, inserts=True)] * (failing_at - 1)
    server.faults += [Fault(act=hang_up, inserts=True)]
    with contextlib.suppress(OSError, LinesRefusedError):
        sink.write(batch)
    with pytest.raises(LinesRefusedError) as told:
        sink.write(batch)
    assert told.value.lines == 1
    assert sorted(server.ids()) == sorted(f"d{n}" for n in range(64) if n != 40)


def test_a_table_that_fits_no_row_loses_none(server: ClickHouseServer, url: str) -> None:
    with pytest.raises(OSError, match=r"refuses every row.*check the table"):
        sink_of(url).write(entries(500, tuple(range(500))))
    assert server.rows == []
    assert len(server.inserts) < 250


def test_a_batch_that_is_too_large_for_a_proxy_is_halved(
    server: ClickHouseServer, url: str
) -> None:
    server.max_body = 4000
    sink_of(url, compression="none").write(entries(100))
    assert sorted(server.ids()) == sorted(f"d{number}" for number in range(100))
    server.max_body = 10
    with pytest.raises(LinesRefusedError):
        sink_of(url, compression="none").write(entry(1))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"user": "other"}, "516.*check audit.to.user and .password"),
        ({"database": "elsewhere"}, "60.*create the table"),
        ({"table": "other"}, "60.*create the table"),
    ],
)
def test_a_mistake_in_the_settings_is_said_and_holds_the_lines(
    server: ClickHouseServer, url: str, change: dict[str, str], said: str
) -> None:
    with pytest.raises(OSError, match=said):
        sink_of(url, **change).write(entry(1))
    assert server.rows == []


def test_a_password_is_read_for_each_batch(server: ClickHouseServer, url: str) -> None:
    passwords = ["old"]
    server.user, server.key = "writer", "new"
    sink = ClickHouseSink(model.ClickHouseAudit(url=url, user="writer"), lambda: passwords[0])
    SINKS.append(sink)
    with pytest.raises(OSError, match="516"):
        sink.write(entry(1))
    passwords[0] = "new"
    sink.write(entry(1))
    assert server.ids() == ["d1"]


def test_a_server_that_is_away_is_named_without_its_address() -> None:
    with pytest.raises(OSError, match="ClickHouse: ConnectionError") as told:
        sink_of("http://127.0.0.1:1/").write(entry(1))
    assert "127.0.0.1" not in str(told.value)


def test_the_certificate_is_verified_and_ours_is_shown(tmp_path: Path) -> None:
    ca, pair = certificates(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=ca)
    context.load_cert_chain(*pair)
    context.verify_mode = ssl.CERT_REQUIRED
    server = ClickHouseServer()
    with serving(server, context) as where:
        with pytest.raises(OSError, match="self-signed certificate in certificate chain"):
            sink_of(where).write(entry(1))
        with pytest.raises(OSError, match="ClickHouse"):
            sink_of(where, ca_file=ca).write(entry(1))
        sink = sink_of(where, ca_file=ca, certificate_file=pair[0], key_file=pair[1])
        sink.write(entry(1))
    assert server.ids() == ["d1"]
