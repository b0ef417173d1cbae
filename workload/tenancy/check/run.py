"""Asks a live database every rule, in one transaction that can write nothing."""

from collections.abc import Sequence
from typing import Any

import psycopg

from workload.errors import Fault
from workload.tenancy.check import code, policies, roles, tables
from workload.tenancy.check.findings import PRELUDE, Finding
from workload.tenancy.check.policies import Policy

_RULES = (*tables.RULES, *roles.RULES, *code.RULES)
_TIMEOUT_MS = 60_000
_FOUND_ROLES = """SELECT DISTINCT g.rolname FROM tenant_tables t, aclexplode(t.relacl) x
JOIN pg_roles g ON g.oid = x.grantee WHERE x.grantee <> t.relowner AND g.rolcanlogin ORDER BY 1"""
_OWNERS = """SELECT DISTINCT o.rolname FROM tenant_tables t JOIN pg_roles o ON o.oid = t.relowner
WHERE o.rolcanlogin ORDER BY 1"""
_KNOWN_ROLES = "SELECT rolname FROM app"
_ABSENT = """SELECT c FROM params, unnest(params.no_statistics) AS c WHERE NOT EXISTS (
  SELECT FROM pg_attribute a JOIN tenant_tables t ON t.oid = a.attrelid
  WHERE a.attname = c AND a.attnum > 0 AND NOT a.attisdropped)"""
_TABLES = "SELECT count(*) FROM tenant_tables"


class CheckFault(Fault):
    """The database can't be checked as it was asked for."""


def check_database(
    connection: "psycopg.Connection[Any]",
    column: str = "tenant_id",
    asked_roles: Sequence[str] = (),
    *,
    unsealed: bool = False,
    no_statistics: Sequence[str] = (),
) -> list[Finding]:
    """Return everything that is found, holes first. Raises ``CheckFault`` and psycopg's errors.

    ``asked_roles`` are the application's; without them, those that log in and were granted
    something on a table with tenants, or where there is none its owners. ``unsealed`` takes a
    tenant that can be forged for a note. Statistics of the columns ``no_statistics`` are holes;
    those of others are notes.
    """
    connection.autocommit = True
    with connection.transaction():
        connection.execute("SET TRANSACTION READ ONLY")
        connection.execute(f"SET LOCAL statement_timeout = {_TIMEOUT_MS}")
        return ask_rules(
            connection, column, asked_roles, unsealed=unsealed, no_statistics=no_statistics
        )


def ask_rules(
    connection: "psycopg.Connection[Any]",
    column: str,
    asked_roles: Sequence[str],
    *,
    unsealed: bool,
    no_statistics: Sequence[str] = (),
) -> list[Finding]:
    """Return what ``check_database`` does, in a transaction that is the caller's."""

    def ask(sql: str, names: Sequence[str]) -> list[tuple[Any, ...]]:
        values = {"column": column, "roles": list(names), "no_statistics": list(no_statistics)}
        return connection.execute((PRELUDE + sql).encode(), values).fetchall()

    # Names are printed with their schema, and no operator of somebody's is called.
    connection.execute("SET LOCAL search_path = pg_catalog")
    names = list(asked_roles) or [str(row[0]) for row in ask(_FOUND_ROLES, ()) or ask(_OWNERS, ())]
    _require(ask, names, column)
    if absent := ask(_ABSENT, names):
        raise CheckFault(f"no table with tenants has a column {absent[0][0]!r} (--no-statistics)")
    found = [rule.found(row) for rule in _RULES for row in ask(rule.sql, names)]
    sealed = ask(policies.FUNCTION_SQL, names)
    judged = policies.judge(
        [Policy(*row) for row in ask(policies.SQL, names)], sealed=bool(sealed and sealed[0][0])
    )
    if unsealed:
        judged = [
            each._replace(severity="note") if each.rule == "tenant_can_be_forged" else each
            for each in judged
        ]
    return sorted({*found, *judged}, key=lambda each: (each.severity, each.rule, each))


def _require(ask: Any, names: Sequence[str], column: str) -> None:
    if not ask(_TABLES, names)[0][0]:
        raise CheckFault(f"no table has a column {column!r}: name the tenant's with --column")
    known = {row[0] for row in ask(_KNOWN_ROLES, names)}
    if set(names) - known:
        raise CheckFault(f"there is no role {sorted(set(names) - known)}")
    if not names:
        raise CheckFault(
            "no role that logs in has been granted a table with tenants, or owns one: name the "
            "application's with --role"
        )
