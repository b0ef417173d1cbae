"""What a transaction is told of its tenant, and when a statement may run. Pure.

Every guard asks the same three questions of a statement, in this order: is there a tenant (or
``without_tenant``), is there a transaction, and is the transaction that tenant's. The settings
are local to the transaction (``set_config(…, true)`` is ``SET LOCAL``), so a pooled connection,
and one of PgBouncer's, carries them no further.
"""

from pathlib import Path
from typing import Self

from workload.clock import Now, wall_seconds
from workload.tenancy.context import Scope, TenancyFault, TenantContext, current_scope
from workload.tenancy.seal import SealKey, read_key

SET_PERCENT = (
    "SELECT set_config('app.tenant_id', %s, true), set_config('app.tenant_seal', %s, true)"
)
SET_DOLLAR = "SELECT set_config('app.tenant_id', $1, true), set_config('app.tenant_seal', $2, true)"
RESET_SESSION = "DISCARD ALL"
"""What leaves nothing of a transaction in its session: settings, temporary tables, cursors."""


class NoTransaction(TenancyFault):
    """A statement outside a transaction: its tenant would end before it began."""

    def __init__(self, how: str) -> None:
        super().__init__(f"no transaction is open, and a tenant holds for one alone: {how}")


class TenantChanged(TenancyFault):
    """The transaction was begun for one tenant, and this code runs for another."""


class TenantBinder:
    """Makes the settings of a transaction.

    ``sealed`` takes the key of ``septem tenancy seal``, or its file; ``unsealed`` is for
    policies of ``septem tenancy sql --unsealed``, which any SQL of the application's role can
    talk round. There is no third.
    """

    def __init__(self, key: SealKey | None, now: Now) -> None:
        self._key = key
        self._now = now

    @classmethod
    def sealed(cls, key: SealKey | str | Path, now: Now = wall_seconds) -> Self:
        """Bind by a key. Raises ``SealKeyUnreadable``."""
        return cls(key if isinstance(key, SealKey) else read_key(key), now)

    @classmethod
    def unsealed(cls) -> Self:
        """Bind without a seal."""
        return cls(None, wall_seconds)

    def settings(self, tenant_id: str) -> tuple[str, str]:
        """Return the values of ``app.tenant_id`` and ``app.tenant_seal``; empty: no tenant."""
        if not tenant_id or self._key is None:
            return tenant_id, ""
        return tenant_id, self._key.seal(tenant_id, self._now())


def tenant_of(scope: Scope) -> str:
    """Return what a transaction is told: the tenant, or nothing for ``without_tenant``."""
    return scope.tenant_id if isinstance(scope, TenantContext) else ""


class BoundTransaction:
    """Which tenant one connection's transaction is bound to, as its guard knows."""

    def __init__(self) -> None:
        self._bound: str | None = None

    def needed(self) -> str | None:
        """Return the tenant to bind the transaction to; ``None`` where it is bound already.

        Raises ``TenantUnknown`` and ``TenantChanged``.
        """
        wanted = tenant_of(current_scope())
        if self._bound is None:
            return wanted
        if self._bound != wanted:
            raise TenantChanged(
                "this transaction was begun for another tenant than the code in it runs for: "
                "commit it first, or take another connection"
            )
        return None

    def bind(self, tenant_id: str) -> None:
        """Note that the settings were made."""
        self._bound = tenant_id

    def end(self) -> None:
        """Note that the transaction has ended."""
        self._bound = None
