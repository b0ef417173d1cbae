"""What the routes of the admin port answer."""

import asyncio
import gzip
import inspect
import json

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus

from sidecar.admin.routes import KeyRefresh, admin_routes
from sidecar.observability.health import Health
from sidecar.observability.metrics import CONTENT_TYPE, OPENMETRICS_TYPE, Metrics
from sidecar.transport.http1_messages import Request, Response

REFRESHES = [
    ("everywhere", KeyRefresh("active", complete=True), 200, {"keys": "active"}),
    ("a source can't be read", KeyRefresh("outage", complete=False), 502, {"keys": "outage"}),
    (
        "a worker has not acknowledged it",
        KeyRefresh("active", complete=True, pending=("worker 1",)),
        504,
        {
            "keys": "active",
            "error": "worker 1: what was read is not acknowledged yet",
            "pending": ["worker 1"],
        },
    ),
    (
        "sources say why",
        KeyRefresh("outage", complete=False, problems=("a: away", "b: wrong")),
        502,
        {"keys": "outage", "error": "a: away; b: wrong", "problems": ["a: away", "b: wrong"]},
    ),
    (
        "both",
        KeyRefresh("active", complete=False, pending=("worker 1",), problems=("b: wrong",)),
        504,
        {
            "keys": "active",
            "error": "b: wrong",
            "problems": ["b: wrong"],
            "pending": ["worker 1"],
        },
    ),
]


async def refreshed() -> KeyRefresh:
    return REFRESHES[0][1]


async def ask(method: str, path: str, health: Health) -> Response:
    answer = admin_routes(health, Metrics(), refreshed)[method, path](
        Request(method, path, "", b"")
    )
    return await answer if inspect.isawaitable(answer) else answer


async def test_alive_whatever_the_health() -> None:
    health = Health()
    health.set_unhealthy("keys", "no key is loaded")
    answer = await ask("GET", "/livez", health)
    assert (answer.status, answer.body) == (200, b"alive\n")


async def test_readiness_has_its_reasons() -> None:
    health = Health()
    health.facts["workers"] = "2 of 2 serve"
    health.set_unhealthy("keys", "no key is loaded")
    answer = await ask("GET", "/readyz", health)
    problems = {"keys": "no key is loaded"}
    assert answer.status == 503
    assert json.loads(answer.body) == {
        "ready": False, "workers": "2 of 2 serve", "problems": problems,
    }  # fmt: skip
    health.set_healthy("keys")
    answer = await ask("GET", "/readyz", health)
    assert (answer.status, json.loads(answer.body)["ready"]) == (200, True)


async def test_metrics_have_their_type() -> None:
    answer = await ask("GET", "/metrics", Health())
    assert (answer.status, answer.content_type) == (200, CONTENT_TYPE)
    assert b"septem_checks" in answer.body


@pytest.mark.parametrize(
    ("result", "status", "body"), [r[1:] for r in REFRESHES], ids=[r[0] for r in REFRESHES]
)
async def test_a_refresh_has_a_status_for_each_result(
    result: KeyRefresh, status: int, body: dict[str, object]
) -> None:
    async def refresh() -> KeyRefresh:
        return result

    handler = admin_routes(Health(), Metrics(), refresh)["POST", "/keys/refresh"]
    answer = handler(Request("POST", "/keys/refresh", "", b""))
    assert inspect.isawaitable(answer)
    done = await answer
    assert (done.status, json.loads(done.body)) == (status, body)


OF_PROMETHEUS = b",".join(
    (
        b"application/openmetrics-text;version=1.0.0;q=0.6",
        b"application/openmetrics-text;version=0.0.1;q=0.5",
        b"text/plain;version=0.0.4;q=0.4",
        b"*/*;q=0.1",
    )
)
SCRAPES: list[tuple[str, bytes, bytes, str]] = [
    ("Prometheus 2 and 3", OF_PROMETHEUS, b"gzip", OPENMETRICS_TYPE),
    ("curl", b"*/*", b"", CONTENT_TYPE),
    ("a browser", b"text/html,application/xhtml+xml,*/*;q=0.8", b"gzip, br", CONTENT_TYPE),
    ("text wanted more", b"text/plain, application/openmetrics-text;version=1.0.0;q=0.5", b"",
     CONTENT_TYPE),
    ("a version of tomorrow", b"application/openmetrics-text;version=9.0.0", b"", CONTENT_TYPE),
    ("no gzip", b"", b"gzip;q=0", CONTENT_TYPE),
    ("no words", b";;,,=,q", b"\xff", CONTENT_TYPE),
]  # fmt: skip


@pytest.mark.parametrize(
    ("accept", "encoding", "kind"), [row[1:] for row in SCRAPES], ids=[r[0] for r in SCRAPES]
)
async def test_metrics_come_as_they_are_asked_for(
    accept: bytes, encoding: bytes, kind: str
) -> None:
    metrics = Metrics()
    metrics.counters.checks["allowed", "ok", 'a "route"'] = 3
    headers = ((b"accept", accept), (b"accept-encoding", encoding))
    pending = admin_routes(Health(), metrics, refreshed)["GET", "/metrics"](
        Request("GET", "/metrics", "", b"", headers)
    )
    answer = await pending if inspect.isawaitable(pending) else pending
    sent = dict(answer.headers)
    assert (answer.content_type, sent["vary"]) == (kind, "accept, accept-encoding")
    is_packed = b"gzip" in encoding and b"q=0" not in encoding
    assert sent.get("content-encoding") == ("gzip" if is_packed else None)
    text = (gzip.decompress(answer.body) if is_packed else answer.body).decode()
    read = openmetrics if kind == OPENMETRICS_TYPE else prometheus
    (checks,) = (each for each in read(text) if each.name == "septem_checks")
    assert checks.samples[0].value == 3


async def test_concurrent_scrapes_share_a_text() -> None:
    metrics, rendered = Metrics(), 0

    async def count() -> None:
        nonlocal rendered
        rendered += 1
        await asyncio.sleep(0.01)

    metrics.add_refresh(count)
    show = admin_routes(Health(), metrics, refreshed)["GET", "/metrics"]
    answers = [show(Request("GET", "/metrics", "", b"")) for _ in range(64)]
    done = await asyncio.gather(*answers)  # type: ignore[arg-type]
    assert {each.status for each in done} == {200}
    assert rendered <= 2
