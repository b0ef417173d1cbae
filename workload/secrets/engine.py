"""SQLAlchemy connections as the database user of the moment; needs the extra ``sqlalchemy``."""

from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine

from workload.secrets.database import DatabaseCredentials

_NUMBER = "septem_database_user"
_IS_NEW = "septem_was_just_made"


def follow_credentials(engine: Engine | AsyncEngine, credentials: DatabaseCredentials) -> None:
    """Have an engine connect as ``credentials.current``; its URL names no user.

    A connection that was made as a user before is given back to the pool as it is, and not taken
    out of it again: no statement meets a user that Vault has dropped, as long as none is at work
    for longer than ``overlap_seconds``.
    """
    sync_engine = engine.sync_engine if isinstance(engine, AsyncEngine) else engine

    @event.listens_for(sync_engine, "do_connect")
    def connect(_dialect: Any, record: Any, _arguments: Any, parameters: dict[str, Any]) -> None:
        user = credentials.current
        parameters["user"], parameters["password"] = user.name, user.password.reveal()
        record.info[_NUMBER], record.info[_IS_NEW] = user.number, True

    @event.listens_for(sync_engine, "checkout")
    def check_out(_connection: Any, record: Any, _proxy: Any) -> None:
        # One that was just made is used even if its user was replaced meanwhile: it lives on for
        # the overlap, and the pool tries twice only.
        if record.info.pop(_IS_NEW, False):
            return
        if record.info.get(_NUMBER) != credentials.current.number:
            raise DisconnectionError("its database user was replaced")
