"""The admin route, the function for SIGHUP, and the watch that is off unless it is set."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest

from sidecar.config import model
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


@pytest.mark.parametrize("body", [b'{"allow_restart": 1}', b'{"restart": true}', b"[", b"\xff"])
async def test_another_body_is_refused_and_nothing_is_read(
    reloading: Reloading, body: bytes
) -> None:
    start(reloading)
    reloading.write({"csp: api": "csp: shell"})
    answer = reloading.context.routes[component.ROUTE](Request(*component.ROUTE, "", body))
    response: Any = await answer  # type: ignore[misc]
    assert response.status == 400
    assert "allow_restart" in json.loads(response.body)["error"]
    assert reloading.context.config.routes[3].csp == "api"


async def test_the_watch_on_the_file_is_begun_and_ended_by_a_reload(reloading: Reloading) -> None:
    start(reloading)
    watching = "config_watch_seconds: 0.1\n"
    reloading.write(more=watching)
    assert (await post(reloading))[1]["result"] == "applied"
    reloading.write({"csp: api": "csp: shell"}, more=watching)
    await until(lambda: reloading.context.config.routes[3].csp == "shell")
    reloading.write()
    await until(lambda: reloading.context.config.config_watch_seconds is None)
    reloading.write({"csp: api": "csp: shell"})
    status, document = await post(reloading)
    assert (status, document["result"]) == (200, "applied"), "nothing else has read it"


class Restart:
    """Notes the configurations with which a restart was asked for; it may fail."""

    def __init__(self, why: str = "") -> None:
        self.why = why
        self.ports: list[str] = []

    async def __call__(self, config: model.Config) -> str:
        self.ports.append(config.listen.admin.address)
        return self.why


OTHER_PORT = "listen: {admin: {address: '127.0.0.1:9'}}\n"


RESTARTS: list[tuple[bool, str, int, str, list[str]]] = [
    (False, "", 409, "restart_required", []),
    (True, "", 200, "restarted", ["127.0.0.1:9"]),
    (True, "no Vault", 502, "restart_failed", ["127.0.0.1:9"]),
]


@pytest.mark.parametrize("row", RESTARTS, ids=[row[3] for row in RESTARTS])
async def test_a_restart_is_made_where_it_is_allowed(
    reloading: Reloading, row: tuple[bool, str, int, str, list[str]]
) -> None:
    allowed, why, status, result, ports = row
    reloading.context.restart = restart = Restart(why)
    start(reloading)
    reloading.write(more=OTHER_PORT)
    body = json.dumps({"allow_restart": allowed}).encode()
    answer = reloading.context.routes[component.ROUTE](Request(*component.ROUTE, "", body))
    response: Any = await answer  # type: ignore[misc]
    assert (response.status, json.loads(response.body)["result"]) == (status, result)
    assert restart.ports == ports
    assert why in json.loads(response.body).get("error", "")


@pytest.mark.parametrize("allowed", [False, True])
async def test_a_watched_file_restarts_only_where_the_file_in_force_allows_it(
    reloading: Reloading, allowed: bool
) -> None:
    reloading.context.restart = restart = Restart()
    start(reloading)
    watching = f"config_watch_seconds: 0.1\nconfig_watch_allow_restart: {str(allowed).lower()}\n"
    reloading.write(more=watching)
    await post(reloading)
    reloading.write(more=watching + OTHER_PORT)
    facts = reloading.context.health.facts
    if allowed:
        await until(lambda: restart.ports)
    else:
        await until(lambda: "--allow-restart" in facts["config"])
        assert restart.ports == []
