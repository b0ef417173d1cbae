"""The same application without the protection: what the table of attacks is held against.

``python -m demo.tenants.control PORT URL``. The routes are those of examples/tenants, and so is
the ``WHERE tenant_id = …`` in them. What is missing: the application believes any header, listens
on TCP, connects as a superuser to tables without policies, and seals every e-mail address with
one key, bound to nothing.
"""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import uvicorn
from sqlalchemy.ext.asyncio import create_async_engine

from demo.cases import OTHER_TENANT, TENANT
from demo.tenants.facts import HOSTS
from examples.tenants.application import routes_of
from examples.tenants.models import CONTACT, field_keys
from examples.tenants.services import Services
from workload.encryption import FieldColumn, KeyScope, RowId, ScopeKeys
from workload.encryption.data_key import KEY_BYTES, FieldKey
from workload.passwords import Passwords
from workload.tenancy.asgi import AsgiApplication, Receive, Scope, Send
from workload.tenancy.context import TenantContext, request_scope

_EVERYBODY = KeyScope("everybody", CONTACT)
_ANYWHERE = FieldColumn("any", "any")
_KNOWN = (TENANT, OTHER_TENANT)


class UnboundKeys(ScopeKeys):
    """One key for every tenant, and values that open in any row."""

    def seal(self, value: bytes, column: FieldColumn, row: RowId) -> bytes:
        """Seal for anywhere."""
        del column, row
        return super().seal(value, _ANYWHERE, 1)

    def open(self, sealed: bytes, column: FieldColumn, row: RowId) -> bytes:
        """Open what was sealed anywhere."""
        del column, row
        return super().open(sealed, _ANYWHERE, 1)


class OneKeyring:
    """The keys, with which the application starts."""

    def __init__(self) -> None:
        material = os.urandom(KEY_BYTES)
        self._keys: dict[KeyScope, ScopeKeys] = {}
        for scope in (_EVERYBODY, _EVERYBODY.for_index()):
            keys = UnboundKeys(scope, lambda: 0.0)
            keys.update({1: FieldKey(1, bytearray(material))}, 1, float("inf"))
            self._keys[scope] = keys

    def loaded(self, scope: KeyScope) -> ScopeKeys:
        """Return the same keys, whoever asks."""
        everybody = KeyScope(_EVERYBODY.tenant, CONTACT, purpose=scope.purpose)
        return self._keys[everybody]

    async def load(self, scope: KeyScope) -> ScopeKeys:
        """Return them to who would wait."""
        return self.loaded(scope)


class Believing:
    """Takes a request's tenant from its host, or else from its header, whoever sends it."""

    def __init__(self, app: AsgiApplication) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection's scope."""
        headers = {name: value.decode("latin-1") for name, value in scope.get("headers", ())}
        named = HOSTS.get(headers.get(b"host", "")) or headers.get(b"x-tenant-id")
        context = TenantContext(named) if named in _KNOWN else None
        with request_scope(context):
            await self._app(scope, receive, send)


@asynccontextmanager
async def open_unprotected(url: str) -> AsyncIterator[Services]:
    """Connect to the one database, without guards."""
    engine = create_async_engine(url, pool_pre_ping=True)
    keyring = OneKeyring()
    field_keys.use(keyring.loaded)
    yield Services(engine, engine, keyring, Passwords())
    await engine.dispose()


def main(port: int, url: str) -> None:
    """Serve on loopback until a signal."""
    application = Believing(routes_of(partial(open_unprotected, url)))
    uvicorn.run(application, port=port, log_level="info")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
