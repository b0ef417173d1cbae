"""``csp suggest`` asks the running sidecar, on TCP and on a Unix socket."""

import asyncio
from pathlib import Path

import pytest

from sidecar.admin.server import AdminServer
from sidecar.cli.main import main
from sidecar.csp.reports.page import report_routes
from sidecar.transport.http1_messages import Response, Routes
from tests.csp.reports.test_intake import DrivenIntake
from tests.csp.reports.test_suggest import EXAMPLE, report


def answering(driven: DrivenIntake) -> Routes:
    return report_routes(driven.store, driven.intake)


async def ask(address: str, routes: Routes) -> int:
    server = AdminServer(address, routes, on_fault=lambda exc: pytest.fail(str(exc)))
    await server.start()
    command = ["csp", "suggest", "--config", str(EXAMPLE), "--admin", server.bound_address]
    code = await asyncio.to_thread(main, command)
    await server.close()
    return code


@pytest.mark.parametrize("kind", ["tcp", "unix"])
async def test_the_table_is_read(
    tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    driven = DrivenIntake()
    for number in range(30):
        driven.store.add(report(number, "https://a.example.com"))
    address = "127.0.0.1:0" if kind == "tcp" else f"unix:{tmp_path}/admin.sock"
    assert await ask(address, answering(driven)) == 0
    assert "+= https://a.example.com: 30 reports from 4 pages" in capsys.readouterr().out


WRONG: list[tuple[str, Routes, str]] = [
    ("no reports there", {}, "collects no reports: configure headers.reports there"),
    (
        "something else",
        {("GET", "/csp/reports"): lambda _: Response(200, b"<html>")},
        "is not the admin port of a sidecar",
    ),
    (
        "another version",
        {("GET", "/csp/reports"): lambda _: Response(200, b'{"rows": [{}]}')},
        "not the table of a sidecar of this version",
    ),
]


@pytest.mark.parametrize(("routes", "said"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
async def test_what_answers_otherwise_is_said(
    routes: Routes, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await ask("127.0.0.1:0", routes) == 1
    assert said in capsys.readouterr().err


def test_nobody_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    address = f"unix:{tmp_path}/none.sock"
    assert main(["csp", "suggest", "--config", str(EXAMPLE), "--admin", address]) == 1
    assert f"admin port at {address} does not answer" in capsys.readouterr().err
