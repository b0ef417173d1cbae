"""``sidecar config reload``: the exit code and the words of each outcome of an admin port."""

import asyncio
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from sidecar.admin.server import AdminServer
from sidecar.config.reloading import Change
from sidecar.runtime.reload.component import ROUTE, reload_handler
from sidecar.runtime.reload.outcome import ReloadOutcome, ReloadResult
from sidecar.transport.http1_messages import Request, Response
from tests.cli.commands import Run

CHANGE = Change("routes[api].roles", "routes[].roles", "[]", '["x"]')


class Admin:
    """An admin port that answers with an outcome."""

    def __init__(self, address: str) -> None:
        self.outcome = ReloadOutcome(ReloadResult.UNCHANGED, "/etc/sidecar.yaml", "ab" * 32)
        self.allowed: list[bool] = []
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        routes: dict[Any, Any] = {ROUTE: reload_handler(self.reload), ("GET", "/other"): _other}
        self.server = AdminServer(address, routes, on_fault=print)
        self.run(self.server.start())
        self.address = self.server.bound_address

    async def reload(self, allow_restart: bool) -> ReloadOutcome:
        self.allowed.append(allow_restart)
        return self.outcome

    def run(self, coroutine: Any) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(10)

    def stop(self) -> None:
        self.run(self.server.close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


def _other(_request: Request) -> Response:
    return Response.json(200, {})


@pytest.fixture
def admin(tmp_path: Path) -> Iterator[Admin]:
    made = Admin(f"unix:{tmp_path}/admin.sock")
    yield made
    made.stop()


R = ReloadResult


class Row(NamedTuple):
    """An outcome, and what is printed: a result on standard output, all else beside it."""

    result: ReloadResult
    changes: tuple[Change, ...] = ()
    problems: tuple[str, ...] = ()
    code: int = 0
    out: str = ""
    err: str = ""


CHANGED = r"routes\[api\]\.roles: \[\] -> \[\"x\"\]\n"
END = r"; in force: abababababab\)\n"
HELD = r"/etc/sidecar.yaml was rejected; .* stays in force \(\w+" + END
ROWS = [
    Row(R.APPLIED, (CHANGE,), out=CHANGED + r".*in force in every process \(applied" + END),
    Row(R.RESTARTED, (CHANGE,), out=CHANGED + r".*has taken over, without a gap \(restarted" + END),
    Row(R.UNCHANGED, out=r".*says what is in force already \(unchanged" + END),
    Row(R.UNACKNOWLEDGED, (CHANGE,), ("worker 1 has not",), 1,
        CHANGED + r".*not yet in every process \(unacknowledged" + END,
        r".*: worker 1 has not\n"),
    Row(R.RESTART_FAILED, (CHANGE,), ("port 1 is in use",), 1, CHANGED, r".*port 1 .*\n" + HELD),
    Row(R.INVALID, (), ("line 3: routes[0].rols: is not a setting", "line 9: x"), 2, "",
        r"/etc/sidecar.yaml: line 3: .*\n.*line 9: x\n" + HELD),
    Row(R.RESTART_REQUIRED, (CHANGE,), ("admin.address needs a restart",), 1, CHANGED,
        r".*admin.address needs a restart\n" + HELD),
    Row(R.UNPREPARED, (CHANGE,), ("no keys",), 1, CHANGED, r".*no keys\n" + HELD),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=[row.result for row in ROWS])
def test_each_outcome(admin: Admin, run: Run, row: Row) -> None:
    admin.outcome = admin.outcome._replace(
        result=row.result, changes=row.changes, problems=row.problems
    )
    code, out, err = run("config", "reload", "--admin", admin.address)
    assert code == row.code
    assert re.fullmatch(row.out, out), out
    assert re.fullmatch(row.err, err), err
    code, out, err = run("config", "reload", "--admin", admin.address, "--json")
    assert (code, json.loads(out)["result"], err) == (row.code, row.result, "")


def test_warnings_are_no_result(admin: Admin, run: Run) -> None:
    admin.outcome = admin.outcome._replace(result=R.APPLIED, warnings=("line 2: \x1b is odd",))
    _, out, err = run("config", "reload", "--admin", admin.address)
    assert "warning" not in out
    assert err == "/etc/sidecar.yaml: warning: line 2: \\u001b is odd\n"


def test_a_restart_is_made_only_where_it_is_allowed(admin: Admin, run: Run) -> None:
    run("config", "reload", "--admin", admin.address)
    run("config", "reload", "--admin", admin.address, "--allow-restart")
    assert admin.allowed == [False, True]


def test_the_address_may_come_from_a_file(admin: Admin, run: Run, tmp_path: Path) -> None:
    path = tmp_path / "sidecar.yaml"
    path.write_text(
        "vault: {address: 'http://127.0.0.1:1', auth: {method: token_file, path: /t}}\n"
        "tokens: {issuers: [{issuer: i, audiences: [a]}]}\n"
        f"listen: {{admin: {{address: '{admin.address}'}}}}\nroutes: [{{name: a, path: /}}]\n"
    )
    code, out, err = run("config", "reload", "--config", path)
    assert (code, err) == (0, ""), out


def test_one_that_has_not_started_yet_is_told(admin: Admin, run: Run) -> None:
    del admin.server._routes[ROUTE]  # type: ignore[attr-defined]
    code, _, err = run("config", "reload", "--admin", admin.address)
    assert code == 1
    assert "offers no reload" in err


def test_nobody_there_is_one_sentence(run: Run) -> None:
    code, _, err = run("config", "reload", "--admin", "127.0.0.1:1")
    assert (code, len(err.splitlines())) == (1, 1)
    assert "does not answer" in err
