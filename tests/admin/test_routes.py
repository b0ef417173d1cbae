"""What the routes of the admin port answer."""

import asyncio
import inspect
import json

import pytest

from sidecar.admin.routes import KeyRefresh, admin_routes
from sidecar.observability.health import Health
from sidecar.observability.metrics import CONTENT_TYPE, Metrics
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
