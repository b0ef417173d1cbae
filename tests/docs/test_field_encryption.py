"""The page about field encryption: its policy is the tests', its code runs."""

import re
import textwrap
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from demo.openbao import OpenBao
from tests.support.real import NAMESPACE, TokenFile
from tests.workload.encryption.keys_in_hand import KEK, MOUNT, USER_POLICY
from workload.encryption import KeyScope
from workload.encryption.sql_key_store import key_table
from workload.settings import TokenFileLogin, VaultServer

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/field-encryption.md").read_text()


def blocks(language: str) -> list[str]:
    found = re.findall(rf"^ *```{language}\n(.*?)^ *```", PAGE, re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(block) for block in found]


def test_the_policy_is_the_one_that_the_tests_have() -> None:
    (policy,) = blocks("hcl")
    assert policy.split() == USER_POLICY.replace(MOUNT, "transit").split()
    assert f"transit/keys/{KEK} type=aes256-gcm96 derived=true" in PAGE


@pytest.mark.real
async def test_the_code_of_the_page_runs(
    openbao: OpenBao, token_file: TokenFile, tmp_path: Path
) -> None:
    page: dict[str, Any] = {"__name__": "page"}
    for block in blocks("python"):
        exec(block, page)  # noqa: S102 - the page's own code
    openbao.enable_transit()
    kek = {"type": "aes256-gcm96", "derived": True}
    openbao.client.write_data(f"transit/keys/{KEK}", data=kek)
    token_file.write(openbao.token_for(blocks("hcl")[0], name="page"))
    login = TokenFileLogin(str(token_file.path))
    vault = VaultServer(openbao.address, login, namespace=NAMESPACE)
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'page.db'}")
    try:
        await used(page, vault, engine)
    finally:
        await engine.dispose()


async def used(page: dict[str, Any], vault: VaultServer, engine: AsyncEngine) -> None:
    metadata = page["Base"].metadata
    key_table(metadata)
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    keyring = page["keyring_of"](vault, engine)
    assert await page["round_trip"](keyring, "acme", "1", "a@example.com") == "a@example.com"
    await keyring.load(KeyScope("acme", "contact").for_index())
    page["field_keys"].use(keyring.loaded)
    person = page["Person"]
    async with AsyncSession(engine, expire_on_commit=False) as session:
        session.add(person(id=uuid4(), tenant_id="acme", email="A@example.com"))
        await session.commit()
        query = sa.select(person).where(person.email.equals("acme", "a@EXAMPLE.com"))
        assert (await session.scalars(query)).one().email == "A@example.com"
    await keyring.aclose()
