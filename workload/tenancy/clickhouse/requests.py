"""What a guarded client sends: text, parameters, settings, and whose user. Pure.

The same for the blocking client and the one of asyncio. It takes the tenant from the context, and
nothing is prepared without one; ``without_tenant`` prepares nothing either, for ClickHouse has no
statement that needs no tenant.
"""

import re
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from workload.settings import SettingsFault
from workload.tenancy.clickhouse.guard.queries import QueryGuard
from workload.tenancy.clickhouse.guard.refused import QueryRefused
from workload.tenancy.clickhouse.guard.tables import PARAMETER
from workload.tenancy.clickhouse.logins import TenantLogins
from workload.tenancy.clickhouse.protection import SETTING
from workload.tenancy.context import TenancyFault, current_tenant

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_BOUND = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*):")
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_ALLOWED = """
connect_timeout max_block_size max_bytes_to_read max_execution_time max_memory_usage
max_result_bytes max_result_rows max_rows_to_read max_threads priority receive_timeout
result_overflow_mode timeout_overflow_mode
"""
ALLOWED_SETTINGS = frozenset(_ALLOWED.split())
"""Settings that bound a query and decide nothing of what it reads."""


class ClientUnfit(TenancyFault):
    """A client of clickhouse-connect that would carry something from one tenant to the next."""


class TenantRequests:
    """Prepares the calls of one client."""

    def __init__(self, client: Any, guard: QueryGuard, logins: TenantLogins | None) -> None:
        _check_client(client, sealed=logins is not None)
        if logins is not None and (logins.type == "uuid") != (guard.tables.type == "UUID"):
            raise SettingsFault("the guard's tables and the logins have tenants of other types")
        self._guard = guard
        self._logins = logins

    def query(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None,
        settings: Mapping[str, Any] | None,
    ) -> tuple[str, dict[str, Any]]:
        """Return the text to send and the arguments beside it. Raises ``TenancyFault``."""
        tenant = self._tenant()
        text = self._guard.query(sql)
        given = self._parameters(text, parameters or {})
        if f"{{{PARAMETER}:" in text:
            given[PARAMETER] = tenant
        return text, {"parameters": given or None, **self._whose(tenant, settings)}

    def insert(
        self,
        table: str,
        rows: Iterable[Sequence[Any]],
        columns: Sequence[str],
        types: Sequence[str] | None,
        settings: Mapping[str, Any] | None,
    ) -> dict[str, Any]:
        """Return the arguments of an insert, each row with its tenant. Raises ``TenancyFault``."""
        tenant = self._tenant()
        name, names = self._guard.insert_into(table, columns)
        value = UUID(tenant) if self._guard.tables.type == "UUID" else tenant
        complete = [[*row, value] for row in rows]
        odd = next((row for row in complete if len(row) != len(names)), None)
        if odd is not None:
            raise QueryRefused(f"a row of {len(odd) - 1} values for {len(names) - 1} columns")
        return {
            "table": name.table,
            "database": name.database,
            "data": complete,
            "column_names": names,
            "column_type_names": None if types is None else [*types, self._guard.tables.type],
            **self._whose(tenant, settings),
        }

    def _tenant(self) -> str:
        tenant = current_tenant().tenant_id
        if self._logins is not None:
            return self._logins.tenant(tenant)
        if self._guard.tables.type == "UUID":
            try:
                return str(UUID(tenant))
            except ValueError:
                raise SettingsFault(f"{tenant[:64]!r} is no tenant of the type uuid") from None
        return tenant

    def _parameters(self, text: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Refuse what the driver would write into the text itself, after the guard has seen it."""
        bound = set(_BOUND.findall(text))
        for name in parameters:
            if not _NAME.fullmatch(name) or name == PARAMETER or name not in bound:
                raise QueryRefused(
                    f"the parameter {name!r}, which stands in no {{name:Type}} of the query",
                    remedy="%s and %(name)s are not for guarded queries",
                )
        return dict(parameters)

    def _whose(self, tenant: str, settings: Mapping[str, Any] | None) -> dict[str, Any]:
        chosen = dict(settings or {})
        odd = sorted(chosen.keys() - ALLOWED_SETTINGS)
        if odd:
            raise QueryRefused(f"the setting {odd[0]}", remedy="only bounds of a query may be set")
        if self._logins is None:
            return {"settings": chosen | {SETTING: tenant}}
        login = self._logins.login(tenant)
        basic = b64encode(f"{login.user}:{login.password}".encode()).decode()
        return {"settings": chosen, "transport_settings": {"Authorization": f"Basic {basic}"}}


def _check_client(client: Any, *, sealed: bool) -> None:
    if client.get_client_setting("session_id"):
        raise ClientUnfit(
            "the client has a session, which would carry settings and temporary tables from one "
            "tenant to the next: make it with autogenerate_session_id=False"
        )
    address = urlsplit(client.url)
    if sealed and address.scheme != "https" and address.hostname not in _LOOPBACK:
        raise ClientUnfit(
            "the client would send tenants' passwords over plain HTTP: make it with secure=True"
        )
