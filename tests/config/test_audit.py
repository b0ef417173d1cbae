"""The settings of the audit log: one sink or a list of them, in the same words."""

import pytest

from sidecar.config import model, parse_config
from tests.authz.conftest import CONFIG

SMALL = CONFIG.partition("headers:")[0] + "tenants: []\n"


def audit_of(text: str) -> model.Audit:
    return parse_config(f"{SMALL}audit: {text}\n", "a").audit


@pytest.mark.parametrize(
    ("text", "sinks"),
    [
        ("{}", (model.StdoutAudit(),)),
        ("{to: {sink: file, path: /a}}", (model.FileAudit(path="/a"),)),
        ("{to: [{sink: file, path: /a}]}", (model.FileAudit(path="/a"),)),
        (
            "{to: [{sink: stdout}, {sink: kafka, brokers: ['localhost:1'], topic: t, tls: false}]}",
            (model.StdoutAudit(), model.KafkaAudit(brokers=("localhost:1",), topic="t", tls=False)),
        ),
    ],
)
def test_one_sink_or_a_list(text: str, sinks: tuple[model.AuditSink, ...]) -> None:
    assert audit_of(text).sinks == sinks


def test_a_sink_is_known_by_its_kind_or_its_name() -> None:
    sinks = audit_of(
        "{to: [{sink: stdout}, {sink: file, path: /a}, {sink: file, path: /b, name: second}]}"
    ).sinks
    assert [each.name for each in sinks] == ["stdout", "file", "second"]
