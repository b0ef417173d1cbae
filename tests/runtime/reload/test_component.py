"""The admin route, the function for SIGHUP, and the watch that is off unless it is set."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import msgspec
import pytest

from sidecar.runtime.reload import component
from sidecar.transport.http1_messages import Request
from tests.runtime.reload.conftest import Reloading
from tests.support.waiting import until


async def post(reloading: Reloading) -> tuple[int, dict[str, Any]]:
    answer = reloading.context.routes[component.ROUTE](Request(*component.ROUTE, "", b""))
    response: Any = await answer  # type: ignore[misc]
    return response.status, json.loads(response.body)


def start(reloading: Reloading) -> Any:
    return component.start(
        reloading.context, reloading.path, reloading.checks, reloading.alerts, nullcontext
    )


async def test_the_route_answers_with_the_outcome(reloading: Reloading) -> None:
    start(reloading)
    reloading.write({"csp: api": "csp: shell"})
    status, document = await post(reloading)
    assert (status, document["result"]) == (200, "applied")
    assert document["changes"] == [{"setting": "routes[api].csp", "old": '"api"', "new": '"shell"'}]
    reloading.write({"csp: api": "csp: nowhere"})
    status, document = await post(reloading)
    assert (status, document["result"]) == (422, "invalid")
    assert "routes[3].csp" in document["error"]


async def test_each_reload_runs_in_the_given_context(reloading: Reloading) -> None:
    """The service manager is told when one begins, and when it has ended."""
    seen: list[str] = []

    @contextmanager
    def told() -> Iterator[None]:
        seen.append(f"begins with {reloading.context.config.routes[3].csp}")
        yield
        seen.append(f"ends with {reloading.context.config.routes[3].csp}")

    component.start(reloading.context, reloading.path, reloading.checks, reloading.alerts, told)
    reloading.write({"csp: api": "csp: shell"})
    await post(reloading)
    assert seen == ["begins with api", "ends with shell"]


async def test_a_hang_up_begins_a_reload(reloading: Reloading) -> None:
    reload_soon = start(reloading)
    reloading.write({"csp: api": "csp: shell"})
    reload_soon()
    await until(lambda: reloading.context.config.routes[3].csp == "shell")


@pytest.mark.parametrize("seconds", [None, 0.1])
async def test_the_file_is_watched_where_that_is_set(
    reloading: Reloading, seconds: float | None
) -> None:
    context = reloading.context
    context.config = msgspec.structs.replace(context.config, config_watch_seconds=seconds)
    spawned: list[Any] = []
    context.spawn = spawned.append  # type: ignore[method-assign, assignment]
    start(reloading)
    assert len(spawned) == (seconds is not None)
    for each in spawned:
        each.close()
