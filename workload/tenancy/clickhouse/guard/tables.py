"""Which tables a guarded query may name: those of tenants, and those that all tenants share. Pure.

A table that is in neither is refused: a new one is no hole until somebody lists it.
"""

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from workload.settings import SettingsFault
from workload.tenancy.clickhouse.names import ClickHouseTable, checked_name

PARAMETER = "septem_tenant"
"""The query parameter by which the tenant reaches a query; no application's has its name."""
ROWS = "septem_rows"
"""What the guard calls a table where it filters it."""
CTE = "septem_cte_"
TenantType = Literal["uuid", "text"]
_TYPES: Mapping[str, str] = {"uuid": "UUID", "text": "String"}


class TenantTable(NamedTuple):
    """A table with a tenant column, and its columns that ``*`` leaves out but queries may use."""

    name: ClickHouseTable
    extra: tuple[str, ...] = ()


class GuardedTables:
    """The tables of one application, by database and name, as they are spelt.

    ``tenants`` and ``shared`` are ``database.table``, or ``table`` for one of ``database``;
    ``extra`` names columns (MATERIALIZED, ALIAS) by table. Raises ``SettingsFault``.
    """

    def __init__(
        self,
        tenants: Iterable[str],
        shared: Iterable[str] = (),
        *,
        database: str = "",
        column: str = "tenant_id",
        tenant_type: TenantType = "uuid",
        extra: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        self.column = checked_name(column)
        if tenant_type not in _TYPES:
            raise SettingsFault(f"the type {tenant_type!r} is neither uuid nor text")
        self.type = _TYPES[tenant_type]
        self._database = database
        hidden = {self.read(name): columns for name, columns in (extra or {}).items()}
        named = [self.read(each) for each in tenants]
        self.tenants = {
            each: TenantTable(each, tuple(checked_name(one) for one in hidden.pop(each, ())))
            for each in named
        }
        self.shared = frozenset(self.read(each) for each in shared)
        both = sorted(str(each) for each in self.shared & self.tenants.keys())
        if both or hidden:
            wrong = both or sorted(str(each) for each in hidden)
            raise SettingsFault(
                f"{', '.join(wrong)}: a table is a tenants' or shared, and extra columns are a "
                "tenants' table's"
            )
        if not self.tenants:
            raise SettingsFault("name the tables that hold tenants' rows")
        system = [each for each in (*self.tenants, *self.shared) if _is_system(each.database)]
        if system:
            raise SettingsFault(f"{system[0]} belongs to the server, and shows every tenant's")

    def read(self, name: str) -> ClickHouseTable:
        """Read a table's name, of the application's database where it says none."""
        return ClickHouseTable.read(name, self._database)

    def find(self, database: str, table: str) -> ClickHouseTable | None:
        """Return the listed table of that name, or ``None``."""
        found = ClickHouseTable(database or self._database, table)
        return found if found in self.tenants or found in self.shared else None

    def meant(self, database: str, table: str) -> str:
        """Return a name as the server would read it, for a message."""
        return ".".join(each for each in (database or self._database, table) if each)

    @property
    def names(self) -> frozenset[str]:
        """The tables' names without their databases."""
        return frozenset(each.table for each in (*self.tenants, *self.shared))


def _is_system(database: str) -> bool:
    return database.lower() in {"system", "information_schema"}
