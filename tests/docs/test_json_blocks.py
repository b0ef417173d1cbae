"""The JSON of the documents has the members that is written or read in use."""

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import pytest

from sidecar.certificates.on_demand.domains import read_registrations
from sidecar.common.reasons import ANSWERS, Reason
from sidecar.csp.reports.suggest import from_lines
from sidecar.observability.alerts import Alert, Severity, cloud_event
from sidecar.observability.audit.entry import AuditLine
from sidecar.observability.logs import JsonFormatter
from sidecar.tokens.revocation_entry import read_revocations
from tests.support.documents import BLOCKS, Block, Kind, kind_of, of_kind


def is_log_line(value: Any) -> None:
    record = logging.makeLogRecord({
        "name": value["logger"], "levelname": value["level"].upper(), "msg": value["message"],
    })  # fmt: skip
    written = json.loads(JsonFormatter().format(record))
    assert {**written, "time": value["time"]} == value
    assert list(written) == list(value)
    assert len(written["time"]) == len(value["time"])


def is_forwarded_report(value: Any) -> None:
    (evidence,) = from_lines([json.dumps(value).encode()])
    assert (evidence.directive, evidence.blocked) == (value["directive"], value["blocked"])


def is_revocation_entry(value: Any) -> None:
    entry = read_revocations(value)
    read_lists = (entry.kids, entry.tokens, entry.subjects, entry.tenants)
    assert [len(each) for each in read_lists] == [len(listed) for listed in value.values()]


def is_alert(value: Any) -> None:
    data = value["data"]
    alert = Alert(Severity(data["severity"]), value["subject"], data["state"], data["message"])
    sent = cloud_event(alert, 0.0, value["id"])
    assert {**sent, "time": value["time"]} == value
    assert list(sent) == list(value)


def is_registry(value: Any) -> None:
    good, problems = read_registrations(value)
    assert problems == []
    assert len(good) == len(value["domains"])


def is_audit_line(value: Any) -> None:
    msgspec.convert(value, AuditLine)
    assert list(value) == [name for name in AuditLine.__struct_fields__ if name in value]
    assert ANSWERS[Reason(value["reason"])].status == value["status"]


READERS: Mapping[frozenset[str], Callable[[Any], None]] = {
    frozenset({"level", "logger", "message"}): is_log_line,
    frozenset({"directive", "blocked", "document_id"}): is_forwarded_report,
    frozenset({"kids", "tokens"}): is_revocation_entry,
    frozenset({"specversion", "data"}): is_alert,
    frozenset({"domains"}): is_registry,
    frozenset({"decision_id", "outcome"}): is_audit_line,
}
"""By members that an object has, and no other kind of object has."""


def read(value: Mapping[str, Any]) -> None:
    (reader,) = (reader for members, reader in READERS.items() if members <= value.keys())
    reader(value)


@of_kind(Kind.JSON)
def test_it_is_what_it_looks_like(block: Block) -> None:
    read(json.loads(block.text))


def test_every_reader_is_needed() -> None:
    values = [json.loads(block.text) for block in BLOCKS if kind_of(block) is Kind.JSON]
    assert all(any(each <= value.keys() for value in values) for each in READERS)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"tenant_id": "7f1c9a52', '"tenant": "7f1c9a52'),
        ('"issued_before"', '"before"'),
        ('"token_expired"', '"token_is_expired"'),
        ('"latency_us"', '"latency_ms"'),
        ('"severity":"warning"', '"severity":"warn"'),
        ('"blocked"', '"blocked_by"'),
        ('"level":"warning"', '"severity":"warning"'),
    ],
)
def test_a_misspelt_member_is_found(old: str, new: str) -> None:
    (block,) = (b for b in BLOCKS if kind_of(b) is Kind.JSON and old in b.text)
    with pytest.raises(Exception, match=r"."):
        read(json.loads(block.text.replace(old, new)))
