"""Database users of a real OpenBao in a real PostgreSQL, through the life of their leases."""

import re
from pathlib import Path

import pytest

from tests.support.policies import LessPolicy, documented, each_capability_less
from tests.support.real import TokenFile
from tests.workload.secrets.conftest import POLICY, DatabaseWorld, set_max_ttl
from workload.secrets import DatabaseRole, KvEntry, Secrets, SecretsAway, SecretsFault
from workload.secrets.database import DatabaseCredentials
from workload.vault.client import VaultApi
from workload.vault.errors import VaultAway, VaultInvalid, VaultRefuses

pytestmark = pytest.mark.real
SHOP = DatabaseRole("shop")


class Clock:
    """Monotonic seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def leases(world: DatabaseWorld) -> list[str]:
    answer = world.openbao.client.list("sys/leases/lookup/database/creds/shop")
    return [f"database/creds/shop/{each}" for each in answer["data"]["keys"]] if answer else []


def expiry(world: DatabaseWorld, lease: str) -> str:
    answer = world.openbao.client.sys.read_lease(lease)
    return str(answer["data"]["expire_time"])


def credentials(world: DatabaseWorld, role: DatabaseRole, clock: Clock) -> DatabaseCredentials:
    vault = VaultApi(world.server, clock)
    return DatabaseCredentials(vault, role, clock, lambda: 0.0, overlap_seconds=60.0)


async def test_a_user_is_made_and_dropped_with_the_block(world: DatabaseWorld) -> None:
    before = world.users()
    async with Secrets(world.server) as secrets:
        shop = await secrets.database(SHOP)
        user = shop.current
        assert world.users() - before == {user.name}
        with world.postgres.connect(world.database, user.name) as connection:
            assert connection.execute("SELECT count(*) FROM orders").fetchone() == (0,)
        assert user.password.reveal() not in f"{user} {shop!r} {secrets!r}"
        assert await secrets.database(SHOP) is shop
    assert world.users() == before
    with pytest.raises(SecretsAway):
        _ = shop.current


async def test_a_lease_is_renewed_until_its_maximum_and_then_replaced(
    world: DatabaseWorld,
) -> None:
    clock = Clock()
    shop = credentials(world, SHOP, clock)
    await shop.load()
    first = shop.current
    (lease,) = leases(world)
    before = expiry(world, lease)
    clock.now += 2399
    await shop.step()
    assert expiry(world, lease) == before, "too soon"
    clock.now += 2
    await shop.step()
    assert (expiry(world, lease) > before, shop.current) == (True, first)
    set_max_ttl(world.openbao, "2h")  # of which the clock of Vault has spent a moment
    clock.now += 2401
    await shop.step()
    assert shop.current == first
    set_max_ttl(world.openbao, "10m")
    clock.now += 2401
    await shop.step()
    assert shop.current.number == 2
    assert world.users() == {first.name, shop.current.name}
    clock.now += 61
    await shop.step()
    assert world.users() == {shop.current.name}
    await shop.aclose()
    set_max_ttl(world.openbao, "24h")


async def test_a_lease_that_somebody_revoked_is_replaced_at_its_renewal(
    world: DatabaseWorld,
) -> None:
    clock = Clock()
    shop = credentials(world, SHOP, clock)
    await shop.load()
    first = shop.current
    world.openbao.client.sys.revoke_prefix("database/creds/shop")
    clock.now += 2401
    await shop.step()
    assert shop.current.number == 2
    assert world.users() == {shop.current.name} != {first.name}
    await shop.aclose()


async def test_another_token_of_ours_gets_a_user_of_its_own(
    world: DatabaseWorld, token_file: TokenFile
) -> None:
    clock = Clock()
    shop = credentials(world, SHOP, clock)
    await shop.load()
    first = shop.current
    clock.now += 31
    await shop.step()
    assert shop.current == first
    token_file.write(world.openbao.token_for(POLICY, name="shop"))
    clock.now += 31
    await shop.step()
    assert shop.current.number == 2
    assert {first.name, shop.current.name} <= world.users(), "for the overlap, both"
    clock.now += 61
    await shop.step()
    assert first.name not in world.users()
    await shop.aclose()


async def test_while_vault_is_away_the_user_stays_until_its_lease_ends(
    world: DatabaseWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    shop = credentials(world, SHOP, clock)
    await shop.load()
    user = shop.current

    async def away(*_: object) -> None:
        raise VaultAway("nobody answers")

    with monkeypatch.context() as outage:
        outage.setattr(VaultApi, "call", away)
        for _ in range(20):
            clock.now += 150
            await shop.step()
        assert shop.current == user
        clock.now += 601
        await shop.step()
        with pytest.raises(SecretsAway, match="creds/shop has ended"):
            _ = shop.current
    clock.now += 31
    await shop.step()
    assert shop.current.number == 2
    await shop.aclose()


async def test_a_static_role_s_password_is_followed(world: DatabaseWorld) -> None:
    clock = Clock()
    batch = credentials(world, DatabaseRole("batch", static=True), clock)
    await batch.load()
    first = batch.current
    clock.now += 31
    await batch.step()
    assert batch.current == first
    world.openbao.client.write_data("database/rotate-role/batch", data={})
    clock.now += 31
    await batch.step()
    assert (batch.current.name, batch.current.number) == ("batch", 2)
    assert batch.current.password != first.password
    await batch.aclose()


async def test_a_role_that_is_not_there_ends_the_start(world: DatabaseWorld) -> None:
    async with Secrets(world.server) as secrets:
        with pytest.raises(Exception, match="database/creds/nobody"):
            await secrets.database(DatabaseRole("nobody"))


async def test_a_user_is_obtained_where_renewals_are_invalid(
    world: DatabaseWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    shop = credentials(world, SHOP, clock)
    await shop.load()
    call = VaultApi.call

    async def refuses(self: VaultApi, method: str, path: str, body: object = None) -> object:
        if path == "sys/leases/renew":
            raise VaultInvalid("lease not found")
        return await call(self, method, path, body)

    monkeypatch.setattr(VaultApi, "call", refuses)
    clock.now += 2401
    await shop.step()
    assert shop.current.number == 2
    await shop.aclose()


LEASED = {"lease_id": "a", "lease_duration": 60}
USER = {"username": "u", "password": "p"}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({}, "has no lease"),
        ({"lease_id": 1, "lease_duration": 60, "data": USER}, "has no lease"),
        ({"lease_id": "a", "lease_duration": 0, "data": USER}, "has no lease"),
        ({"lease_id": "a", "lease_duration": "60", "data": USER}, "has no lease"),
        (LEASED, "has no data"),
        ({**LEASED, "data": {"username": "u"}}, "no username and password"),
        ({**LEASED, "data": {"username": "", "password": "p"}}, "no username and password"),
    ],
)
async def test_an_answer_of_another_shape_is_a_fault_and_displaces_nobody(
    world: DatabaseWorld, monkeypatch: pytest.MonkeyPatch, answer: dict[str, object], said: str
) -> None:
    async def odd(*_: object) -> dict[str, object]:
        return answer

    clock = Clock()
    shop = credentials(world, SHOP, clock)
    await shop.load()
    user = shop.current
    world.openbao.client.sys.revoke_prefix("database/creds/shop")
    shop._lease = shop._lease and shop._lease._replace(token_changes=0)
    monkeypatch.setattr(VaultApi, "call", odd)
    with pytest.raises(SecretsFault, match=f"database/creds/shop: .*{said}"):
        await shop.load()
    assert shop.current == user


def test_the_policy_of_the_documents() -> None:
    page = (Path(__file__).parents[3] / "docs/secrets.md").read_text()
    (documented,) = re.findall(r"```hcl\n(.*?)```", page, re.DOTALL)
    paths = re.compile(r'path "(\S+)" +{ capabilities = (.*) }')
    asked = {each for each in paths.findall(POLICY) if "static" not in each[0]}
    assert set(paths.findall(documented)) == asked


DOCUMENTED = documented("secrets.md", "database/creds/shop")


async def what_fails(world: DatabaseWorld) -> list[str]:
    """Read an entry, and have a user from its first day to its last; return what went wrong."""
    world.openbao.client.secrets.kv.v2.create_or_update_secret("shop/payment", {"key": "k"})
    before, clock, wrong = world.users(), Clock(), []
    shop = credentials(world, SHOP, clock)
    try:
        async with Secrets(world.server) as secrets:
            await secrets.read(KvEntry("shop/payment"))
        await shop.load()
        first = shop.current
        clock.now += 2401
        await shop.step()
        if shop.current != first:
            wrong.append("the lease was not renewed")
        await shop.aclose()
        if world.users() != before:
            wrong.append("the user was not dropped")
    except VaultRefuses as fault:
        wrong.append(str(fault))
    world.openbao.client.sys.revoke_prefix("database/creds/shop")
    return wrong


async def test_the_documented_policy_is_enough(world: DatabaseWorld, token_file: TokenFile) -> None:
    token_file.write(world.openbao.token_for(DOCUMENTED, name="least"))
    assert await what_fails(world) == []


@pytest.mark.parametrize(
    "less", each_capability_less(DOCUMENTED), ids=lambda less: f"no {less.lacks}"
)
async def test_without_one_capability_something_fails(
    less: LessPolicy, world: DatabaseWorld, token_file: TokenFile
) -> None:
    token_file.write(world.openbao.token_for(less.text, name="least"))
    assert await what_fails(world) != []
