"""The SQL that protects tables in the server, the SQL that undoes it, and a tenant's user. Pure.

Each table has one condition, that its tenant is the one in the setting ``SQL_tenant_id``. It
stands in a permissive policy, and in a restrictive one so that no other policy widens it; a third
policy shows everybody else nothing. Row policies judge what is read; what is written is judged by
a CHECK constraint of the same condition. Without the setting both end the statement.

Anybody may set a setting, in the text of a query too (``SETTINGS SQL_tenant_id = …``). So each
tenant has a user whose setting is ``CONST``: the server then refuses to change it.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from workload.settings import SettingsFault
from workload.tenancy.clickhouse.logins import TenantLogins
from workload.tenancy.clickhouse.names import (
    ClickHouseTable,
    checked_name,
    quote_name,
    quote_text,
)

SETTING = "SQL_tenant_id"
"""Its prefix is what ``custom_settings_prefixes`` of ClickHouse's own configuration allows."""
PINNED = {
    "allow_ddl": 0,
    "allow_introspection_functions": 0,
    "query_cache_share_between_users": 0,
    "optimize_using_constraints": 0,
    "log_queries": 1,
}
"""Settings that a tenant's user can't change: no DDL, no result of another user's from the cache,
no condition that is optimised away because the constraint says it, no query that is not logged."""


class ClickHouseProtection(NamedTuple):
    """What to protect: tenants' tables for one role. ``readers`` are roles that see every tenant.

    ``shared`` are tables without tenants that the role may read. Without ``checked`` no CHECK
    constraint is added: for tables that others fill without the setting.
    """

    tables: tuple[ClickHouseTable, ...]
    role: str
    column: str = "tenant_id"
    type: Literal["uuid", "text"] = "uuid"
    shared: tuple[ClickHouseTable, ...] = ()
    readers: tuple[str, ...] = ()
    checked: bool = True

    def up(self) -> str:
        """Return the migration; run again it changes nothing. Raises ``SettingsFault``."""
        self._check()
        role, profile = quote_name(self.role), quote_name(profile_of(self.role))
        pinned = ", ".join(f"{name} = {value} CONST" for name, value in PINNED.items())
        statements = [
            f"CREATE ROLE IF NOT EXISTS {role}",
            f"CREATE SETTINGS PROFILE OR REPLACE {profile} SETTINGS {pinned} TO {role}",
        ]
        for table in self.tables:
            statements += self._protected(table)
        statements += [f"GRANT SELECT ON {table} TO {role}" for table in self.shared]
        return _joined(statements)

    def down(self) -> str:
        """Return what undoes it; the role, its profile and users stay. Raises ``SettingsFault``."""
        self._check()
        statements = []
        for table in self.tables:
            statements += [f"REVOKE ALL ON {table} FROM {quote_name(self.role)}"]
            statements += [f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS septem_tenant"]
            statements += [
                f"DROP ROW POLICY IF EXISTS {name} ON {table}"
                for name in ("septem_all", "septem_tenant", "septem_tenant_only", "septem_nobody")
            ]
        return _joined(statements)

    def condition(self) -> str:
        """Return the expression of the policies and constraints.

        A setting that is no UUID gives NULL, which equals nothing; an empty tenant is nobody's.
        """
        column, setting = quote_name(self.column), f"getSetting('{SETTING}')"
        if self.type == "uuid":
            return f"{column} = toUUIDOrNull({setting})"
        return f"({column} = {setting}) AND ({column} != '')"

    def _protected(self, table: ClickHouseTable) -> list[str]:
        role, condition = quote_name(self.role), self.condition()
        policy = f"CREATE ROW POLICY OR REPLACE %s ON {table} FOR SELECT USING %s AS %s TO %s"
        readers = ", ".join(quote_name(each) for each in self.readers)
        statements = [
            # First of all, so that nobody sees more while the others are written.
            policy % ("septem_nobody", "0", "PERMISSIVE", "ALL"),
            policy % ("septem_tenant_only", condition, "RESTRICTIVE", role),
            policy % ("septem_tenant", condition, "PERMISSIVE", role),
        ]
        if readers:
            statements.append(policy % ("septem_all", "1", "PERMISSIVE", readers))
        if self.checked:
            statements.append(
                f"ALTER TABLE {table} ADD CONSTRAINT IF NOT EXISTS septem_tenant CHECK {condition}"
            )
        return [
            *statements,
            f"REVOKE ALL ON {table} FROM {role}",
            f"GRANT SELECT, INSERT ON {table} TO {role}",
        ]

    def _check(self) -> None:
        if not self.tables:
            raise SettingsFault("name the tables to protect")
        if self.role in self.readers:
            raise SettingsFault(f"{self.role} is the tenants' role, and reads one tenant alone")
        checked_name(self.column)
        if set(self.tables) & set(self.shared):
            raise SettingsFault("a table is a tenants' or shared, and not both")


def profile_of(role: str) -> str:
    """Return the name of the settings profile that a role's tenants have."""
    return f"{role}_tenants"


def tenant_user(logins: TenantLogins, tenant_id: str) -> str:
    """Return the SQL that makes or renews a tenant's user. Raises ``SettingsFault``.

    It holds the password's SHA-256; the password has 256 bits of a key, so the hash tells nothing.
    """
    login = logins.login(tenant_id)
    user, role = f"`{login.user}`", quote_name(logins.role)
    pinned = f"{SETTING} = {quote_text(logins.tenant(tenant_id))} CONST"
    profile = f"SETTINGS PROFILE {quote_name(profile_of(logins.role))}"
    identified = f"IDENTIFIED WITH sha256_hash BY '{login.hash()}'"
    return _joined(
        [
            f"CREATE USER OR REPLACE {user} {identified} {profile}, {pinned}",
            f"GRANT {role} TO {user}",
            f"SET DEFAULT ROLE {role} TO {user}",
        ]
    )


def tables_of(names: Sequence[str], database: str = "") -> tuple[ClickHouseTable, ...]:
    """Read the names of tables. Raises ``SettingsFault``."""
    return tuple(dict.fromkeys(ClickHouseTable.read(name, database) for name in names))


def _joined(statements: Sequence[str]) -> str:
    return "".join(f"{each};\n" for each in statements)
