"""``septem tenancy clickhouse``: writes the SQL of the first wall, and tries queries at the second.

It connects to nothing: the SQL goes to ``clickhouse-client``, as an administrator. ``guard``
needs the extra ``clickhouse``.
"""

import argparse
import sys

from workload.settings import SettingsFault
from workload.tenancy.clickhouse.logins import TenantLogins
from workload.tenancy.clickhouse.protection import ClickHouseProtection, tables_of, tenant_user
from workload.tenancy.seal import key_of

_MAX_QUERY = 1 << 20


def add_clickhouse(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommands ``sql``, ``user`` and ``guard``."""
    commands = parser.add_subparsers(dest="action", required=True, metavar="COMMAND")
    sql = commands.add_parser("sql", help="write the migration that protects tables")
    sql.add_argument("tables", nargs="+", metavar="TABLE", help="database.table")
    sql.add_argument("--role", required=True, help="the role of the tenants' users")
    _add_column(sql)
    sql.add_argument("--shared", action="append", default=[], metavar="TABLE", help="readable too")
    sql.add_argument("--reader", action="append", default=[], metavar="ROLE", help="sees them all")
    sql.add_argument("--no-check", action="store_true", help="no CHECK constraint on inserts")
    sql.add_argument("--down", action="store_true", help="write what undoes it")
    user = commands.add_parser("user", help="write the SQL of tenants' users")
    user.add_argument("tenants", nargs="+", metavar="TENANT")
    user.add_argument("--role", required=True, help="the role of the tenants' users")
    user.add_argument("--type", choices=("uuid", "text"), default="uuid", help="of tenants (uuid)")
    user.add_argument("--key-file", required=True, help="read, or written (0600) where it is not")
    guard = commands.add_parser("guard", help="print what the guard makes of standard input")
    guard.add_argument("tables", nargs="+", metavar="TABLE", help="database.table")
    guard.add_argument("--shared", action="append", default=[], metavar="TABLE", help="no tenants'")
    guard.add_argument("--database", default="", help="of tables without one")
    _add_column(guard)


def run_clickhouse(arguments: argparse.Namespace) -> int:
    """Do one subcommand; return the exit status. Raises ``Fault``."""
    action = {"sql": _sql, "user": _user, "guard": _guard}[arguments.action]
    sys.stdout.write(action(arguments))
    return 0


def _add_column(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--column", default="tenant_id", help="the tenant column (tenant_id)")
    parser.add_argument("--type", choices=("uuid", "text"), default="uuid", help="its type (uuid)")


def _sql(arguments: argparse.Namespace) -> str:
    protection = ClickHouseProtection(
        tables_of(arguments.tables),
        arguments.role,
        arguments.column,
        arguments.type,
        tables_of(arguments.shared),
        tuple(arguments.reader),
        checked=not arguments.no_check,
    )
    return protection.down() if arguments.down else protection.up()


def _user(arguments: argparse.Namespace) -> str:
    logins = TenantLogins(key_of(arguments.key_file), arguments.role, arguments.type)
    return "".join(tenant_user(logins, each) for each in arguments.tenants)


def _guard(arguments: argparse.Namespace) -> str:
    try:
        from workload.tenancy.clickhouse.guard.queries import QueryGuard  # noqa: PLC0415 - an extra
    except ImportError:
        raise SettingsFault("sqlglot is missing: install septem-workload[clickhouse]") from None
    from workload.tenancy.clickhouse.guard.tables import GuardedTables  # noqa: PLC0415 - with it

    tables = GuardedTables(
        arguments.tables,
        arguments.shared,
        database=arguments.database,
        column=arguments.column,
        tenant_type=arguments.type,
    )
    return QueryGuard(tables).query(sys.stdin.read(_MAX_QUERY)) + "\n"
