"""What the scenario runs beside the stack: PostgreSQL, the application, and the control."""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from sqlalchemy import make_url

from demo.cases import Minter
from demo.postgresql import PostgresServer, postgres_server
from demo.process import ManagedProcess, ProcessFault, free_ports
from demo.stack import Stack
from demo.tenants.attacks import LIST, Step
from demo.tenants.facts import ATTACKER, EMAILS, ORDERS, PASSWORDS, VICTIM
from demo.tenants.playing import Side
from demo.tenants.targets import ControlTarget, EdgeTarget, Target
from sidecar.common.clock import wall_seconds
from workload.passwords import Passwords
from workload.tenancy.check.findings import Finding
from workload.tenancy.check.run import check_database
from workload.tenancy.migration import Protection, tables_of
from workload.tenancy.seal import new_key, write_key

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples/tenants"
SOCKET = "app.sock"
READY_SECONDS = 30.0
POLICY = """\
# What the example may do in Vault: make and unwrap data keys.
path "transit/datakey/plaintext/fields" { capabilities = ["update"] }
path "transit/decrypt/fields"           { capabilities = ["update"] }
"""
_SAVED = "SELECT tenant_id, number, item, cents, email_sealed, email_index FROM orders"
_INSERT = (
    "INSERT INTO orders (tenant_id, number, item, cents, email_sealed, email_index) "
    "VALUES (%s, %s, %s, %s, %s, %s)"
)


class TenantsWorld(NamedTuple):
    """Both sides, and what ``septem tenancy check`` found in the protected database."""

    protected: Side
    control: Side
    findings: list[Finding]


def stack_options() -> Mapping[str, Any]:
    """Return in what the stack differs: the example's routes, and its socket behind Envoy."""
    changes = yaml.safe_load((EXAMPLE / "sidecar.yaml").read_text(encoding="utf-8"))
    return {"application_socket": SOCKET, "changes": changes}


@contextmanager
def tenants_world(stack: Stack) -> Iterator[TenantsWorld]:
    """Run everything, with the same orders on both sides; nothing is left behind.

    Raises ``ProcessFault`` where PostgreSQL can't be had.
    """
    with ExitStack() as exits:
        server = exits.enter_context(postgres_server())
        settings = _settings(stack, server)
        process = exits.enter_context(_example(settings))
        edge = EdgeTarget(stack.ports.https, stack.ca_pem, _tokens(stack), process.pid)
        process.wait_until(partial(_answers, edge), READY_SECONDS)
        (port,) = free_ports(1)
        control = ControlTarget(port)
        program = exits.enter_context(_control(server, port))
        program.wait_until(partial(_answers, control), READY_SECONDS)
        with server.connect("orders", "orders_owner") as connection:
            findings = check_database(connection)
        protected = exits.enter_context(_side(edge, server, "orders", "orders_app"))
        unprotected = exits.enter_context(_side(control, server, "control", "postgres"))
        yield TenantsWorld(protected, unprotected, findings)


def _settings(stack: Stack, server: PostgresServer) -> Path:
    """Make roles, databases, keys and accounts as README.md says, and write the settings."""
    _run_file(server, "roles.sql", "postgres", "postgres")
    _run_file(server, "orders.sql", "orders", "orders_owner")
    _run_file(server, "accounts.sql", "accounts", "orders_owner")
    protection = Protection(tables_of(["orders"]), "orders_app")
    server.run("orders", protection.up(), user="orders_owner")
    seal, seal_file = new_key(), stack.folder / "tenant-key"
    write_key(seal_file, seal)
    with server.connect("orders", "orders_owner") as connection:
        values = (seal.kid, *seal.pads())
        connection.execute("INSERT INTO septem_tenancy.seal_keys VALUES (%s, %s, %s)", values)
    _add_accounts(server, "accounts")
    vault = stack.openbao.client
    vault.sys.enable_secrets_engine("transit")
    vault.write_data("transit/keys/fields", data={"type": "aes256-gcm96", "derived": True})
    token_file = stack.folder / "orders-vault-token"
    token_file.touch(mode=0o600)
    token_file.write_text(stack.openbao.token_for(POLICY, name="orders"))
    settings = {
        "socket": str(stack.application_socket),
        "orders_url": _sqlalchemy_url(server, "orders_app", "orders"),
        "seal_key_file": str(seal_file),
        "accounts_url": _sqlalchemy_url(server, "orders_accounts", "accounts"),
        "vault_address": stack.openbao.address,
        "vault_token_file": str(token_file),
        "kek": "fields",
    }
    path = stack.folder / "orders.toml"
    path.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items()))
    return path


def _example(settings: Path) -> ManagedProcess:
    command = [sys.executable, "-m", "examples.tenants", str(settings)]
    return ManagedProcess("the application", command, folder=ROOT)


def _control(server: PostgresServer, port: int) -> ManagedProcess:
    """Start the same application without the protection, in a database of its own."""
    server.create_database("control")
    for name in ("orders.sql", "accounts.sql"):
        _run_file(server, name, "control", "postgres")
    key = "ALTER TABLE orders DROP CONSTRAINT orders_pkey, ADD PRIMARY KEY (number)"
    server.run("control", key)
    _add_accounts(server, "control")
    url = _sqlalchemy_url(server, "postgres", "control")
    command = [sys.executable, "-m", "demo.tenants.control", str(port), url]
    return ManagedProcess("the control", command, folder=ROOT)


def _run_file(server: PostgresServer, name: str, database: str, user: str) -> None:
    """Run a file's statements one by one: CREATE DATABASE wants to be alone."""
    lines = (EXAMPLE / name).read_text(encoding="utf-8").splitlines()
    text = "\n".join(line.partition("--")[0] for line in lines)
    statements = [each.strip() for each in text.split(";")]
    server.run(database, *filter(None, statements), user=user)


def _add_accounts(server: PostgresServer, database: str) -> None:
    passwords = Passwords()
    with server.connect(database) as connection:
        for tenant, email in EMAILS.items():
            hashed = passwords.hash_sync(PASSWORDS[tenant])
            connection.execute("INSERT INTO accounts VALUES (%s, %s, %s)", (email, tenant, hashed))


def _sqlalchemy_url(server: PostgresServer, user: str, database: str) -> str:
    url = make_url(server.url(user, database)).set(drivername="postgresql+psycopg")
    return url.render_as_string(hide_password=False)


def _tokens(stack: Stack) -> dict[str, str]:
    mint = Minter(stack.key, wall_seconds())
    return {
        tenant: mint.good(sub=EMAILS[tenant], tenantId=tenant, jti=f"orders-{number}")
        for number, tenant in enumerate((ATTACKER, VICTIM))
    }


def _answers(target: Target) -> bool:
    return target.send(LIST).status == HTTPStatus.OK


@contextmanager
def _side(target: Target, server: PostgresServer, database: str, role: str) -> Iterator[Side]:
    """Place the orders, and keep a session of another worker of the application."""
    for tenant, orders in ORDERS.items():
        for order in orders:
            answer = target.send(Step("POST", body=order, by_victim=tenant == VICTIM))
            if answer.status != HTTPStatus.CREATED:
                raise ProcessFault(f"an order could not be placed: {answer}")
    with server.connect(database) as connection:
        connection.execute("ANALYZE orders")
        rows = connection.execute(_SAVED).fetchall()
    sealed = next(bytes(row[4]).hex() for row in rows if str(row[0]) == VICTIM)
    facts = {"<A>": ATTACKER, "<B>": VICTIM, "<SEALED>": sealed}
    with server.connect(database, role) as other:
        other.execute("/* another worker looks for plutonium-7261 */ SELECT 1")
        kept = other.info.backend_pid
        yield Side(target, facts, partial(_restore, server, database, rows, kept))


def _restore(
    server: PostgresServer, database: str, rows: list[Any], kept_pid: int, undo: str
) -> None:
    """Put the rows back. The control's sessions end too: what is left in them is no news."""
    with server.connect(database) as connection:
        if database == "control":
            connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                "WHERE datname = %s AND pid NOT IN (pg_backend_pid(), %s)",
                (database, kept_pid),
            )
            if undo:
                connection.execute(undo.encode())
        with connection.transaction(), connection.cursor() as cursor:
            cursor.execute("DELETE FROM orders")
            cursor.executemany(_INSERT, rows)
