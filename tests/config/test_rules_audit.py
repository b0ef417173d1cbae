"""The rules of the audit log's sinks beside each other, and of the spool."""

import pytest

from sidecar.common.errors import ConfigFault
from sidecar.config import parse_config
from sidecar.config.problem import show_path
from sidecar.config.rules_warnings import config_warnings
from tests.authz.conftest import CONFIG
from tests.config.documents import MINIMAL

SMALL = CONFIG.partition("headers:")[0] + "tenants: []\n"
CLICKHOUSE = "sink: clickhouse, url: 'https://c.example:8443'"
KAFKA = "sink: kafka, brokers: ['k.example:9093'], topic: audit"
SPOOL = "spool: {folder: /var/lib/septem/spool, key: {source: vault_transit, name: audit}}"
PROBLEMS: list[tuple[str, str]] = [
    ("{to: [{sink: stdout}, {sink: stdout}]}",
     "audit.to[1].sink: is standard output a second time: each line would come twice"),
    ("{to: [{sink: file, path: /a}, {sink: file, path: /b}]}",
     "audit.to[1].name: is also that of another sink; give each a name of its own"),
    ("{to: [{sink: file, path: /a}, {sink: file, path: /x/../a, name: b}]}",
     "audit.to[1].path: is also that of another sink"),
    ("{to: []}", "audit.to: must be a list of 1 to 8 items"),
    ("{to: {sink: otlp, url: 'http://o.example'}}", "audit.to.url: must be https"),
    ("{to: [{sink: clickhouse, url: 'http://c.example'}]}", "audit.to[0].url: must be https"),
    ("{to: {sink: clickhouse, url: 'https://c.example/?database=x'}}",
     "audit.to.url: must have no query or fragment"),
    (f"{{to: {{{CLICKHOUSE}, certificate_file: /a}}}}",
     "audit.to.key_file: is needed together with certificate_file"),
    ("{to: {sink: clickhouse, url: 'http://127.0.0.1:8123', ca_file: /a}}",
     "audit.to.ca_file: needs TLS, and the connection has none"),
    (f"{{to: {{{CLICKHOUSE}, table: 'a`; DROP TABLE b'}}}}", "audit.to.table: must be a name"),
    (f"{{to: {{{CLICKHOUSE}, password: hunter2}}}}",
     "audit.to.password: must be a mapping with source, one of: file, vault_kv; not text"),
    (f"{{to: {{{KAFKA}, tls: false}}}}",
     "audit.to.tls: must be true: audit lines would cross the network to k.example:9093"),
    (f"{{to: {{{KAFKA}, key_file: /a}}}}",
     "audit.to.key_file: is needed together with certificate_file"),
    (f"{{{SPOOL}}}", "audit.spool: holds nothing"),
    (f"{{to: {{{CLICKHOUSE}}}, {SPOOL.replace('/var/lib', 'var/lib')}}}",
     "audit.spool.folder: must be an absolute path"),
    (f"{{to: [{{{CLICKHOUSE}}}, {{sink: file, path: /var/lib/septem/spool/a}}], {SPOOL}}}",
     "audit.to[1].path: is in the folder of the spool, which is its own"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "said"), PROBLEMS, ids=[row[1] for row in PROBLEMS])
def test_problems(text: str, said: str) -> None:
    with pytest.raises(ConfigFault) as told:
        parse_config(f"{SMALL}audit: {text}\n", "a")
    assert any(said in str(each) for each in told.value.problems), told.value.problems


GOOD = [
    f"{{to: [{{sink: stdout}}, {{{CLICKHOUSE}}}, {{{KAFKA}}}], {SPOOL}}}",
    "{to: {sink: clickhouse, url: 'http://[::1]:1', user: u, password: {source: file, path: /p}}}",
    "{to: {sink: kafka, brokers: ['127.0.0.1:9092', '[::1]:9092'], topic: a, tls: false}}",
    f"{{to: [{{{CLICKHOUSE}, certificate_file: /a, key_file: /b, ca_file: /c}}], {SPOOL}}}",
]


@pytest.mark.parametrize("text", GOOD)
def test_what_is_well(text: str) -> None:
    parse_config(f"{SMALL}audit: {text}\n", "a")


def test_a_sink_across_a_network_without_a_spool_is_warned_of() -> None:
    def warnings(text: str) -> list[str]:
        found = config_warnings(parse_config(f"{SMALL}audit: {text}\n", "a"))
        return [f"{show_path(each.path)}: {each.message}" for each in found]

    (found,) = warnings(f"{{to: [{{sink: stdout}}, {{{CLICKHOUSE}}}]}}")
    assert "audit.spool: is missing: while clickhouse is out of reach" in found
    assert warnings(f"{{to: {{{CLICKHOUSE}}}, {SPOOL}}}") == []
    assert warnings("{to: {sink: stdout}}") == []


FILE = "audit: {to: {sink: file, path: /var/log/a.jsonl}, checkpoints: {key: audit, file: %s}}\n"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("audit: {chain: false, checkpoints: {key: audit}}\n", "audit.chain must be true"),
        (FILE % "/var/log/a.jsonl", "must not be audit.to.path"),
        (FILE % "/var/log/x/../a.jsonl", "must not be audit.to.path"),
        ("audit: {checkpoints: {key: a/b}}\n", "a name in Vault"),
    ],
)
def test_what_can_t_be(text: str, problem: str) -> None:
    with pytest.raises(ConfigFault) as caught:
        parse_config(MINIMAL + text, "test")
    assert problem in "".join(caught.value.problems)


def test_what_can() -> None:
    for text in ("audit: {chain: false}\n", FILE % "/mnt/kept"):
        parse_config(MINIMAL + text, "test")
