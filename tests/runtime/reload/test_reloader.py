"""All or nothing: what is prepared, what is given up, and what is said of it."""

import asyncio
from typing import Any

import pytest

from sidecar.common.errors import Fault
from sidecar.config import model, parse_config
from sidecar.context import PreparedPart
from sidecar.runtime.reload.outcome import ReloadResult
from sidecar.runtime.reload.reloader import digest_of
from tests.runtime.reload.conftest import Reloading

API = "{name: api, path_prefix: /api, csp: api}"


async def test_a_file_that_says_the_same_changes_nothing(reloading: Reloading) -> None:
    config, digest = reloading.context.config, reloading.reloader.digest
    reloading.write({"routes:": "routes:  # the same routes"})
    outcome = await reloading.reloader.reload()
    assert (outcome.result, outcome.changes) == (ReloadResult.UNCHANGED, ())
    assert reloading.context.config is config
    assert (reloading.reloader.digest, reloading.reloader.succeeded_at) == (digest, 1000.0)


async def test_what_is_applied_is_shown_and_counted(reloading: Reloading) -> None:
    adopted: list[str] = []

    async def prepare(config: model.Config) -> PreparedPart:
        return PreparedPart(lambda: adopted.append(config.routes[3].name))

    reloading.context.reload_parts.append(prepare)
    reloading.write({API: "{name: new, path_prefix: /api}"})
    reloading.now = 2000.0
    outcome = await reloading.reloader.reload()
    assert outcome.result is ReloadResult.APPLIED
    assert [each.path for each in outcome.changes] == ["routes[api]", "routes[new]"]
    assert adopted == ["new"]
    assert reloading.context.config.routes[3].name == "new"
    assert outcome.digest == reloading.reloader.digest == digest_of(reloading.context.config)
    assert reloading.context.health.facts["config"] == outcome.digest[:12]
    assert reloading.reloader.results["applied"] == 1
    assert reloading.reloader.succeeded_at == 2000.0
    assert reloading.said == []


REFUSED: list[tuple[str, tuple[dict[str, str], str], ReloadResult, str]] = [
    ("a mistake", ({"csp: api": "csp: nowhere"}, ""), ReloadResult.INVALID, "routes[3].csp"),
    ("no YAML", ({}, "\n  }"), ReloadResult.INVALID, "line "),
    ("an address", ({}, "listen: {admin: {address: '127.0.0.1:1'}}"),
     ReloadResult.RESTART_REQUIRED,
     'listen.admin.address: "127.0.0.1:9102" -> "127.0.0.1:1" needs a restart'),
    ("live and not, together", ({"csp: api": "csp: shell"}, "listen: {drain_seconds: 9}"),
     ReloadResult.RESTART_REQUIRED, "listen.drain_seconds"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "result", "why"), [r[1:] for r in REFUSED],
                         ids=[r[0] for r in REFUSED])  # fmt: skip
async def test_a_refusal_changes_nothing_and_is_one_alert(
    reloading: Reloading, text: tuple[dict[str, str], str], result: ReloadResult, why: str
) -> None:
    snapshot, config = reloading.checks._check.service.snapshot, reloading.context.config
    reloading.write(*text)
    outcome = await reloading.reloader.reload()
    assert (outcome.result, outcome.refused) == (result, True)
    assert why in outcome.message
    assert reloading.checks._check.service.snapshot is snapshot
    assert reloading.context.config is config
    assert [severity for severity, _ in reloading.said] == ["warning"]
    assert why in reloading.said[0][1]
    assert why in reloading.context.health.facts["config"]
    assert reloading.context.health.ready
    assert reloading.reloader.succeeded_at == 1000.0
    reloading.write()
    assert (await reloading.reloader.reload()).result is ReloadResult.UNCHANGED
    assert [severity for severity, _ in reloading.said] == ["warning", "info"]
    assert ";" not in reloading.context.health.facts["config"]


async def test_a_file_that_is_gone_is_a_refusal(reloading: Reloading) -> None:
    reloading.path.unlink()
    outcome = await reloading.reloader.reload()
    assert (outcome.result, outcome.problems) == (
        ReloadResult.INVALID, ("cannot be read: No such file or directory",),
    )  # fmt: skip


@pytest.mark.parametrize("exc", [Fault("no keys for new.example"), LookupError("a bug")])
async def test_what_was_prepared_is_given_up_where_the_rest_is_not(
    reloading: Reloading, exc: Exception
) -> None:
    seen: list[str] = []

    async def first(_config: model.Config) -> PreparedPart:
        return PreparedPart(lambda: seen.append("adopted"), lambda: seen.append("abandoned"))

    async def second(_config: model.Config) -> PreparedPart:
        raise exc

    reloading.context.reload_parts.extend([first, second])
    before = reloading.checks._check.service.snapshot
    reloading.write({"csp: api": "csp: shell"})
    outcome = await reloading.reloader.reload()
    assert outcome.result is ReloadResult.UNPREPARED
    assert seen == ["abandoned"]
    assert reloading.checks._check.service.snapshot is before
    assert ("no keys for new.example" if isinstance(exc, Fault) else "LookupError") in str(
        outcome.problems
    )
    assert "a bug in" not in outcome.message or not isinstance(exc, Fault)


async def test_nothing_is_put_in_force_in_a_drain(reloading: Reloading) -> None:
    reloading.write({"csp: api": "csp: shell"})
    reloading.context.stop.set()
    outcome = await reloading.reloader.reload()
    assert outcome.result is ReloadResult.UNPREPARED
    assert reloading.context.config.routes[3].csp == "api"


async def test_two_at_once_run_one_after_the_other(reloading: Reloading) -> None:
    running = most = 0

    async def prepare(_config: model.Config) -> PreparedPart:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        return PreparedPart(lambda: None)

    reloading.context.reload_parts.append(prepare)
    reloading.write({"csp: api": "csp: shell"})
    outcomes: Any = await asyncio.gather(*(reloading.reloader.reload() for _ in range(2)))
    assert [each.result for each in outcomes] == [ReloadResult.APPLIED, ReloadResult.UNCHANGED]
    assert most == 1


class Behind:
    """Processes of which one does not acknowledge."""

    async def prepare(self, policies: Any) -> Any:
        return policies

    def commit(self, _prepared: Any, publish: Any) -> None:
        publish()

    async def settled(self) -> tuple[str, ...]:
        return ("worker 1",)


async def test_a_worker_that_does_not_acknowledge_is_named(reloading: Reloading) -> None:
    reloading.reloader._checks = Behind()
    reloading.write({"csp: api": "csp: shell"})
    outcome = await reloading.reloader.reload()
    assert (outcome.result, outcome.refused) == (ReloadResult.UNACKNOWLEDGED, False)
    assert "worker 1 has not acknowledged it" in outcome.message
    assert reloading.context.config.routes[3].csp == "shell"


async def test_warnings_are_said_at_the_start_with_a_reload_and_in_its_outcome(
    reloading: Reloading, caplog: pytest.LogCaptureFixture
) -> None:
    warned = "listen: {authz: {address: '192.0.2.1:9100'}}\n"
    reloading.context.config = parse_config(reloading.path.read_text() + warned, "test")
    reloading.write(more=warned)
    await reloading.reloader.look_for_warnings()
    assert caplog.text.count("in the clear") == 1
    facts = reloading.context.health.facts
    assert facts["config_warnings"].startswith("1: ")
    reloading.write({"csp: api": "csp: shell"}, more=warned)
    outcome = await reloading.reloader.reload()
    assert outcome.result is ReloadResult.APPLIED
    assert outcome.document()["warnings_total"] == 1
    assert "in the clear" in outcome.document()["warnings"][0]
    assert caplog.text.count("in the clear") == 1, "it was said already"
    reloading.write({"csp: api": "csp: nowhere"}, more=warned)
    assert (await reloading.reloader.reload()).document()["warnings_total"] == 1
    reloading.path.unlink()
    await reloading.reloader.look_for_warnings()


async def test_after_a_restart_the_one_that_ends_says_what_is_in_force(
    reloading: Reloading,
) -> None:
    async def restart(_config: model.Config) -> str:
        return ""

    reloading.context.restart = restart
    reloading.write(more="listen: {drain_seconds: 9}")
    results = [await reloading.reloader.reload(allow_restart=True) for _ in range(2)]
    assert [each.result for each in results] == [ReloadResult.RESTARTED, ReloadResult.UNCHANGED]
    assert results[0].digest == results[1].digest == digest_of(reloading.context.config)
