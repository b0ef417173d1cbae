"""A fleet of sidecars and a real Redis: one limit, whoever asks, whatever becomes of the server."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from sidecar.config.limits import RedisSettings
from sidecar.limits.bucket import Limit
from sidecar.limits.limiter import RateLimiter
from sidecar.limits.policy import LimitsPolicy, RouteLimits
from sidecar.limits.redis_store import FleetShares, PasswordFile, StoreFault, make_client
from tests.support.authorities import Ca, pem
from tests.support.redis_server import RedisServer, redis_server
from tests.support.waiting import until

pytestmark = pytest.mark.real
LIMIT = Limit("tenant", "tenant", 1000, 1, 100)
LOGIN = Limit("login", "login", 5, 60, 5, strict=True)


def policy(*limits: Limit) -> LimitsPolicy:
    by_identity = {each.identity: each for each in (limits or (LIMIT,))}
    return LimitsPolicy({}, RouteLimits(), by_identity, {})


class Sidecar:
    """A limiter and its part in the fleet, driven with real time."""

    def __init__(self, number: int, settings: RedisSettings, *limits: Limit) -> None:
        self.limiter = RateLimiter(policy(*limits), bytes([number]) * 32, shared=True)
        self.changes: list[bool] = []
        self.fleet = FleetShares(
            settings,
            self.limiter,
            member=f"sidecar-{number}",
            now_ns=time.perf_counter_ns,
            on_change=self.changes.append,
        )
        self.asked = self.passed = 0

    def ask(self, tenant: str = "a") -> bool:
        self.asked += 1
        passes = self.limiter.take_tenant(RouteLimits(), tenant, time.perf_counter_ns()) is None
        self.passed += passes
        return passes


async def _end(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def fleet(settings: RedisSettings, size: int, *limits: Limit) -> AsyncIterator[list[Sidecar]]:
    async with AsyncExitStack() as stack:
        sidecars = [Sidecar(number, settings, *limits) for number in range(size)]
        for each in sidecars:
            await each.fleet.start()
            task = asyncio.create_task(each.fleet.run())
            stack.push_async_callback(_end, task)
        yield sidecars


async def load(sidecars: list[Sidecar], seconds: float, per_second: float = 2000.0) -> float:
    """Ask them in turn at a steady rate; return how many passed in a second."""
    began = time.perf_counter()
    before = sum(each.passed for each in sidecars)
    sent = 0
    while (elapsed := time.perf_counter() - began) < seconds:
        while sent < elapsed * per_second:
            sidecars[sent % len(sidecars)].ask()
            sent += 1
        await asyncio.sleep(0.002)
    return (sum(each.passed for each in sidecars) - before) / (time.perf_counter() - began)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as running:
        yield running


def settings_of(server: RedisServer, **others: object) -> RedisSettings:
    return RedisSettings(address=server.address, **others)  # type: ignore[arg-type]


async def test_four_sidecars_let_one_limit_pass_and_none_of_them_starves(
    server: RedisServer,
) -> None:
    async with fleet(settings_of(server), 4) as sidecars:
        await load(sidecars, 0.7)  # the burst is spent, and everybody's demand is known
        for each in sidecars:
            each.passed = 0
        rate = await load(sidecars, 3.0)
    assert rate == pytest.approx(LIMIT.requests, rel=0.05)
    shares = [each.passed / sum(other.passed for other in sidecars) for each in sidecars]
    assert min(shares) > 0.15, shares


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
async def test_while_redis_is_away_each_spends_its_last_share_and_it_comes_back_by_itself(
    server: RedisServer, how: signal.Signals
) -> None:
    async with fleet(settings_of(server, timeout_seconds=0.4), 4) as sidecars:
        await load(sidecars, 0.7)
        server.signal(how)
        rates = [await load(sidecars, 1.2)]
        assert [each.changes for each in sidecars] == [[False]] * 4
        assert all("spends" not in each.fleet.status.problem for each in sidecars)
        assert all(server.address in each.fleet.status.problem for each in sidecars)
        rates.append(await load(sidecars, 1.0))
        if how is signal.SIGKILL:
            server.kill()
            server.start()
        else:
            server.signal(signal.SIGCONT)
        rates.append(await load(sidecars, 1.5))
        await until(lambda: all(each.changes == [False, True] for each in sidecars))
        rates.append(await load(sidecars, 1.5))
    away, still_away, returning, back = rates
    assert [away, still_away, back] == [pytest.approx(LIMIT.requests, rel=0.1)] * 3
    assert returning == pytest.approx(LIMIT.requests, rel=0.2)


async def test_a_check_never_waits_for_a_frozen_redis(server: RedisServer) -> None:
    async with fleet(settings_of(server, timeout_seconds=0.2), 1) as sidecars:
        server.signal(signal.SIGSTOP)
        began = time.perf_counter()
        for _ in range(2000):
            sidecars[0].ask()
        assert time.perf_counter() - began < 1.0
        await until(lambda: sidecars[0].changes == [False])


async def test_the_fleet_agrees_on_one_secret_and_keeps_no_name_in_the_server(
    server: RedisServer,
) -> None:
    tenant = "6b1f2c1e-0000-4000-8000-00000000abcd"
    async with fleet(settings_of(server), 3) as sidecars:
        assert len({each.limiter.secret for each in sidecars}) == 1
        sidecars[0].ask(tenant)
        await until(lambda: sidecars[0].fleet.synced > 0)
        assert sidecars[2].fleet.members == 3
        client = make_client(settings_of(server))
        keys = await client.keys("*")
        await client.aclose()
    assert len(keys) == 3  # the members, the secret, one bucket
    assert all(tenant.encode() not in key for key in keys)


async def test_a_server_that_forgot_everything_gives_no_second_burst(
    server: RedisServer,
) -> None:
    limit = Limit("tenant", "tenant", 10, 1, 500)
    async with fleet(settings_of(server, timeout_seconds=0.2), 2, limit) as sidecars:
        while sum(each.ask() for each in sidecars):
            await asyncio.sleep(0.001)
        server.signal(signal.SIGKILL)
        await until(lambda: [each.changes for each in sidecars] == [[False]] * 2)
        server.kill()
        for each in sidecars:
            each.passed = 0
            each.ask()
        began = time.perf_counter()
        server.start()
        while not all(each.changes == [False, True] for each in sidecars):
            for each in sidecars:
                each.ask()
            await asyncio.sleep(0.01)
        for _ in range(50):
            for each in sidecars:
                each.ask()
            await asyncio.sleep(0.01)
        passed = sum(each.passed for each in sidecars)
        assert passed <= 10 * (time.perf_counter() - began) + 20


async def test_a_script_that_the_server_forgot_is_loaded_again(server: RedisServer) -> None:
    async with fleet(settings_of(server), 1) as sidecars:
        sidecars[0].ask()
        await until(lambda: sidecars[0].fleet.synced == 1)
        client = make_client(settings_of(server))
        await client.script_flush()
        await client.aclose()
        sidecars[0].ask()
        await until(lambda: sidecars[0].fleet.synced == 2)
        assert sidecars[0].changes == []


COMMANDS = (
    "+eval +evalsha +script|load +ping +time +hgetall +hset +hdel +pexpire +zadd "
    "+zremrangebyscore +zcard +set +get"
)
"""What docs/limits.md lists."""


@pytest.mark.parametrize(
    ("commands", "password", "problem"),
    [
        pytest.param(COMMANDS, "s3cret", "", id="what it needs"),
        pytest.param("+ping", "s3cret", "refuses a command", id="too few commands"),
        pytest.param(COMMANDS, "other", "refuses the user or the password", id="another password"),
        pytest.param(COMMANDS, None, "can't be read from", id="no file"),
    ],
)
async def test_tls_with_certificates_a_user_and_a_password_in_a_file(
    tmp_path: Path, commands: str, password: str | None, problem: str
) -> None:
    ca = Ca("the CA of the store")
    files = {"ca": pem(ca.certificate)}
    for name, names in (("server", ["localhost"]), ("client", ["sidecar.example"])):
        certificate, key = ca.leaf(dns_names=names)
        files[name] = pem(certificate)
        files[f"{name}-key"] = key.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        ).decode()
    for name, text in files.items():
        (tmp_path / f"{name}.pem").write_text(text)
    if password is not None:
        (tmp_path / "password").write_text(password + "\n")
    arguments = [
        "--tls-cert-file", str(tmp_path / "server.pem"),
        "--tls-key-file", str(tmp_path / "server-key.pem"),
        "--tls-ca-cert-file", str(tmp_path / "ca.pem"),
        "--user", "default", "off",
        "--user", "septem", "on", ">s3cret", "~septem:limits:*", "-@all", *commands.split(),
    ]  # fmt: skip
    with redis_server(tmp_path, *arguments, tls=True) as server:
        settings = RedisSettings(
            address=f"localhost:{server.port}",
            username="septem",
            password_file=str(tmp_path / "password"),
            tls=True,
            ca_file=str(tmp_path / "ca.pem"),
            certificate_file=str(tmp_path / "client.pem"),
            key_file=str(tmp_path / "client-key.pem"),
            timeout_seconds=5.0,
        )
        sidecar = Sidecar(0, settings)
        sidecar.ask()
        await sidecar.fleet.start()
        assert sidecar.fleet.synced == (0 if problem else 1)
        assert problem in sidecar.fleet.status.problem
        assert bool(problem) == bool(sidecar.fleet.status.problem)
        assert "s3cret" not in sidecar.fleet.status.problem
        await sidecar.fleet.close()


async def test_a_server_of_another_ca_is_not_spoken_to(tmp_path: Path) -> None:
    ca, other = Ca("one"), Ca("other")
    certificate, key = ca.leaf(dns_names=["localhost"])
    (tmp_path / "c.pem").write_text(pem(certificate))
    (tmp_path / "k.pem").write_text(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    )
    (tmp_path / "ca.pem").write_text(pem(other.certificate))
    arguments = [
        "--tls-cert-file", str(tmp_path / "c.pem"), "--tls-key-file", str(tmp_path / "k.pem"),
        "--tls-ca-cert-file", str(tmp_path / "c.pem"), "--tls-auth-clients", "no",
    ]  # fmt: skip
    with redis_server(tmp_path, *arguments, tls=True) as server:
        settings = RedisSettings(
            address=f"localhost:{server.port}", tls=True, ca_file=str(tmp_path / "ca.pem")
        )
        sidecar = Sidecar(0, settings)
        await sidecar.fleet.start()
        assert "does not answer" in sidecar.fleet.status.problem
        await sidecar.fleet.close()


@pytest.mark.parametrize("content", ["", "  \n", "x" * 5000, None])
def test_a_password_s_file_without_one_is_named_and_not_quoted(
    tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "password"
    if content is not None:
        path.write_text(content)
    with pytest.raises(StoreFault) as fault:
        PasswordFile("septem", path).get_credentials()
    assert str(path) in str(fault.value)
    assert "xxx" not in str(fault.value)


async def test_thousands_of_busy_keys_are_shared_and_no_check_waits_long(
    server: RedisServer,
) -> None:
    async with fleet(settings_of(server), 2) as sidecars:
        longest, before = 0.0, time.perf_counter()
        for number in range(30):
            for tenant in range(100):
                sidecars[0].ask(f"{number}-{tenant}")
            await asyncio.sleep(0)
            now = time.perf_counter()
            longest, before = max(longest, now - before), now
        await until(lambda: sidecars[0].fleet.synced >= 3000)
        assert sidecars[0].changes == []
        assert longest < 1.0


async def test_many_keys_do_not_keep_a_sidecar_from_coming_back(server: RedisServer) -> None:
    async with fleet(settings_of(server, timeout_seconds=0.2), 1) as sidecars:
        server.signal(signal.SIGSTOP)
        await until(lambda: sidecars[0].changes == [False])
        for tenant in range(5000):
            sidecars[0].ask(f"{tenant}")
        server.signal(signal.SIGCONT)
        await until(lambda: sidecars[0].changes == [False, True])
