"""What the scenario runs beside the stack: PostgreSQL, the application, and the control."""

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from http import HTTPStatus
from typing import Any, NamedTuple

import yaml
from psycopg import Connection

from demo.cases import Minter
from demo.postgresql import PostgresServer, postgres_server
from demo.process import ProcessFault, free_ports
from demo.stack import Stack
from demo.tenants.attacks import LIST, Step
from demo.tenants.facts import ATTACKER, EMAILS, ORDERS, VICTIM
from demo.tenants.installing import EXAMPLE, Ground, install, start_control, start_example
from demo.tenants.playing import Side
from demo.tenants.targets import ControlTarget, EdgeTarget, Target
from sidecar.common.clock import wall_seconds
from workload.tenancy.check.findings import Finding
from workload.tenancy.check.run import check_database

SOCKET = "app.sock"
READY_SECONDS = 30.0
_SAVED = "SELECT tenant_id, number, item, cents, email_sealed, email_index FROM orders"
_INSERT = (
    "INSERT INTO orders (tenant_id, number, item, cents, email_sealed, email_index) "
    "VALUES (%s, %s, %s, %s, %s, %s)"
)
_END_SESSIONS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid NOT IN (pg_backend_pid(), %s)"
)
_POLL_SECONDS = 0.005


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
        ground = Ground(stack.folder, stack.application_socket, stack.openbao, server)
        process = exits.enter_context(start_example(install(ground)))
        edge = EdgeTarget(stack.ports.https, stack.ca_pem, _tokens(stack), process.pid)
        (port,) = free_ports(1)
        program = exits.enter_context(start_control(server, port))
        control = ControlTarget(port)
        process.wait_until(partial(_answers, edge), READY_SECONDS)
        program.wait_until(partial(_answers, control), READY_SECONDS)
        with server.connect("orders", "orders_owner") as connection:
            findings = check_database(connection)
        protected = exits.enter_context(_side(edge, server, "orders", "orders_app"))
        unprotected = exits.enter_context(_side(control, server, "control", "postgres"))
        yield TenantsWorld(protected, unprotected, findings)


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
            _end_sessions(connection, kept_pid)
            if undo:
                connection.execute(undo.encode())
        with connection.transaction(), connection.cursor() as cursor:
            cursor.execute("DELETE FROM orders")
            cursor.executemany(_INSERT, rows)


def _end_sessions(connection: Connection, kept_pid: int) -> None:
    """End the database's other sessions but one, and see that they have ended."""
    deadline = time.monotonic() + READY_SECONDS
    while connection.execute(_END_SESSIONS, (kept_pid,)).fetchall():
        if time.monotonic() > deadline:
            raise ProcessFault("the control's sessions do not end")
        time.sleep(_POLL_SECONDS)
