"""Starts an act's stack: OpenBao with what the platform keeps in it, Redis, sidecars, Envoy."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bench.soak.application import Application
from bench.soak.connections import Edge, Served
from bench.soak.in_vault import publishers_entry
from bench.soak.plan import Plan
from bench.soak.settings import KEY_PATHS, VAULT_POLICY, Shared, Unit, envoy_settings
from bench.soak.stack import ChangingEnvoy, Said, Sidecar
from bench.soak.tools import Stack
from bench.soak.traffic import Publishers
from bench.soak.world import World
from demo.envoyproxy import EdgePorts
from demo.openbao import OpenBao
from demo.process import free_ports, free_run
from tests.support.redis_server import RedisServer

_REDIS_PASSWORD = "for-loopback-alone"  # noqa: S105 - of a Redis on loopback, gone at the end
_REDIS_USER = (
    "--user", "default", "off", "--user", "septem", "on", f">{_REDIS_PASSWORD}",
    "~septem:limits:*", "resetchannels", "-@all", "+eval", "+evalsha", "+script|load", "+ping",
    "+time", "+hgetall", "+hset", "+hdel", "+pexpire", "+zadd", "+zremrangebyscore", "+zcard",
    "+set", "+get",
)  # fmt: skip


class Starter:
    """Starts the parts; they end with ``exits``. ``log`` gets every line of the sidecars."""

    def __init__(
        self, plan: Plan, folder: Path, world: World, exits: AsyncExitStack, log: list[Said]
    ) -> None:
        self._plan = plan
        self._folder = folder
        self._world = world
        self._exits = exits
        self._log = log

    async def start(self, served: Callable[[Served], None]) -> tuple[Stack, Publishers]:
        """Start everything; ``served`` is told of each certificate that the edge shows."""
        openbao, redis = await self._stores()
        ca_pem = await asyncio.to_thread(openbao.enable_pki, ["soak.example"])
        for path, keys in zip(KEY_PATHS, self._world.keys, strict=True):
            openbao.put_key(keys.current.pem, path=path)
        acme, stranger = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        form = Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        publisher_pem = acme.public_key().public_bytes(*form).decode()
        openbao.put_publishers(publishers_entry(publisher_pem, withdrawn=False))
        openbao.put_revocations({"tokens": []})
        shared = self._shared(openbao, redis)
        sidecars = await self._sidecars(shared)
        application = await self._exits.enter_async_context(Application())
        http, https, admin, nobody = free_ports(4)
        ports = EdgePorts(http, https, admin, application.port, nobody, nobody, nobody)
        units = [each.unit for each in sidecars]
        config = envoy_settings(ports, units, application.calls_port)
        envoy = await asyncio.to_thread(ChangingEnvoy, config, self._folder)
        self._exits.callback(envoy.stop)
        edge = Edge(https, ca_pem, served, self._world.clock)
        stack = Stack(sidecars, envoy, openbao, redis, shared, edge, publisher_pem)
        return stack, Publishers(acme, stranger)

    async def _stores(self) -> tuple[OpenBao, RedisServer]:
        storage = self._folder / "vault"
        storage.mkdir()
        openbao = await asyncio.to_thread(OpenBao, storage)
        self._exits.callback(_stop, openbao)
        redis = RedisServer(self._folder, *_REDIS_USER)
        await asyncio.to_thread(redis.start)
        self._exits.callback(redis.kill)
        return openbao, redis

    async def _sidecars(self, shared: Shared) -> list[Sidecar]:
        sidecars = [self._sidecar(number, shared) for number in range(self._plan.sidecars)]
        for each in sidecars:
            each.write(self._world.policy.newest)
            self._exits.callback(each.stop)
        await asyncio.gather(*(asyncio.to_thread(each.start) for each in sidecars))
        return sidecars

    def _shared(self, openbao: OpenBao, redis: RedisServer) -> Shared:
        token, registry = self._folder / "vault-token", self._folder / "domains.json"
        password = self._folder / "redis-password"
        for path, text in (
            (token, openbao.token_for(VAULT_POLICY)),
            (password, _REDIS_PASSWORD),
        ):
            path.touch(mode=0o600)
            path.write_text(text)
        registry.write_text('{"domains": []}')
        return Shared(
            openbao.address, token, registry, redis.address, password,
            self._plan.dual_key_seconds, self._plan.poll_seconds,
        )  # fmt: skip

    def _sidecar(self, number: int, shared: Shared) -> Sidecar:
        """Make one: the first has workers, the second answers from its main process."""
        workers = 2 if number == 0 else 1
        sds, admin = free_ports(2)
        folder = self._folder / f"sidecar-{number}"
        unit = Unit(number, workers, free_run(workers), sds, admin, folder)
        return Sidecar(unit, shared, self._log)


def _stop(openbao: OpenBao) -> None:
    openbao.stop()  # the process that it has then: a killed one was replaced
