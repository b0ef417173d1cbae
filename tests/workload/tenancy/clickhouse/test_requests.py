"""What a guarded client sends. The real client and engine stand in ``test_engine``."""

import asyncio
import random
from base64 import b64decode
from typing import Any, NamedTuple
from uuid import UUID, uuid5

import pytest

from workload.settings import SettingsFault
from workload.tenancy.clickhouse.driver import AsyncTenantClickHouse, TenantClickHouse
from workload.tenancy.clickhouse.guard.queries import QueryGuard
from workload.tenancy.clickhouse.guard.refused import QueryRefused
from workload.tenancy.clickhouse.guard.tables import GuardedTables
from workload.tenancy.clickhouse.logins import TenantLogins
from workload.tenancy.clickhouse.requests import ClientUnfit
from workload.tenancy.context import TenantContext, TenantUnknown, tenant, without_tenant
from workload.tenancy.seal import SealKey

A = "7f1c9a52-3f0e-4c8e-9f3b-0d7a8f5d2c11"
GUARD = QueryGuard(GuardedTables(["contacts"], database="app"))
LOGINS = TenantLogins(SealKey("k1", b"k" * 32), "orders")


class Call(NamedTuple):
    method: str
    text: str
    arguments: dict[str, Any]


class Recorder:
    """A client that notes what it is given: what reaches it is all that may be sent."""

    def __init__(self, url: str = "https://ch.example:8443", session: str | None = None) -> None:
        self.url = url
        self.calls: list[Call] = []
        self._session = session

    def get_client_setting(self, name: str) -> str | None:
        return self._session if name == "session_id" else None

    def __getattr__(self, method: str) -> Any:
        def call(text: str = "", **arguments: Any) -> str:
            self.calls.append(Call(method, text, arguments))
            return method

        return call


class AsyncRecorder(Recorder):
    """The same, whose methods are awaited, each after others may have run."""

    def __getattr__(self, method: str) -> Any:
        async def call(text: str = "", **arguments: Any) -> str:
            await asyncio.sleep(0)
            self.calls.append(Call(method, text, arguments))
            return method

        return call


def user_of(call: Call) -> str:
    header = call.arguments["transport_settings"]["Authorization"]
    return b64decode(header.removeprefix("Basic ")).decode().partition(":")[0]


def test_a_sealed_query_is_sent_as_the_tenants_user() -> None:
    client = Recorder()
    clickhouse = TenantClickHouse.sealed(client, GUARD, LOGINS)
    with tenant(TenantContext(A.upper())):
        asked = clickhouse.query("SELECT 1 FROM contacts WHERE id = {id:UInt32}", {"id": 5})
    assert asked == "query"
    (call,) = client.calls
    login = LOGINS.login(A)
    assert call.text == GUARD.query("SELECT 1 FROM contacts WHERE id = {id:UInt32}")
    assert call.arguments["parameters"] == {"id": 5, "septem_tenant": A}
    assert call.arguments["settings"] == {}
    basic = call.arguments["transport_settings"]["Authorization"].removeprefix("Basic ")
    assert b64decode(basic).decode() == f"{login.user}:{login.password}"


def test_an_unsealed_query_has_the_setting() -> None:
    client = Recorder("http://ch.example:8123")
    with tenant(TenantContext(A)):
        TenantClickHouse.unsealed(client, GUARD).query("SELECT 1", settings={"max_threads": 1})
    assert client.calls[0].arguments == {
        "parameters": None, "settings": {"max_threads": 1, "SQL_tenant_id": A},
    }  # fmt: skip


@pytest.mark.parametrize("method", ["query", "query_rows_stream", "query_df", "command"])
async def test_no_method_runs_without_a_tenant_or_a_guard(method: str) -> None:
    client, later = Recorder(), AsyncRecorder()
    blocking = TenantClickHouse.sealed(client, GUARD, LOGINS)
    waiting = AsyncTenantClickHouse.sealed(later, GUARD, LOGINS)
    for query, fault in (("SELECT 1", TenantUnknown), ("DROP TABLE contacts", QueryRefused)):
        if fault is QueryRefused:
            with tenant(TenantContext(A)), pytest.raises(fault):
                getattr(blocking, method)(query)
            with tenant(TenantContext(A)), pytest.raises(fault):
                await getattr(waiting, method)(query)
            continue
        with pytest.raises(fault):
            getattr(blocking, method)(query)
        with without_tenant("looks at a table"), pytest.raises(fault):
            await getattr(waiting, method)(query)
    assert client.calls == later.calls == []
    with tenant(TenantContext(A)):
        assert getattr(blocking, method)("SELECT 1") == method
        assert await getattr(waiting, method)("SELECT 1") == method
    assert [call.method for call in (*client.calls, *later.calls)] == [method, method]


def test_an_insert_gets_its_tenant_whoever_asks() -> None:
    client = Recorder()
    clickhouse = TenantClickHouse.sealed(client, GUARD, LOGINS)
    with tenant(TenantContext(A)):
        clickhouse.insert(
            "contacts", [(1, "ann"), (2, "abe")], ["id", "name"], ["UInt32", "String"]
        )
    arguments = client.calls[0].arguments
    assert arguments["data"] == [[1, "ann", UUID(A)], [2, "abe", UUID(A)]]
    assert arguments["column_names"] == ["id", "name", "tenant_id"]
    assert arguments["column_type_names"] == ["UInt32", "String", "UUID"]
    assert (arguments["database"], arguments["table"]) == ("app", "contacts")
    with tenant(TenantContext(A)):
        for table, rows, columns in (
            ("contacts", [(1, A)], ["id", "tenant_id"]),
            ("contacts", [(1, 2)], ["id"]),
            ("countries", [(1,)], ["id"]),
        ):
            with pytest.raises(QueryRefused):
                clickhouse.insert(table, rows, columns)
    with pytest.raises(TenantUnknown):
        clickhouse.insert("contacts", [(1,)], ["id"])
    assert len(client.calls) == 1


@pytest.mark.parametrize(
    "parameters",
    [{"x": 1}, {"septem_tenant": "0"}, {"$a$": b"x"}, {"id": 1, "other": 2}, {"id) ": 1}, {"": 1}],
)
def test_no_parameter_is_written_into_the_text(parameters: dict[str, Any]) -> None:
    """The driver writes what stands in no placeholder into the text, after the guard has."""
    client = Recorder()
    with tenant(TenantContext(A)), pytest.raises(QueryRefused, match="parameter"):
        TenantClickHouse.sealed(client, GUARD, LOGINS).query(
            "SELECT '%(x)s' FROM contacts WHERE id = {id:UInt8}", parameters
        )
    assert not client.calls


@pytest.mark.parametrize(
    "name", ["SQL_tenant_id", "session_id", "role", "database", "readonly", "allow_ddl",
             "additional_table_filters", "use_query_cache", "query", "user", "param_septem_tenant"],
)  # fmt: skip
def test_no_setting_decides_whose_rows(name: str) -> None:
    with tenant(TenantContext(A)), pytest.raises(QueryRefused, match=name):
        TenantClickHouse.sealed(Recorder(), GUARD, LOGINS).query("SELECT 1", settings={name: "1"})


def test_a_client_that_would_carry_something_on_is_refused() -> None:
    with pytest.raises(ClientUnfit, match="session"):
        TenantClickHouse.sealed(Recorder(session="s1"), GUARD, LOGINS)
    with pytest.raises(ClientUnfit, match="session"):
        TenantClickHouse.unsealed(Recorder(session="s1"), GUARD)
    with pytest.raises(ClientUnfit, match="plain HTTP"):
        TenantClickHouse.sealed(Recorder("http://ch.example:8123"), GUARD, LOGINS)
    TenantClickHouse.sealed(Recorder("http://127.0.0.1:8123"), GUARD, LOGINS)
    text = TenantLogins(SealKey("k1", b"k" * 32), "orders", "text")
    with pytest.raises(SettingsFault, match="other types"):
        TenantClickHouse.sealed(Recorder(), GUARD, text)


@pytest.mark.parametrize("sealed", [True, False])
def test_what_is_no_tenant_sends_nothing(sealed: bool) -> None:
    client = Recorder()
    clickhouse = (
        TenantClickHouse.sealed(client, GUARD, LOGINS)
        if sealed
        else TenantClickHouse.unsealed(client, GUARD)
    )
    with tenant(TenantContext("x' OR 1 --")), pytest.raises(SettingsFault, match="no tenant"):
        clickhouse.query("SELECT 1")
    assert not client.calls


async def test_a_thousand_interleaved_queries_of_ten_tenants() -> None:
    client = AsyncRecorder()
    clickhouse = AsyncTenantClickHouse.sealed(client, GUARD, LOGINS)
    tenants = [str(uuid5(UUID(A), str(number))) for number in range(10)]

    async def ask(number: int) -> None:
        with tenant(TenantContext(tenants[number % 10])):
            await asyncio.sleep(0)
            await clickhouse.query("SELECT 1 FROM contacts WHERE id = {n:UInt32}", {"n": number})

    order = list(range(1000))
    random.Random(1).shuffle(order)
    await asyncio.gather(*map(ask, order))
    assert len(client.calls) == 1000
    for call in client.calls:
        whose = tenants[call.arguments["parameters"]["n"] % 10]
        assert call.arguments["parameters"]["septem_tenant"] == whose
        assert user_of(call) == f"orders-{whose}"
