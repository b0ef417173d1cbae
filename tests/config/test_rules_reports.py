"""The rules of violation reports."""

import pytest

from sidecar.common.errors import ConfigFault
from sidecar.config import parse_config
from tests.cli.test_csp import CONFIG

GOOD = (
    CONFIG + "listen: {reports: {address: 'unix:/run/septem/reports.sock'}}\nheaders:\n  reports: "
)
BAD = [
    ("no listener", CONFIG + "headers: {reports: {}}\n", "listen.reports: is missing"),
    ("no reports", CONFIG + "listen: {reports: {}}\n", "headers.reports: is missing"),
    (
        "on the network",
        CONFIG + "headers: {reports: {}}\nlisten: {reports: {address: '0.0.0.0:9103'}}\n",
        "listen.reports.address: must be on loopback",
    ),
    (
        "one file for audit lines and reports",
        CONFIG + "headers: {reports: {forward: {sink: file, path: /var/log/septem/../septem/a}}}\n"
        "listen: {reports: {}}\naudit: {to: {sink: file, path: /var/log/septem/a}}\n",
        "forward.path: is also the file of audit.to",
    ),
    (
        "an address that is taken",
        CONFIG + "headers: {reports: {}}\nlisten: {reports: {address: '127.0.0.1:9102'}}\n",
        "is also that of listen.",
    ),
    (
        "a worker's address",
        CONFIG + "headers: {reports: {}}\nlisten: {reports: {}, authz: {workers: 4}, "
        "admin: {address: '127.0.0.1:9110'}}\n",
        "number 3 would listen on 127.0.0.1:9103, which is listen.reports",
    ),
    ("a path with a comma", GOOD + "{path: '/a,b'}\n", "headers.reports.path: has a comma"),
    ("a path with a semicolon", GOOD + "{path: '/a;b'}\n", "headers.reports.path"),
    ("a profile that is none", GOOD + "{silent: [nope]}\n", "nope is not a profile of headers.csp"),
    (
        "in the clear",
        GOOD + "{forward: {sink: https, url: 'http://collector.example/r'}}\n",
        "headers.reports.forward.url: must be https",
    ),
    (
        "a path that fits into no header",
        GOOD
        + "{path: /"
        + "a" * 2000
        + "}\n  csp: {shell: {enforced: ["
        + "{default-src: [\"'none'\"]}, " * 4
        + "], report_only: ["
        + "{img-src: [\"'none'\"]}, " * 4
        + "]}}\n",
        "bytes of response headers",
    ),
    ("no rate", GOOD + "{max_per_second: 0}\n", "headers.reports.max_per_second"),
    ("a group with a quote", GOOD + "{group: 'a\"b'}\n", "headers.reports.group"),
]


@pytest.mark.parametrize(("text", "problem"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_bad(text: str, problem: str) -> None:
    with pytest.raises(ConfigFault) as caught:
        parse_config(text, "test")
    assert any(problem in each for each in caught.value.problems), caught.value.problems


@pytest.mark.parametrize(
    "reports",
    [
        "{}",
        "{silent: [], group: csp, path: /r}",
        "{forward: {sink: file, path: /var/log/septem/reports.jsonl}}",
        "{forward: {sink: https, url: 'http://127.0.0.1:9/r'}}",
    ],
)
def test_good(reports: str) -> None:
    assert parse_config(f"{GOOD}{reports}\n", "test").headers.reports is not None
