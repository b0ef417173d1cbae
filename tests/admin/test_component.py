"""What listens for operators, and what for probes."""

import asyncio
import re

import pytest

from sidecar.admin import component
from sidecar.admin.routes import KeyRefresh
from sidecar.config import parse_config
from sidecar.context import AppContext
from tests.authz.conftest import CONFIG

LISTEN = """\
listen:
  admin: {{address: "unix:{folder}/admin"}}
  {probes}
"""


async def refreshed() -> KeyRefresh:
    return KeyRefresh("active", complete=True)


async def ask(
    address: str, method: str, path: str, body: bytes = b"", host: str = "h"
) -> tuple[int, bytes]:
    """Ask over a Unix socket; return the status and the body."""
    reader, writer = await asyncio.open_unix_connection(address)
    head = f"{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n"
    writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
    answer = await reader.read()
    writer.close()
    found = re.match(rb"HTTP/1.1 (\d+)", answer)
    assert found is not None
    return int(found[1]), answer.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("ready", [True, False])
async def test_probes_have_two_paths_and_a_word(
    tmp_path_factory: pytest.TempPathFactory, ready: bool
) -> None:
    folder = tmp_path_factory.mktemp("probes")
    probes = f"probes: {{address: 'unix:{folder}/probes'}}"
    listen = LISTEN.format(folder=folder, probes=probes)
    context = AppContext(parse_config(listen + CONFIG, "test"))
    if not ready:
        context.health.set_unhealthy("keys", "no key is loaded")
    async with context.stack:
        await component.start(context, refreshed)
        where = f"{folder}/probes"
        answers = [(200, b"ready\n") if ready else (503, b"not ready\n"), (200, b"alive\n")]
        assert [await ask(where, "GET", path) for path in ("/readyz", "/livez")] == answers
        for method, path in [*context.routes, ("POST", "/livez"), ("GET", "/"), ("GET", "/csp")]:
            if (method, path) not in {("GET", "/readyz"), ("GET", "/livez")}:
                status, body = await ask(where, method, path)
                assert status in {404, 405}
                assert b"keys" not in body
        assert (await ask(where, "GET", "/livez", b"x"))[0] == 413
    assert not (folder / "probes").exists()


async def test_no_such_listener_unless_it_is_configured(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("probes")
    listen = LISTEN.format(folder=folder, probes="drain_seconds: 1")
    context = AppContext(parse_config(listen + CONFIG, "test"))
    async with context.stack:
        await component.start(context, refreshed)
        assert {each.name for each in folder.iterdir()} == {"admin"}
        assert (await ask(f"{folder}/admin", "GET", "/livez"))[0] == 421


@pytest.mark.parametrize(
    ("done", "words"),
    [
        (KeyRefresh("active", complete=True), "the keys are active"),
        (KeyRefresh("init", complete=False), "the start is not over"),
        (KeyRefresh("outage", complete=False, problems=("no answer", "none")), "no answer; none"),
        (KeyRefresh("active", complete=True, pending=("worker 1",)), "worker 1: what was read"),
    ],
)
async def test_the_page_reads_keys_and_says_how_that_ended(
    tmp_path_factory: pytest.TempPathFactory, done: KeyRefresh, words: str
) -> None:
    folder = tmp_path_factory.mktemp("page")
    listen = LISTEN.format(folder=folder, probes="drain_seconds: 1")
    context = AppContext(parse_config(listen + CONFIG, "test"))

    async def refresh() -> KeyRefresh:
        return done

    async with context.stack:
        await component.start(context, refresh)
        admin = f"{folder}/admin"
        assert (await ask(admin, "GET", "/", host="localhost"))[0] == 303
        _, page = await ask(admin, "GET", "/page", host="localhost")
        assert b"Septem Sidecar" in page
        act = context.actions["refresh"]
        if words.startswith("the keys are a"):
            assert words in await act("")
        else:
            with pytest.raises(component.RefreshFault, match=words):
                await act("")


async def test_the_drain_ends_the_streams_of_open_pages(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("page")
    listen = LISTEN.format(folder=folder, probes="drain_seconds: 1")
    context = AppContext(parse_config(listen + CONFIG, "test"))
    async with context.stack:
        await component.start(context, refreshed)
        asked = asyncio.create_task(ask(f"{folder}/admin", "GET", "/page/events", host="localhost"))
        asyncio.get_running_loop().call_later(0.2, context.stop.set)
        async with asyncio.timeout(5):
            status, body = await asked
        assert status == 200
        assert b"event: end" in body
        assert (await ask(f"{folder}/admin", "GET", "/page/events", host="localhost"))[0] == 503
