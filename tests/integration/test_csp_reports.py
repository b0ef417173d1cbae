"""Reports through the real Envoy: from the public path to the counts, the page and the metrics."""

import http.client
import json
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from demo.cases import API, Minter, bearer
from demo.process import fetch_text
from demo.stack import Stack
from sidecar.cli.main import main
from sidecar.common.clock import wall_seconds
from sidecar.csp.reports.parse import LEGACY_TYPE, REPORTING_TYPE
from tests.csp.reports.bodies import legacy, modern, raw

pytestmark = pytest.mark.real
PATH = "/.well-known/septem/csp-reports"
PAGE = {"document-uri": "https://localhost/orders?token=eyJhbGciOiJ"}


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Stack() as running:
        yield running


class Browser:
    """One connection to the edge, kept open."""

    def __init__(self, stack: Stack) -> None:
        context = ssl.create_default_context(cadata=stack.ca_pem)
        self.connection = http.client.HTTPSConnection(
            "localhost", stack.ports.https, timeout=10, context=context
        )

    def send(
        self, body: bytes, kind: str = LEGACY_TYPE, method: str = "POST", **headers: str
    ) -> tuple[int, dict[str, str]]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.connection.request(method, PATH, body, {"content-type": kind, **named})
        answer = self.connection.getresponse()
        answer.read()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}


@pytest.fixture
def browser(stack: Stack) -> Iterator[Browser]:
    browser = Browser(stack)
    yield browser
    browser.connection.close()


def facts(stack: Stack) -> Any:
    return json.loads(fetch_text(stack.admin_port, "/csp/reports"))


def test_a_report_reaches_the_table_the_page_and_the_metrics(
    stack: Stack, browser: Browser
) -> None:
    status, headers = browser.send(raw(legacy(**PAGE)), cookie="session=1", x_septem_client="::2")
    assert status == 204
    assert "strict-transport-security" in headers
    body = modern(documentURL="https://localhost/x", effectiveDirective="connect-src")
    assert browser.send(raw([body]), REPORTING_TYPE)[0] == 204
    found = facts(stack)
    rows = {(row["directive"], row["blocked"], row["document"]) for row in found["rows"]}
    assert rows >= {
        ("script-src-elem", "https://evil.example", "https://localhost"),
        ("connect-src", "https://evil.example", "https://localhost"),
    }
    assert len({seen["client_id"] for seen in found["latest"]}) == 1, "the header is Envoy's"
    assert "eyJhbGciOiJ" not in json.dumps(found)
    assert "https://evil.example" in fetch_text(stack.admin_port, "/csp")
    metrics = fetch_text(stack.admin_port, "/metrics")
    assert (
        'septem_csp_violations_total{directive="connect-src",disposition="enforce"} 1.0' in metrics
    )


def test_pages_tell_browsers_where_to_report_and_api_answers_do_not(stack: Stack) -> None:
    page = stack.client.get("/").headers
    assert page["reporting-endpoints"] == f'septem-csp="{PATH}"'
    assert f"report-uri {PATH}; report-to septem-csp" in page["content-security-policy"]
    token = Minter(stack.key, wall_seconds()).good()
    answer = stack.client.get(API, (bearer(token),))
    assert answer.status == 200
    assert "reporting-endpoints" not in answer.headers
    assert "report-" not in answer.headers["content-security-policy"]


def test_the_running_sidecars_table_becomes_a_diff(
    stack: Stack, browser: Browser, capsys: pytest.CaptureFixture[str]
) -> None:
    for page in range(3):
        report = legacy(
            **{
                "document-uri": f"https://localhost/p{page}",
                "effective-directive": "connect-src",
                "blocked-uri": "https://telemetry.example.com/v1?user=7",
            }
        )
        assert browser.send(raw(report))[0] == 204
    config = str(stack.folder / "sidecar.yaml")
    least = ["--min-reports", "3", "--min-documents", "3", "--min-clients", "1"]
    assert main(["csp", "suggest", "--config", config, *least]) == 0
    diff = capsys.readouterr().out
    assert "+= https://telemetry.example.com: 3 reports from 3 pages, 1 clients" in diff
    assert "user=7" not in diff
    added = [line for line in diff.splitlines() if line.startswith("+ ")]
    assert len(added) == 1
    assert added[0].endswith(" - https://telemetry.example.com")


ANSWERS = [
    ("GET", b"", LEGACY_TYPE, 405),
    ("PUT", raw(legacy(**PAGE)), LEGACY_TYPE, 405),
    ("OPTIONS", b"", LEGACY_TYPE, 405),
    ("POST", raw(legacy(**PAGE)), "application/json", 415),
    ("POST", b"{", LEGACY_TYPE, 400),
    ("POST", b"[" * 60_000, REPORTING_TYPE, 400),
    ("POST", b"x" * 70_000, LEGACY_TYPE, 413),
    ("POST", b"x" * 3_000_000, LEGACY_TYPE, 413),
]


@pytest.mark.parametrize(("method", "body", "kind", "status"), ANSWERS)
def test_answers(browser: Browser, method: str, body: bytes, kind: str, status: int) -> None:
    assert browser.send(body, kind, method)[0] == status


def refused_by_envoy(stack: Stack) -> int:
    stats = fetch_text(stack.ports.admin, "/stats?filter=csp_reports.*rate_limited")
    return sum(int(line.rpartition(" ")[2]) for line in stats.splitlines())


def test_a_flood_is_answered_and_counted_and_checks_go_on(stack: Stack) -> None:
    """Envoy's bucket, then the client's and everybody's in the sidecar: nothing is just gone."""
    before, refused_before = facts(stack)["answers"], refused_by_envoy(stack)
    statuses: list[int] = []

    def flood(_number: int) -> None:
        browser = Browser(stack)
        statuses.extend(browser.send(raw(legacy(**PAGE)))[0] for _ in range(400))
        browser.connection.close()

    started = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        flooding = pool.map(flood, range(4))
        slowest = max(stack.client.get("/").milliseconds for _ in range(20))
        list(flooding)
    took = time.monotonic() - started
    assert set(statuses) == {204, 429}
    assert len(statuses) == 1600
    assert slowest < 2000
    after, refused = facts(stack)["answers"], refused_by_envoy(stack) - refused_before
    reached = sum(after.values()) - sum(before.values())
    assert reached + refused == 1600
    assert reached <= 500 + 100 * (took + 1), "Envoy's bucket lets no more through"
    assert after["204"] - before.get("204", 0) == statuses.count(204)
    assert statuses.count(204) <= 500 + 50 * (took + 1), "one client's, as the demo has it"
    assert "septem_ready 1.0" in fetch_text(stack.admin_port, "/metrics")
