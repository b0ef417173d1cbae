"""Lines in Kafka, by a real broker: acknowledged, keyed by tenant, sent again after an outage."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import confluent_kafka
import pytest

from sidecar.config import model
from sidecar.observability.audit import kafka
from sidecar.observability.audit.kafka import KafkaSink
from sidecar.observability.audit.sinks import AuditFault, LinesRefusedError
from tests.observability.audit.test_clickhouse import certificates
from tests.support.kafka_broker import KafkaBroker, broker

pytestmark = pytest.mark.real
SINKS: list[KafkaSink] = []


@pytest.fixture(scope="module")
def running() -> Iterator[KafkaBroker]:
    with broker() as started:
        yield started


@pytest.fixture(autouse=True)
def close_all() -> Iterator[None]:
    yield
    while SINKS:
        SINKS.pop().close()


def sink_of(
    address: str, topic: str, password: Callable[[], str] | None = None, **settings: Any
) -> KafkaSink:
    wanted = {"tls": False, "timeout_seconds": 10.0, **settings}
    sink = KafkaSink(model.KafkaAudit(brokers=(address,), topic=topic, **wanted), password)
    SINKS.append(sink)
    return sink


def line(number: int, tenant: str = "", padding: int = 0) -> bytes:
    fields = {"decision_id": f"d{number}", "path": "x" * padding}
    return json.dumps(fields | ({"tenant": tenant} if tenant else {})).encode() + b"\n"


def test_each_line_is_a_message_of_its_tenant(running: KafkaBroker) -> None:
    running.create("lines")
    sink = sink_of(running.address, "lines")
    sink.write(b"".join(line(number, f"t{number % 3}") for number in range(300)))
    sink.write(line(300))
    messages = running.messages("lines", 301)
    assert len(messages) == 301
    assert all(each.headers() == [("septem-audit-schema", b"1")] for each in messages)
    by_tenant: dict[bytes | None, list[int]] = {}
    for each in messages:
        read = json.loads(each.value())
        assert each.key() == (read.get("tenant", "").encode() or None)
        by_tenant.setdefault(each.key(), []).append(int(read["decision_id"][1:]))
    assert sorted(by_tenant, key=str) == [None, b"t0", b"t1", b"t2"]
    assert all(numbers == sorted(numbers) for numbers in by_tenant.values())


def test_a_broker_that_is_away_gets_the_lines_when_it_is_back() -> None:
    with broker() as away:
        away.stop()
        sink = sink_of(away.address, "later", timeout_seconds=0.5)
        with pytest.raises(OSError, match="Kafka acknowledges no batch"):
            sink.write(line(1, "t1"))
        away.start()
        away.create("later")
        patient = sink_of(away.address, "later")
        patient.write(line(1, "t1") + line(2, "t1"))
        assert [each.value() for each in away.messages("later", 2)] == [
            line(1, "t1")[:-1], line(2, "t1")[:-1],
        ]  # fmt: skip


def test_a_message_that_no_broker_takes_costs_itself_alone(running: KafkaBroker) -> None:
    running.create("large")
    sink = sink_of(running.address, "large")
    sink._options = lambda secret: {  # type: ignore[method-assign]
        **KafkaSink._options(sink, secret), "message.max.bytes": 1000,
    }  # fmt: skip
    with pytest.raises(LinesRefusedError) as told:
        sink.write(line(1) + line(2, padding=5000) + line(3))
    assert told.value.lines == 1
    assert {json.loads(each.value())["decision_id"] for each in running.messages("large", 2)} == {
        "d1", "d3",
    }  # fmt: skip


def test_only_what_was_not_acknowledged_is_sent_again(running: KafkaBroker) -> None:
    running.create("again")
    sink = sink_of(running.address, "again")
    batch = line(1) + line(2)
    sink.write(batch)
    sink._batch, sink._left = batch, {1: line(2)[:-1]}
    sink.write(batch)
    sink.write(line(3))
    sent = [json.loads(each.value())["decision_id"] for each in running.messages("again", 4)]
    assert sorted(sent) == ["d1", "d2", "d2", "d3"]


@pytest.mark.parametrize(
    ("tls", "mechanism", "protocol"),
    [(True, None, "SSL"), (True, "PLAIN", "SASL_SSL"), (False, None, "PLAINTEXT"),
     (False, "SCRAM-SHA-256", "SASL_PLAINTEXT")],
)  # fmt: skip
def test_the_settings_reach_librdkafka_which_takes_them(
    tmp_path: Path, tls: bool, mechanism: Any, protocol: str
) -> None:
    ca, (certificate, key) = certificates(tmp_path)
    sasl = mechanism and model.KafkaSasl(
        username="u", password=model.SecretFile(path="/x"), mechanism=mechanism
    )
    files = {"ca_file": ca, "certificate_file": certificate, "key_file": key} if tls else {}
    password = (lambda: "pw") if sasl else None
    sink = sink_of("127.0.0.1:1", "t", password, tls=tls, sasl=sasl, **files)
    options = sink._options("pw")
    assert options["security.protocol"] == protocol
    assert (options["acks"], options["enable.idempotence"]) == ("all", True)
    assert options.get("sasl.password") == ("pw" if sasl else None)
    assert options.get("ssl.ca.location") == (ca if tls else None)
    confluent_kafka.Producer(options)


def test_a_new_password_is_used_by_a_new_producer(running: KafkaBroker) -> None:
    running.create("secret")
    passwords = ["one"]
    sink = sink_of(running.address, "secret", lambda: passwords[0])
    sink.write(line(1))
    first = sink._producer
    sink.write(line(2))
    assert sink._producer is first
    passwords[0] = "two"
    sink.write(line(3))
    assert sink._producer is not first


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka, "confluent_kafka", None)
    with pytest.raises(AuditFault, match="pip install --require-hashes -r"):
        KafkaSink(model.KafkaAudit(brokers=("k:1",), topic="t"), None)


@pytest.mark.parametrize("text", [b"no json", b'{"tenant": 5}', b"\xff", b"[" * 5000, b"{}"])
def test_a_line_without_a_tenant_has_no_key(text: bytes) -> None:
    assert kafka._key_of(text) is None
