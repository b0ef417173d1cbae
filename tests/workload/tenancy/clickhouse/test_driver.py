"""clickhouse-connect over HTTP, ClickHouse's real engine behind: `make test-clickhouse`."""

import asyncio
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import clickhouse_connect
import pytest
from clickhouse_connect.driver.exceptions import ClickHouseError

from tests.support.clickhouse_attacks import SHARED, TABLES, TENANTS, A, B
from tests.support.clickhouse_http import EngineHttp, HttpUser, serving_engine
from tests.support.clickhouse_process import PYTHON, engine_in
from workload.tenancy.clickhouse.driver import AsyncTenantClickHouse, TenantClickHouse
from workload.tenancy.clickhouse.guard.queries import QueryGuard
from workload.tenancy.clickhouse.guard.refused import QueryRefused
from workload.tenancy.clickhouse.guard.tables import GuardedTables
from workload.tenancy.clickhouse.logins import TenantLogins
from workload.tenancy.clickhouse.requests import ClientUnfit
from workload.tenancy.context import TenantContext, TenantUnknown, tenant
from workload.tenancy.seal import SealKey

pytestmark = pytest.mark.skipif(not PYTHON, reason="run: make test-clickhouse")
GUARD = QueryGuard(GuardedTables(TENANTS, SHARED, database="app"))
LOGINS = TenantLogins(SealKey("k1", b"k" * 32), "orders_app")
OTHERS = [str(uuid5(UUID(A), str(number))) for number in range(10)]
OPTIONS: dict[str, Any] = {"host": "127.0.0.1", "compress": False, "autogenerate_session_id": False}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineHttp]:
    folder = tmp_path_factory.mktemp("clickhouse")
    users = {
        LOGINS.login(each).user: HttpUser(LOGINS.login(each).hash(), each)
        for each in (A, B, *OTHERS)
    }
    users["default"] = HttpUser(hashlib.sha256(b"").hexdigest(), "")
    with engine_in(folder / "data") as engine:
        engine.ask("CREATE DATABASE app")
        for statement in TABLES:
            engine.ask(statement)
        for number, each in enumerate(OTHERS):
            row = f"({100 + number}, '{each}', 'of {number}', {number}, [], 0, NULL)"
            engine.ask(f"INSERT INTO app.contacts VALUES {row}")
        yield EngineHttp(engine, users, folder)


@pytest.fixture
def port(server: EngineHttp) -> Iterator[int]:
    with serving_engine(server) as port:
        yield port


@pytest.fixture
def clickhouse(port: int) -> Iterator[TenantClickHouse]:
    client = clickhouse_connect.get_client(port=port, **OPTIONS)
    yield TenantClickHouse.sealed(client, GUARD, LOGINS)
    client.close()


def test_each_tenant_has_its_rows_as_its_user(
    clickhouse: TenantClickHouse, server: EngineHttp
) -> None:
    query = "SELECT name FROM contacts WHERE id < {most:UInt32} ORDER BY id"
    for who, names in ((A, ["ann", "abe"]), (B, ["SECRET bob", "SECRET bea"])):
        with tenant(TenantContext(who)):
            found = clickhouse.query(query, {"most": 100}).result_rows
            assert [row[0] for row in found] == names
            assert clickhouse.command("SELECT count() FROM contacts") == 2
            with clickhouse.query_rows_stream(query, {"most": 100}) as stream:
                assert [row[0] for row in stream] == names
        assert server.asked[-1][0] == f"orders_app-{who}"


def test_rows_are_inserted_with_their_tenant(clickhouse: TenantClickHouse) -> None:
    with tenant(TenantContext(A)):
        clickhouse.insert("visits", [(70, 1, "new")], ["id", "contact", "page"])
        clickhouse.insert("visits", [(71, "x")], ["id", "page"], ["UInt32", "String"])
        clickhouse.command(
            "INSERT INTO visits (id, page) SELECT id + 10, page FROM visits WHERE id = 70"
        )
        found = clickhouse.query("SELECT id, tenant_id FROM visits WHERE id >= 70 ORDER BY id")
        assert [tuple(row) for row in found.result_rows] == [
            (70, UUID(A)), (71, UUID(A)), (80, UUID(A)),
        ]  # fmt: skip
    with tenant(TenantContext(B)):
        assert clickhouse.command("SELECT count() FROM visits WHERE id >= 70") == 0


def test_nothing_reaches_the_server_that_the_guard_refuses(
    clickhouse: TenantClickHouse, server: EngineHttp
) -> None:
    before = len(server.asked)
    with pytest.raises(TenantUnknown):
        clickhouse.query("SELECT name FROM contacts")
    with tenant(TenantContext(A)), pytest.raises(QueryRefused):
        clickhouse.query("SELECT title FROM salaries")
    with tenant(TenantContext(A)), pytest.raises(QueryRefused):
        clickhouse.query(
            "SELECT '%(x)s' FROM contacts", {"x": "'||(SELECT title FROM app.salaries)||'"}
        )
    assert len(server.asked) == before


def test_a_tenant_that_the_server_does_not_know_is_nobody(clickhouse: TenantClickHouse) -> None:
    unknown = str(UUID(int=7))
    with (
        tenant(TenantContext(unknown)),
        pytest.raises(ClickHouseError, match="AUTHENTICATION_FAILED"),
    ):
        clickhouse.query("SELECT name FROM contacts")


def test_a_client_with_a_session_is_refused(port: int) -> None:
    client = clickhouse_connect.get_client(
        port=port, **(OPTIONS | {"autogenerate_session_id": True})
    )
    with pytest.raises(ClientUnfit):
        TenantClickHouse.sealed(client, GUARD, LOGINS)
    client.close()


async def test_a_thousand_interleaved_queries_of_ten_tenants(port: int, tmp_path: Path) -> None:
    assert tmp_path
    async with await clickhouse_connect.get_async_client(port=port, **OPTIONS) as client:
        clickhouse = AsyncTenantClickHouse.sealed(client, GUARD, LOGINS)

        async def ask(number: int) -> tuple[int, list[str]]:
            with tenant(TenantContext(OTHERS[number % 10])):
                found = await clickhouse.query(
                    "SELECT name FROM contacts WHERE amount >= 0 OR {n:UInt32} > 0", {"n": number}
                )
            return number, [row[0] for row in found.result_rows]

        answers = await asyncio.gather(*(ask(number) for number in range(1000)))
    assert all(names == [f"of {number % 10}"] for number, names in answers)
