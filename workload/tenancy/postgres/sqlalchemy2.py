"""SQLAlchemy 2, Core and ORM, sync and async: an engine whose statements run for a tenant.

::

    engine = create_engine("postgresql+psycopg://…")
    guard_engine(engine, binder)     # of an AsyncEngine: guard_engine(engine.sync_engine, binder)
    reset_sessions(engine)           # not through PgBouncer in transaction mode

The drivers are psycopg 3 and asyncpg, which send parameters apart from the text: psycopg2 would
write the seal into the statement, where ``pg_stat_activity`` shows it.
"""

from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.pool import PoolResetState

from workload.tenancy.context import TenancyFault
from workload.tenancy.postgres.binding import (
    RESET_SESSION,
    SET_DOLLAR,
    SET_PERCENT,
    BoundTransaction,
    NoTransaction,
    TenantBinder,
)

_SET = {"psycopg": SET_PERCENT, "psycopg_async": SET_PERCENT, "asyncpg": SET_DOLLAR}
_INFO = "septem_tenancy"
_UNPREPARED: dict[str, dict[str, object]] = {
    "psycopg": {"prepare_threshold": None},
    "psycopg_async": {"prepare_threshold": None},
    "asyncpg": {"prepared_statement_cache_size": 0, "statement_cache_size": 0},
}
"""No cache of prepared statements: injected SQL can give their names to statements of its own,
which the next tenant in the session would run."""


def guard_engine(engine: Engine, binder: TenantBinder) -> None:
    """Guard every connection of ``engine``. Raises ``TenancyFault`` for other drivers.

    ``engine.raw_connection()`` and events of a user's own that run SQL on the DBAPI connection
    are not guarded: without a tenant the policies show them nothing.
    """
    statement = _SET.get(engine.dialect.driver)
    if engine.dialect.name != "postgresql" or statement is None:
        raise TenancyFault(
            f"the tenancy guard knows postgresql+psycopg and postgresql+asyncpg, and not "
            f"{engine.dialect.name}+{engine.dialect.driver}"
        )

    def connect(_dialect: Any, _record: Any, _arguments: Any, named: dict[str, Any]) -> None:
        named.update(_UNPREPARED[engine.dialect.driver])

    def begin(connection: Connection) -> None:
        _refuse_autocommit(connection)
        bound = BoundTransaction()
        needed = bound.needed()
        if needed is not None:
            _run(connection, statement, binder.settings(needed))
            bound.bind(needed)
        connection.info[_INFO] = bound

    def before(connection: Connection, *_: Any) -> None:
        _refuse_autocommit(connection)
        bound = connection.info.get(_INFO)
        if bound is None:
            raise NoTransaction("use engine.begin() or a Session")
        if bound.needed() is not None:
            raise NoTransaction("it has ended; begin another")

    def end(connection: Connection) -> None:
        connection.info.pop(_INFO, None)

    def refuse(*_: Any) -> None:
        raise TenancyFault("two-phase transactions are not guarded; use one-phase ones")

    event.listen(engine, "do_connect", connect)
    event.listen(engine, "begin", begin)
    event.listen(engine, "before_cursor_execute", before)
    event.listen(engine, "commit", end)
    event.listen(engine, "rollback", end)
    event.listen(engine, "begin_twophase", refuse)


def reset_sessions(engine: Engine) -> None:
    """Empty a session (``DISCARD ALL``) whenever its connection goes back to the pool.

    Injected SQL can leave settings, locks and statements in a session for whoever gets it next;
    SQLAlchemy's pool only rolls back. It costs a round trip a check-in. A session that can't be
    emptied is closed.
    """

    def reset(connection: Any, _record: Any, state: PoolResetState) -> None:
        if state.terminate_only or not state.asyncio_safe:
            return  # the pool closes this one
        connection.rollback()
        connection.autocommit = True  # DISCARD ALL runs in no transaction
        try:
            cursor = connection.cursor()
            try:
                cursor.execute(RESET_SESSION)
            finally:
                cursor.close()
        finally:
            connection.autocommit = False

    event.listen(engine, "reset", reset)


def _refuse_autocommit(connection: Connection) -> None:
    if getattr(connection.connection.dbapi_connection, "autocommit", True):
        raise NoTransaction("leave the isolation level AUTOCOMMIT")


def _run(connection: Connection, statement: str, values: tuple[str, str]) -> None:
    cursor = connection.connection.cursor()
    try:
        cursor.execute(statement, values)
    finally:
        cursor.close()
