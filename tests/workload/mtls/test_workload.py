"""A Python service with a certificate of a real OpenBao, as the documents show it."""

import asyncio
import re
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

from demo.openbao import OpenBao
from tests.support.real import TokenFile
from tests.workload.mtls.test_context import gets, plain, serving
from workload.mtls import (
    Fault,
    PeerPolicy,
    PkiRole,
    PkiRoots,
    TokenFileLogin,
    Trust,
    VaultServer,
    Workload,
)

pytestmark = pytest.mark.real
POLICY = """\
path "services/sign/service" { capabilities = ["update"] }
"""
PAGE = (Path(__file__).parents[3] / "docs/mtls.md").read_text()
A, B = "spiffe://septemcore/ns/a/sa/api", "spiffe://septemcore/ns/b/sa/api"
ROLE = PkiRole(mount="services", role="service", ttl_seconds=3600)
TRUST = Trust(
    roots=PkiRoots(mounts=("services",), crl=True),
    peers=("spiffe://septemcore/ns/a/*",),
    poll_seconds=1.0,
)


def server_of(openbao: OpenBao, token_file: TokenFile) -> VaultServer:
    return VaultServer(address=openbao.address, login=TokenFileLogin(path=str(token_file.path)))


@pytest.fixture
def vault(own_openbao: OpenBao, token_file: TokenFile) -> VaultServer:
    own_openbao.enable_services()
    token_file.write(own_openbao.token_for(POLICY))
    return server_of(own_openbao, token_file)


async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"hello")
    writer.close()


@pytest.mark.parametrize("factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_the_documented_example(vault: VaultServer, factory: Callable[[], Any]) -> None:
    (example,) = re.findall(r"```python\n(import asyncio\n.*?)```", PAGE, re.DOTALL)
    assert len([line for line in example.splitlines() if line.strip()]) <= 10
    names: dict[str, Any] = {"serve": serve}
    exec(compile(example, "docs/mtls.md", "exec"), names)  # noqa: S102 - our own documentation
    assert (POLICY in PAGE) or all(line in PAGE for line in POLICY.splitlines())
    with asyncio.Runner(loop_factory=factory) as runner:
        assert runner.run(names["main"](vault, ROLE, TRUST)) == b"hello"


def material(me: Workload) -> Any:
    return me.current()[0]


async def test_a_root_is_replaced_under_traffic(own_openbao: OpenBao, vault: VaultServer) -> None:
    async with (
        Workload(vault, ROLE, TRUST, spiffe_id=A) as one,
        Workload(vault, ROLE, TRUST, spiffe_id=A) as other,
        serving(one.server_context()) as port,
    ):
        client = other.client_context()
        old = plain(material(one))
        seen: list[str] = []

        async def load() -> None:
            while True:
                seen.append(await gets(port, client))

        task = asyncio.create_task(load())
        own_openbao.make_root(beside=True)
        async with asyncio.timeout(20):
            while any(me.current()[1].roots_pem.count(b"BEGIN") < 2 for me in (one, other)):
                await asyncio.sleep(0.05)
            own_openbao.client.write("services/config/issuers", default="next")
            before = {me: material(me).serial for me in (one, other)}
            for me in (one, other):
                me.renew_soon()
            while any(material(me).serial == before[me] for me in (one, other)):
                await asyncio.sleep(0.05)
            mount = own_openbao.client.list("services/issuers")["data"]["key_info"]
            (gone,) = [key for key, info in mount.items() if not info["is_default"]]
            own_openbao.client.delete(f"services/issuer/{gone}")
            while any(me.current()[1].roots_pem.count(b"BEGIN") > 1 for me in (one, other)):
                await asyncio.sleep(0.05)
            count = len(seen)
            while len(seen) < count + 20:
                await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert set(seen) == {"ok"}
        assert len(seen) > 20
        assert await gets(port, old) != "ok", "a certificate of the old root is refused"


async def test_a_revoked_certificate_is_refused(own_openbao: OpenBao, vault: VaultServer) -> None:
    async with (
        Workload(vault, ROLE, TRUST, spiffe_id=A) as one,
        Workload(vault, ROLE, TRUST, spiffe_id=A) as thief,
        serving(one.server_context()) as port,
    ):
        stolen: ssl.SSLContext = plain(material(thief))
        assert await gets(port, stolen) == "ok"
        number = material(thief).serial
        number = number.zfill(len(number) + len(number) % 2)
        pairs = ":".join(number[i : i + 2] for i in range(0, len(number), 2))
        own_openbao.client.write("services/revoke", serial_number=pairs)
        async with asyncio.timeout(15):
            while await gets(port, stolen) == "ok":
                await asyncio.sleep(0.1)


async def test_a_role_gives_no_identity_of_another_domain(vault: VaultServer) -> None:
    with pytest.raises(Fault, match="refused as invalid"):
        async with Workload(vault, ROLE, TRUST, spiffe_id="spiffe://evil/ns/a/sa/api"):
            pass


async def test_vault_away_keeps_what_there_is(own_openbao: OpenBao, vault: VaultServer) -> None:
    async with (
        Workload(vault, ROLE, TRUST, spiffe_id=A) as one,
        serving(one.server_context()) as port,
    ):
        client = one.client_context()
        await asyncio.to_thread(own_openbao.stop)
        one.renew_soon()
        async with asyncio.timeout(15):
            while not one.trust.failures_in_a_row:
                assert await gets(port, client) == "ok"
                await asyncio.sleep(0.05)
        assert await gets(port, client) == "ok"
        assert isinstance(client._policy, PeerPolicy)
        assert B not in client._policy.peers
