"""The component of reports: off unless configured, else a listener, metrics and admin routes."""

import asyncio
import json
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from sidecar.common.unix_http import UnixConnection
from sidecar.config import model, parse_config
from sidecar.context import AppContext
from sidecar.csp.reports.component import ReportsComponent, start
from sidecar.csp.reports.parse import LEGACY_TYPE
from sidecar.observability.audit import AuditFault
from tests.cli.test_csp import CONFIG
from tests.csp.reports.bodies import HOST, TENANT, legacy, raw
from tests.support.failing import fail_on
from tests.support.waiting import until

PATH = "/.well-known/septem/csp-reports"


def configured(folder: Path, reports: str = "{}", tenant: str = TENANT) -> model.Config:
    return parse_config(
        f"{CONFIG}listen: {{reports: {{address: 'unix:{folder}/reports.sock'}}}}\n"
        f"headers: {{reports: {reports}}}\n"
        f"tenants: [{{tenant_id: {tenant}, domain: {HOST}}}]\n",
        "test",
    )


def post(folder: Path, path: str, body: bytes) -> int:
    connection = UnixConnection("localhost", timeout=10)
    connection.socket_path = f"{folder}/reports.sock"
    headers = {"content-type": LEGACY_TYPE, "host": HOST, "x-septem-client": "192.0.2.1"}
    try:
        connection.request("POST", path, body, headers)
        return connection.getresponse().status
    finally:
        connection.close()


def values(component: ReportsComponent) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in component.families()
        for sample in family.samples
    }


async def test_without_its_settings_nothing_is_opened() -> None:
    context = AppContext(parse_config(CONFIG, "test"))
    await start(context)
    assert context.routes == {}
    await context.stack.aclose()


async def test_it_listens_counts_and_shows_until_the_drain(tmp_path: Path) -> None:
    context = AppContext(configured(tmp_path))
    await start(context)
    assert await asyncio.to_thread(post, tmp_path, PATH, raw(legacy())) == 204
    assert await asyncio.to_thread(post, tmp_path, "/elsewhere", raw(legacy())) == 404
    assert ("GET", "/csp/reports") in context.routes
    shown = context.metrics.render().decode()
    assert 'septem_csp_violations_total{directive="script-src-elem",disposition="enforce"} 1.0' in (
        shown
    )
    assert 'septem_csp_report_requests_total{status="204"} 1.0' in shown
    await context.stack.aclose()
    with pytest.raises(OSError, match=r"."):
        post(tmp_path, PATH, b"")


@pytest.mark.parametrize("kind", ["configured", "registered", "nobody"])
async def test_a_report_is_of_the_tenant_whose_domain_it_is(tmp_path: Path, kind: str) -> None:
    other = TENANT.replace("7", "8")
    config = configured(tmp_path, "{forward: {sink: file, path: " + f"{tmp_path}/r.jsonl}}}}")
    if kind != "configured":
        config = parse_config(
            f"{CONFIG}listen: {{reports: {{address: 'unix:{tmp_path}/reports.sock'}}}}\n"
            f"headers: {{reports: {{forward: {{sink: file, path: {tmp_path}/r.jsonl}}}}}}\n",
            "test",
        )
    reports, listen = config.headers.reports, config.listen.reports
    assert reports is not None
    assert listen is not None
    component = ReportsComponent(
        config, reports, listen, on_fault=fail_on, run_soon=not_soon,
        registered=lambda host: other if (host, kind) == (HOST, "registered") else None,
    )  # fmt: skip
    async with AsyncExitStack() as stack:
        await component.start(stack)
        assert await asyncio.to_thread(post, tmp_path, PATH, raw(legacy())) == 204
    line = json.loads((tmp_path / "r.jsonl").read_text())
    assert line["tenant"] == {"configured": TENANT, "registered": other, "nobody": ""}[kind]
    assert values(component)["septem_csp_reports_forwarded_total",] == 1


async def test_what_is_not_forwarded_has_no_counter_of_it(tmp_path: Path) -> None:
    config = configured(tmp_path)
    assert config.headers.reports is not None
    assert config.listen.reports is not None
    component = ReportsComponent(
        config, config.headers.reports, config.listen.reports,
        on_fault=fail_on, run_soon=not_soon,
    )  # fmt: skip
    assert component.forward is None
    assert ("septem_csp_reports_forwarded_total",) not in values(component)


async def test_reports_that_are_lost_at_the_end_are_said_without_the_url(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sidecar.csp.reports.component._FORWARD_CLOSE_SECONDS", 0.2)
    url = "http://127.0.0.1:9/a-secret-path"
    config = configured(tmp_path, f"{{forward: {{sink: https, url: '{url}', timeout_seconds: 1}}}}")
    context = AppContext(config)
    await start(context)
    assert await asyncio.to_thread(post, tmp_path, PATH, raw(legacy())) == 204
    await context.stack.aclose()
    assert "reports were lost at the end" in caplog.text
    assert "check headers.reports.forward" in caplog.text
    assert "secret" not in caplog.text


def not_soon(coroutine: Coroutine[Any, Any, None]) -> None:
    coroutine.close()
    raise AssertionError("nothing is to be closed here")


async def test_a_reload_has_another_path_other_rates_and_another_file(tmp_path: Path) -> None:
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    config = configured(tmp_path, f"{{forward: {{sink: file, path: {first}}}}}")
    context = AppContext(config)
    async with context.stack:
        await start(context)
        (prepare,) = context.reload_parts
        assert await asyncio.to_thread(post, tmp_path, PATH, raw(legacy())) == 204
        settings = (
            f"{{path: /elsewhere, client_burst: 1, client_max_per_second: 0.01, keep_latest: 1, "
            f"forward: {{sink: file, path: {second}}}}}"
        )
        part = await prepare(configured(tmp_path, settings))
        assert await asyncio.to_thread(post, tmp_path, PATH, raw(legacy())) == 204
        await until(lambda: first.read_text().count("\n") == 2)
        part.adopt()
        assert await asyncio.to_thread(post, tmp_path, PATH, raw(legacy())) == 404
        # Two are spent already, which is more than the burst of now.
        assert await asyncio.to_thread(post, tmp_path, "/elsewhere", raw(legacy())) == 429
        off = await prepare(configured(tmp_path, "{path: /elsewhere, client_burst: 40}"))
        wider = settings.replace("client_burst: 1,", "client_burst: 40,")
        (await prepare(configured(tmp_path, wider))).adopt()
        assert await asyncio.to_thread(post, tmp_path, "/elsewhere", raw(legacy())) == 204
        await until(lambda: second.read_text().count("\n") == 1)
        assert first.read_text().count("\n") == 2
        off.adopt()
        assert await asyncio.to_thread(post, tmp_path, "/elsewhere", raw(legacy())) == 204
        assert second.read_text().count("\n") == 1, "nothing is sent on any more"


async def test_a_file_that_can_not_be_opened_refuses_the_reload(tmp_path: Path) -> None:
    context = AppContext(configured(tmp_path))
    async with context.stack:
        await start(context)
        (prepare,) = context.reload_parts
        absent = f"{{forward: {{sink: file, path: {tmp_path}/absent/r.jsonl}}}}"
        with pytest.raises(AuditFault, match=r"absent/r\.jsonl"):
            await prepare(configured(tmp_path, absent))
