"""What of the login does not show from outside: a full pool, and a hash that becomes newer."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import pytest
from fastapi import HTTPException
from sqlalchemy import update
from sqlalchemy.ext.asyncio import create_async_engine

from examples.tenants.login import Credentials, log_in
from examples.tenants.models import Account, Base
from examples.tenants.services import Services
from tests.support.waiting import until
from tests.workload.passwords.test_service import LEAST, NEWER
from workload.encryption import KeyScope, ScopeKeys
from workload.passwords import HashingPool, Passwords, Verification

EMAIL, GOOD = "a@acme.example", "correct horse battery staple"
GIVEN = Credentials(email=EMAIL, password=GOOD)


class NoKeys:
    async def load(self, scope: KeyScope) -> ScopeKeys:
        raise AssertionError(f"a login needs no keys of fields: {scope}")


@asynccontextmanager
async def login_of(folder: Path, passwords: Passwords) -> AsyncIterator[Services]:
    engine = create_async_engine(f"sqlite+aiosqlite:///{folder / 'accounts.db'}")
    services = Services(engine, engine, NoKeys(), passwords)
    stored = await Passwords(LEAST).hash(GOOD)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with services.accounts.begin() as session:
        session.add(Account(email=EMAIL, tenant_id=UUID(int=1), password_hash=stored))
    yield services
    await engine.dispose()


async def stored_in(services: Services) -> str:
    async with services.accounts() as session:
        account = await session.get(Account, EMAIL)
        assert account is not None
        return account.password_hash


async def test_a_login_makes_an_older_hash_newer(tmp_path: Path) -> None:
    newer = Passwords(NEWER)
    async with login_of(tmp_path, newer) as services:
        before = await stored_in(services)
        assert newer.needs_rehash(before)
        assert (await log_in(GIVEN, services)).tenant_id == UUID(int=1)
        assert not newer.needs_rehash(await stored_in(services))
        assert (await log_in(GIVEN, services)).email == EMAIL


async def test_a_login_does_not_undo_a_change_of_the_password(tmp_path: Path) -> None:
    class ChangedMeanwhile(Passwords):
        async def verify(self, password: str, stored: str | None) -> Verification:
            verified = await super().verify(password, stored)
            async with services.accounts.begin() as session:
                await session.execute(update(Account).values(password_hash="the next one"))
            return verified

    async with login_of(tmp_path, ChangedMeanwhile(NEWER)) as services:
        await log_in(GIVEN, services)
        assert await stored_in(services) == "the next one"


async def test_a_full_pool_is_503_for_any_account(tmp_path: Path) -> None:
    pool = HashingPool(slots=1, max_waiting=0)
    released = threading.Event()
    async with login_of(tmp_path, Passwords(LEAST, pool=pool)) as services:
        held = asyncio.create_task(pool.run(released.wait))
        await until(lambda: pool.load().running)
        answers = []
        for email in (EMAIL, "nobody@acme.example"):
            with pytest.raises(HTTPException) as refused:
                await log_in(Credentials(email=email, password=GOOD), services)
            answers.append((refused.value.status_code, refused.value.headers))
        assert answers == [(503, {"retry-after": "3"})] * 2
        released.set()
        await held
