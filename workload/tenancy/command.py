"""``septem tenancy``: writes the migration, makes the seal's key, checks a live database.

It connects with psycopg (the extra ``postgres``). A password comes from the file that
``PGPASSFILE`` names, and never from the address, which every process of the host can read.
"""

import argparse
import sys
from typing import Any
from urllib.parse import urlsplit

from workload.errors import Fault
from workload.settings import SettingsFault
from workload.tenancy.clickhouse.command import add_clickhouse, run_clickhouse
from workload.tenancy.migration import Protection, tables_of
from workload.tenancy.seal import key_of

EXIT_FOUND = 1
EXIT_UNUSABLE = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommands ``sql``, ``seal``, ``check`` and ``clickhouse``."""
    commands = parser.add_subparsers(dest="subcommand", required=True, metavar="COMMAND")
    sql = commands.add_parser("sql", help="write the migration that protects tables")
    sql.add_argument("tables", nargs="+", metavar="TABLE", help="schema.table, quoted as in SQL")
    sql.add_argument("--role", required=True, help="the application's role; made where it is not")
    sql.add_argument("--column", default="tenant_id", help="the tenant column (tenant_id)")
    sql.add_argument("--type", choices=("uuid", "text"), default="uuid", help="its type (uuid)")
    sql.add_argument(
        "--unsealed",
        action="store_true",
        help="believe app.tenant_id alone: holds back a forgotten WHERE, not injected SQL",
    )
    sql.add_argument(
        "--no-statistics",
        action="append",
        default=[],
        metavar="COLUMN",
        help="keep no planner statistics of it, which EXPLAIN compares guesses with; repeat it",
    )
    sql.add_argument("--down", action="store_true", help="write what undoes it")
    seal = commands.add_parser("seal", help="store the seal's key in the database")
    seal.add_argument("url", metavar="URL", help="postgresql://owner@host/database")
    seal.add_argument("--key-file", required=True, help="read, or written (0600) where it is not")
    seal.add_argument("--retire", action="append", default=[], metavar="KID", help="forget a key")
    check = commands.add_parser("check", help="find what a live database lets through; exit 1")
    check.add_argument("url", metavar="URL", help="postgresql://owner@host/database")
    check.add_argument("--role", action="append", default=[], help="an application's role")
    check.add_argument("--column", default="tenant_id", help="the tenant column (tenant_id)")
    check.add_argument("--unsealed", action="store_true", help="a forgeable tenant is a note")
    check.add_argument(
        "--no-statistics",
        action="append",
        default=[],
        metavar="COLUMN",
        help="statistics of this column are a hole, and not a note; repeat it",
    )
    check.add_argument("--json", action="store_true", help="the findings as JSON")
    add_clickhouse(commands.add_parser("clickhouse", help="the same for ClickHouse"))


def run(arguments: argparse.Namespace) -> int:
    """Do one subcommand; return the exit status: 0, 1 for holes, 2 where it can't be done."""
    try:
        if arguments.subcommand == "sql":
            return _sql(arguments)
        if arguments.subcommand == "clickhouse":
            return run_clickhouse(arguments)
        return (_seal if arguments.subcommand == "seal" else _check)(arguments)
    except Fault as fault:
        print(f"septem: {fault}", file=sys.stderr)
        return EXIT_UNUSABLE


def _sql(arguments: argparse.Namespace) -> int:
    protection = Protection(
        tables_of(arguments.tables),
        arguments.role,
        arguments.column,
        arguments.type,
        sealed=not arguments.unsealed,
        no_statistics=tuple(dict.fromkeys(arguments.no_statistics)),
    )
    sys.stdout.write(protection.down() if arguments.down else protection.up())
    return 0


def _seal(arguments: argparse.Namespace) -> int:
    psycopg = _driver()
    with _connect(arguments.url) as connection:
        key, path = key_of(arguments.key_file), arguments.key_file
        if key.kid in arguments.retire:
            raise SettingsFault(f"{path} holds the key {key.kid}, which is to be retired")
        try:
            with connection.transaction():
                connection.execute(
                    "INSERT INTO septem_tenancy.seal_keys (kid, inner_pad, outer_pad) "
                    "VALUES (%s, %s, %s) ON CONFLICT (kid) DO NOTHING",
                    (key.kid, *key.pads()),
                )
                for kid in arguments.retire:
                    connection.execute(
                        "DELETE FROM septem_tenancy.seal_keys WHERE kid = %s", (kid,)
                    )
        except psycopg.Error as fault:
            raise SettingsFault(
                f"the key could not be stored, as the owner of septem_tenancy (run the SQL of "
                f"septem tenancy sql first): {_first_line(fault)}"
            ) from None
        rows = connection.execute("SELECT kid FROM septem_tenancy.seal_keys ORDER BY 1").fetchall()
    print(f"{path} holds the key {key.kid}; the database has {', '.join(row[0] for row in rows)}")
    return 0


def _check(arguments: argparse.Namespace) -> int:
    psycopg = _driver()
    from workload.tenancy.check.report import as_json, as_text  # noqa: PLC0415 - needs psycopg
    from workload.tenancy.check.run import check_database  # noqa: PLC0415 - needs psycopg

    try:
        with _connect(arguments.url) as connection:
            findings = check_database(
                connection,
                arguments.column,
                arguments.role,
                unsealed=arguments.unsealed,
                no_statistics=arguments.no_statistics,
            )
    except psycopg.Error as fault:
        raise SettingsFault(f"the database refused a question: {_first_line(fault)}") from None
    print(as_json(findings) if arguments.json else as_text(findings), end="")
    return EXIT_FOUND if any(each.severity == "hole" for each in findings) else 0


def _driver() -> Any:
    try:
        import psycopg  # noqa: PLC0415 - an extra: septem tenancy sql needs none
    except ImportError:
        raise SettingsFault("psycopg is missing: install septem-workload[postgres]") from None
    return psycopg


def _connect(url: str) -> Any:
    if not url.startswith(("postgresql://", "postgres://")):
        raise SettingsFault("the database is postgresql://user@host/database")
    try:
        has_password = urlsplit(url).password is not None or "password" in urlsplit(url).query
    except ValueError:
        raise SettingsFault("the database's address is no URL") from None
    if has_password:
        raise SettingsFault(
            "the address holds a password, which every process of this host can read: put it "
            "into a file that PGPASSFILE names, mode 0600 (and change it)"
        )
    psycopg = _driver()
    try:
        return psycopg.connect(url, autocommit=True, connect_timeout=10)
    except psycopg.Error as fault:
        raise SettingsFault(f"no connection to the database: {_first_line(fault)}") from None


def _first_line(fault: Exception) -> str:
    return (str(fault).strip().splitlines() or [type(fault).__name__])[0]
