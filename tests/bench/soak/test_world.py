"""What the model allows of a request follows the facts: keys, revocations, names, files."""

from bench.soak.policy import TENANTS, Policy
from bench.soak.settings import ISSUERS
from bench.soak.tokens import SigningKey
from bench.soak.world import RISKY, Name, World, identity_of, steadied
from tests.bench.soak.test_oracle import ASK


class Time:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def reasons(world: World, clock: Time, **ask: object) -> set[str]:
    """What would be right for a request that takes half a second."""
    sent = world.sends(ASK._replace(**ask))  # type: ignore[arg-type]
    clock.now += 0.5
    return {each.reason for each in world.right_answers(sent, clock.now)}


def test_a_replaced_key_verifies_until_its_window_ends() -> None:
    clock = Time()
    world = World(clock)
    old, fresh = world.keys[0].current, SigningKey.generate()
    assert reasons(world, clock, credential="old_key") == {"token_verified"}
    clock.now = 10
    world.verifies(fresh.kid).begin(value=True, now=10)
    world.verifies(fresh.kid).settle(11)
    world.verifies(old.kid).begin(value=False, now=40, settled=42)
    world.keys[0].rotate(fresh)
    clock.now = 20
    assert (
        reasons(world, clock) == reasons(world, clock, credential="old_key") == {"token_verified"}
    )
    clock.now = 41
    assert reasons(world, clock, credential="old_key") == {"token_verified", "key_unknown"}
    clock.now = 50
    assert reasons(world, clock, credential="old_key") == {"key_unknown"}
    assert reasons(world, clock) == {"token_verified"}


def test_who_is_revoked_is_refused_and_nobody_else() -> None:
    clock = Time()
    world = World(clock)
    risky = {"credential": "revoked", "number": 1}
    assert identity_of(ASK._replace(**risky)).subject == "risky-1"  # type: ignore[arg-type]
    assert reasons(world, clock, **risky) == {"token_verified"}
    world.revoked(ISSUERS[0], "sub risky-1").begin(value=True, now=clock.now)
    assert reasons(world, clock, **risky) == {"token_verified", "token_revoked"}
    world.revoked(ISSUERS[0], "sub risky-1").settle(clock.now)
    clock.now += 1
    assert reasons(world, clock, **risky) == {"token_revoked"}
    assert reasons(world, clock, **risky | {"issuer": 1}) == {"token_verified"}
    assert reasons(world, clock, **risky | {"number": 1 + RISKY * 2}) == {"token_revoked"}
    assert reasons(world, clock, **risky | {"number": 3}) == {"token_verified"}
    assert reasons(world, clock) == {"token_verified"}


def test_a_name_of_another_tenant_is_refused() -> None:
    clock = Time()
    world = World(clock)
    world.names.append(Name("shop.example", TENANTS[1]))
    assert reasons(world, clock, host=0.9) == {"tenant_mismatch"}
    assert reasons(world, clock, host=0.9, tenant=1) == {"token_verified"}
    assert reasons(world, clock, host=0.1) == {"token_verified"}


def test_both_files_are_right_while_one_takes_the_others_place() -> None:
    clock = Time()
    world = World(clock)
    world.policy.begin(Policy(swing=3), 1)
    clock.now = 2
    assert reasons(world, clock, place="/swing") == {"token_verified", "role_missing"}
    world.policy.settle(3)
    clock.now = 4
    assert reasons(world, clock, place="/swing") == {"role_missing"}


def test_requests_to_a_hot_path_are_the_same_each_time() -> None:
    first, second = (steadied(ASK._replace(place="/api/hot", number=n, tenant=n)) for n in (0, 1))
    assert identity_of(first) == identity_of(second)
    assert (first.path, first.tenant) == (second.path, second.tenant)
