"""Addresses, folders, Redis and receivers: as they are here, with real sockets and servers."""

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest

from sidecar.config import model, parse_config
from sidecar.doctor.diagnosis import CheckOutcome, Diagnosis, diagnose
from sidecar.doctor.surroundings import (
    RunningSidecar,
    listener_looks,
    own_addresses,
    surrounding_looks,
)
from tests.authz.conftest import CONFIG
from tests.support.redis_server import redis_server


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder of a short name, for sockets."""
    with TemporaryDirectory(prefix="septem-") as name:
        yield Path(name)


def config(listen: str, more: str = "") -> model.Config:
    return parse_config(f"{CONFIG}listen: {{{listen}}}\n{more}", "test")


async def listeners(settings: model.Config) -> dict[str, Diagnosis]:
    looks = listener_looks(settings, RunningSidecar(settings))
    return {each.name: await diagnose(each.name, each.look) for each in looks}


async def around(more: str) -> dict[str, Diagnosis]:
    settings = config("admin: {address: '127.0.0.1:1'}", more)
    looks = surrounding_looks(settings)
    return {each.name: await diagnose(each.name, each.look) for each in looks}


async def test_ports_that_are_free_or_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        found = await listeners(
            config(f"authz: {{address: '{address}'}}, admin: {{address: '127.0.0.1:{port}'}}")
        )
    assert found[f"listen.admin 127.0.0.1:{port}"].detail == "free"
    checks = found[f"Checks {address}"]
    assert (checks.outcome, address in checks.detail) == (CheckOutcome.FAILED, True)
    assert "ss -ltnp" in checks.next_step


async def test_ports_of_the_sidecar_that_runs() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = config(f"admin: {{address: '127.0.0.1:{taken.getsockname()[1]}'}}")
        running = RunningSidecar(settings)
        running.is_there = True
        (look,) = (each for each in listener_looks(settings, running) if "admin" in each.name)
        found = await diagnose(look.name, look.look)
    assert (found.outcome, found.detail) == (CheckOutcome.OK, "in use, by the sidecar that runs")


async def test_sockets_that_are_free_taken_left_behind_or_files(folder: Path) -> None:
    async def look(path: Path) -> Diagnosis:
        found = await listeners(
            config(f"authz: {{address: 'unix:{path}'}}, admin: {{address: '127.0.0.1:1'}}")
        )
        return found[f"Checks unix:{path}"]

    assert (await look(folder / "free")).detail == "free"
    with socket.socket(socket.AF_UNIX) as taken:
        taken.bind(str(folder / "s"))
        taken.listen()
        found = await look(folder / "s")
        assert (found.outcome, "is in use" in found.detail) == (CheckOutcome.FAILED, True)
    found = await look(folder / "s")
    assert (found.outcome, "left behind" in found.detail) == (CheckOutcome.OK, True)
    assert (folder / "s").exists(), "the doctor changes nothing"
    (folder / "file").write_text("kept")
    found = await look(folder / "file")
    assert (found.outcome, "no socket" in found.detail) == (CheckOutcome.FAILED, True)
    found = await look(folder / "absent" / "s")
    assert (found.outcome, "RuntimeDirectory" in found.next_step) == (CheckOutcome.FAILED, True)


async def test_another_server_at_the_admin_port_is_no_sidecar() -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    settings = config(f"admin: {{address: '{address}'}}")
    running = RunningSidecar(settings)
    found = await diagnose("running sidecar", running.look)
    server.close()
    await server.wait_closed()
    assert (found.outcome, running.is_there) == (CheckOutcome.SKIPPED, False)


async def test_folders(folder: Path) -> None:
    found = await around(f"audit: {{to: {{sink: file, path: '{folder}/audit.jsonl'}}}}\n")
    assert found["audit.to file"].outcome is CheckOutcome.OK
    found = await around(f"audit: {{to: {{sink: file, path: '{folder}/no/audit.jsonl'}}}}\n")
    assert (found["audit.to file"].outcome, "Create it" in found["audit.to file"].next_step) == (
        CheckOutcome.FAILED,
        True,
    )
    if os.geteuid():
        folder.chmod(0o500)
        found = await around(f"audit: {{to: {{sink: file, path: '{folder}/audit.jsonl'}}}}\n")
        assert "not writable" in found["audit.to file"].detail


SPOOL = """\
audit:
  to:
    - {{sink: kafka, brokers: ['127.0.0.1:{port}', '127.0.0.1:1'], topic: t}}
    - {{sink: clickhouse, url: 'http://127.0.0.1:1/hidden'}}
  spool: {{folder: '{folder}/spool', key: {{source: vault_kv, path: k}}}}
alerts: {{webhook: {{url: 'https://127.0.0.1:{port}/hidden', secret_file: /s}}}}
tracing: {{url: 'http://127.0.0.1:{port}/v1/traces'}}
"""


async def test_receivers_that_take_connections_and_those_that_do_not(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as receiver:
        port = receiver.getsockname()[1]
        found = await around(SPOOL.format(port=port, folder=folder))
    good = ["alerts.webhook", "tracing", f"audit.to kafka, 127.0.0.1:{port}", "audit.spool.folder"]
    assert [each for each in good if found[each].outcome is not CheckOutcome.OK] == []
    for each in ("audit.to kafka, 127.0.0.1:1", "audit.to clickhouse"):
        assert found[each].outcome is CheckOutcome.FAILED
        assert found[each].next_step
    assert "hidden" not in str(found), "a webhook's path is often a secret"


async def test_redis(tmp_path: Path) -> None:
    (tmp_path / "right").write_text("a-password")
    (tmp_path / "wrong").write_text("another-one")
    form = """\
limits:
  tenant: {{requests: 9, per_seconds: 1}}
  redis: {{address: '{address}', password_file: '{file}'}}
"""
    with redis_server(tmp_path, "--requirepass", "a-password") as server:
        found = await around(form.format(address=server.address, file=tmp_path / "right"))
        assert found["limits.redis"].outcome is CheckOutcome.OK
        found = await around(form.format(address=server.address, file=tmp_path / "wrong"))
        assert "refuses the user or the password" in found["limits.redis"].detail
        assert "another-one" not in str(found)
    found = await around(form.format(address="127.0.0.1:1", file=tmp_path / "right"))
    assert (found["limits.redis"].outcome, bool(found["limits.redis"].next_step)) == (
        CheckOutcome.FAILED,
        True,
    )


def test_where_envoy_asks() -> None:
    settings = config(
        "sds: {address: 'unix:/run/sds'}, authz: {address: '127.0.0.1:9', workers: 2}"
    )
    assert own_addresses(settings) == {"127.0.0.1:9", "127.0.0.1:10", "unix:/run/sds"}
    bare = msgspec.structs.replace(settings.listen, sds=None)
    assert own_addresses(msgspec.structs.replace(settings, listen=bare)) == {
        "127.0.0.1:9",
        "127.0.0.1:10",
    }
