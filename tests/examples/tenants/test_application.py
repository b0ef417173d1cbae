"""The example as it runs: orders of one tenant alone, sealed e-mail addresses, a quiet login."""

import signal
import socket
import stat
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from demo.postgresql import PostgresServer
from demo.tenants.facts import EMAILS, PASSWORDS
from demo.tenants.installing import EXAMPLE, Ground, sqlalchemy_url, start_example
from demo.tenants.targets import tcp_ports
from examples.tenants.__main__ import main
from examples.tenants.application import create_application
from examples.tenants.models import Base
from examples.tenants.services import open_services
from examples.tenants.settings import read_settings
from sidecar.config import parse_config
from tests.examples.tenants.conftest import RunningExample, listens
from tests.examples.tenants.unix_client import ask
from tests.support.waiting import wait_until
from workload.tenancy.check.run import check_database

ORDERS, LOGIN = "/api/orders", "/api/v1/auth/login"
ACME, GLOBEX = (str(UUID(int=0xE0000000 + number)) for number in range(2))
ANVIL = {"number": 1, "item": "anvil", "cents": 4999, "email": "Wile@acme.example"}
LASER = {"number": 1, "item": "laser", "cents": 1, "email": "b@globex.example"}
BASE = """\
tokens: {issuers: [{issuer: https://iam.example, audiences: [a], keys: {source: vault_kv}}]}
vault: {address: "https://v:8200", auth: {method: token_file, path: /t}}
"""


@pytest.fixture
def placed(example: RunningExample) -> RunningExample:
    """An order of each tenant, under the same number."""
    example.ground.postgres.run("orders", "DELETE FROM orders")
    for tenant, order in ((ACME, ANVIL), (GLOBEX, LASER)):
        assert example.ask(tenant, ORDERS, order).status == 201
    return example


def sealed(postgres: PostgresServer) -> list[tuple[Any, ...]]:
    with postgres.connect("orders") as connection:
        return connection.execute("SELECT email_sealed, email_index FROM orders").fetchall()


def test_each_tenant_has_its_own_orders(placed: RunningExample) -> None:
    assert placed.ask(ACME, ORDERS).body == [ANVIL]
    assert placed.ask(GLOBEX, ORDERS).body == [LASER]
    assert placed.ask(ACME, ORDERS, ANVIL).status == 409
    found = placed.ask(ACME, f"{ORDERS}/search", words="NVI").body
    assert [each["item"] for each in found] == ["anvil"]
    assert placed.ask(ACME, f"{ORDERS}/search", words="laser").body == []
    lines = placed.ask(ACME, f"{ORDERS}/export").text.splitlines()
    assert lines == ["number,item,cents", "1,anvil,4999"]


def test_the_hole_is_one(placed: RunningExample) -> None:
    """Without it the table of attacks would prove nothing."""
    told = placed.ask(ACME, f"{ORDERS}/search", words="zz%' UNION SELECT 7, version(), 7 --")
    assert "PostgreSQL" in told.body[0]["item"]
    refused = placed.ask(ACME, f"{ORDERS}/search", words="'; SELECT 1/0; --")
    assert (refused.status, refused.body["detail"]) == (400, "division by zero")


def test_a_customer_is_found_by_an_address_that_nobody_can_read(placed: RunningExample) -> None:
    stored = sealed(placed.ground.postgres)
    assert all(bytes(value)[0] == 1 and b"example" not in bytes(value) for value, _ in stored)
    assert len({bytes(token) for _, token in stored}) == 2
    assert placed.ask(ACME, ORDERS, email="wile@ACME.example").body == [ANVIL]
    assert placed.ask(GLOBEX, ORDERS, email="wile@acme.example").body == []
    without = {**ANVIL, "number": 2, "email": None}
    assert placed.ask(ACME, ORDERS, without).body == without
    assert placed.ask(ACME, ORDERS).body == [ANVIL, without]


def test_a_sealed_value_opens_in_its_row_alone(placed: RunningExample) -> None:
    placed.ask(ACME, ORDERS, {**ANVIL, "number": 2})
    swap = (
        "UPDATE orders o SET email_sealed = other.email_sealed, email_index = other.email_index "
        "FROM orders other WHERE o.tenant_id = other.tenant_id AND o.number <> other.number"
    )
    placed.ground.postgres.run("orders", swap)
    assert [each["email"] for each in placed.ask(ACME, ORDERS).body] == [None, None]
    assert placed.ask(ACME, ORDERS, email="wile@acme.example").body == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([], 401),
        ([("x-tenant-id", ACME), ("x-tenant-id", GLOBEX)], 400),
        ([("x-tenant-id", ACME), ("X_Tenant_Id", GLOBEX)], 400),
        ([("x-tenant-id", "' OR 1=1")], 400),
    ],
    ids=["none", "two", "two spellings", "no UUID"],
)
@pytest.mark.parametrize("path", ["", "/search", "/export"])
def test_no_order_without_one_tenant(
    placed: RunningExample, headers: list[tuple[str, str]], status: int, path: str
) -> None:
    assert ask(placed.ground.socket, f"{ORDERS}{path}", headers).status == status


def test_a_login_says_one_thing_of_everything_that_is_wrong(example: RunningExample) -> None:
    ((tenant, email), *_) = EMAILS.items()
    right = {"email": email.upper(), "password": PASSWORDS[tenant]}
    entered = example.ask(None, LOGIN, right)
    assert (entered.status, entered.body) == (200, {"email": email, "tenant_id": tenant})
    wrong = [
        {"email": email, "password": "a wrong password"},
        {"email": "nobody@acme.example", "password": PASSWORDS[tenant]},
        {"email": email, "password": ""},
        {"email": email, "password": "\x00"},
    ]
    told = {(each.status, each.text) for sent in wrong if (each := example.ask(None, LOGIN, sent))}
    assert len(told) == 1
    assert next(iter(told))[0] == 401


def test_what_is_wrong_with_a_request_is_told_without_what_was_sent(
    example: RunningExample,
) -> None:
    told = example.ask(None, LOGIN, {"email": 7, "password": "correct horse"})
    assert told.status == 422
    assert told.body["detail"][0]["where"] == ["body", "email"]
    assert "correct" not in told.text
    large = example.ask(ACME, ORDERS, {**ANVIL, "number": 2**31})
    assert large.status == 422


def test_only_the_socket_of_its_owner_and_group_listens(example: RunningExample) -> None:
    assert stat.S_IMODE(example.ground.socket.stat().st_mode) == 0o660
    assert tcp_ports(example.process.pid) == set()


async def test_who_comes_by_tcp_is_not_believed(settings: Path) -> None:
    application = create_application(lambda: open_services(read_settings(settings)))
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {
        "type": "http",
        "headers": [(b"x-tenant-id", ACME.encode())],
        "client": ("127.0.0.1", 40000),
        "server": ("127.0.0.1", 8000),
    }
    await application(scope, receive, send)
    assert sent[0]["status"] == 403


def test_it_takes_a_socket_that_was_left_and_a_signal_ends_it(
    ground: Ground, settings: Path, tmp_path: Path
) -> None:
    path = ground.folder / "second.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    other = tmp_path / "other.toml"
    other.write_text(settings.read_text().replace(str(ground.socket), str(path)))
    with start_example(other) as process:
        wait_until(lambda: listens(process, path), explain=process.tail)
        process.signal(signal.SIGTERM)
        assert process.wait(30) in {0, -signal.SIGTERM}, process.tail()
        assert "Traceback" not in "\n".join(process.lines)


def test_the_check_finds_no_hole(settings: Path, postgres: PostgresServer) -> None:
    assert settings.exists()
    with postgres.connect("orders", "orders_owner") as connection:
        found = check_database(connection)
    assert [each for each in found if each.severity == "hole"] == []


@pytest.mark.parametrize(
    ("database", "tables"), [("orders", {"orders"}), ("accounts", {"accounts", "field_keys"})]
)
def test_the_models_are_the_tables(
    settings: Path, postgres: PostgresServer, database: str, tables: set[str]
) -> None:
    assert settings.exists()
    engine = sa.create_engine(sqlalchemy_url(postgres, "postgres", database))
    looked = sa.inspect(engine)
    assert set(looked.get_table_names()) == tables
    for name in tables:
        table = Base.metadata.tables[name]
        columns = {each["name"]: each["nullable"] for each in looked.get_columns(name)}
        assert columns == {column.name: bool(column.nullable) for column in table.columns}
        keys = looked.get_pk_constraint(name)["constrained_columns"]
        assert keys == [column.name for column in table.primary_key]
    engine.dispose()


def test_orders_know_nothing_of_accounts(settings: Path, postgres: PostgresServer) -> None:
    assert settings.exists()
    with pytest.raises(Exception, match="permission denied for database"):
        postgres.connect("accounts", "orders_app")


def test_the_sidecar_takes_its_routes() -> None:
    config = parse_config(BASE + (EXAMPLE / "sidecar.yaml").read_text(), "sidecar.yaml")
    limits = {route.name: route.limits for route in config.routes}
    assert set(limits) == {"login", "export", "orders"}
    assert limits["login"] is not None


@pytest.mark.parametrize("arguments", [[], ["/nowhere.toml"], ["a", "b"]], ids=str)
def test_it_says_what_is_wrong_with_its_arguments(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert ("/nowhere.toml" if len(arguments) == 1 else "usage:") in capsys.readouterr().err
