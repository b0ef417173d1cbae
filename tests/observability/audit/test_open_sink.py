"""Which sink the settings name, its batches, and where its credential comes from."""

from pathlib import Path

import pytest

from sidecar.config import model
from sidecar.observability.audit.open_sink import open_sink
from sidecar.observability.audit.sinks import AuditFault

FILE, ENTRY = model.SecretFile(path="/run/secret"), model.SecretEntry(path="audit/sink")
CLICKHOUSE = model.ClickHouseAudit(
    url="http://127.0.0.1:1", password=FILE, batch_lines=7, batch_bytes=70_000, batch_seconds=3
)
SASL = model.KafkaSasl(username="u", password=ENTRY)
KINDS: list[tuple[model.AuditSink, str, tuple[int, float], bool]] = [
    (model.StdoutAudit(), "DescriptorSink", (512, 0), False),
    (model.OtlpAudit(url="http://127.0.0.1:1"), "OtlpSink", (512, 0), False),
    (CLICKHOUSE, "ClickHouseSink", (7, 3), False),
    (model.KafkaAudit(brokers=("k:1",), topic="t"), "KafkaSink", (5000, 0.2), False),
    (model.KafkaAudit(brokers=("k:1",), topic="t", sasl=SASL), "KafkaSink", (5000, 0.2), True),
]


@pytest.mark.parametrize(("settings", "kind", "bounds", "from_vault"), KINDS)
def test_each_kind(
    settings: model.AuditSink, kind: str, bounds: tuple[int, float], from_vault: bool
) -> None:
    opened = open_sink(settings)
    assert type(opened.sink).__name__ == kind
    assert (opened.bounds.lines, opened.bounds.seconds) == bounds
    assert (opened.secret is not None) is from_vault
    opened.sink.close()


def test_a_file(tmp_path: Path) -> None:
    opened = open_sink(model.FileAudit(path=str(tmp_path / "a.jsonl")))
    opened.sink.write(b"{}\n")
    opened.sink.close()
    assert (tmp_path / "a.jsonl").read_bytes() == b"{}\n"
    with pytest.raises(AuditFault):
        open_sink(model.FileAudit(path=str(tmp_path / "absent" / "a.jsonl")))
