"""A TLS session that began at one Envoy is resumed at another, before and after a rotation."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from demo.envoyproxy import Envoy
from demo.openbao import OpenBao
from demo.process import free_ports
from sidecar.certificates.managed.store import CertificateStore
from sidecar.common.clock import monotonic_seconds, wall_seconds
from sidecar.config.secrets import SessionTicketKeys
from sidecar.sds import resources
from sidecar.sds.secrets.session_ticket_source import TicketSource
from sidecar.sds.service import SDS_SERVICE, SdsService
from sidecar.sds.stream import SdsEvents
from sidecar.transport.aio import GrpcServer
from sidecar.vault.client import VaultClient
from tests.sds.test_real_ads import config
from tests.support.authorities import Ca, pem
from tests.support.real import TokenFile

pytestmark = pytest.mark.real
POLICY = """\
path "secret/data/tls/tickets"     { capabilities = ["create", "update", "read"] }
path "secret/metadata/tls/tickets" { capabilities = ["create", "update"] }
"""
SETTINGS = SessionTicketKeys(
    name="tickets", path="tls/tickets", rotate_seconds=1000, poll_seconds=100
)
CA = Ca("platform")


class Member:
    """One of the fleet: its own Vault client, SDS and Envoy."""

    def __init__(self, vault: VaultClient) -> None:
        self.now = wall_seconds()
        self.source = TicketSource(SETTINGS, vault, lambda: self.now)
        self.nacks: list[Any] = []
        self.store = CertificateStore(wall_seconds)
        self.service = SdsService(
            self.store,
            SdsEvents(lambda _: None, lambda _: None, lambda *nack: self.nacks.append(nack)),
        )
        self.port = 0

    async def poll(self) -> None:
        fetched = await self.source.fetch()
        self.service.secrets.put(
            resources.session_ticket_keys("tickets", fetched.version, fetched.value)
        )

    async def start(self, stack: AsyncExitStack, folder: Path) -> None:
        for name in ("first", "bad", "last"):
            self.store.put(name, MATERIAL)
        roots = pem(CA.certificate).encode()
        self.service.secrets.put(resources.validation_context("roots", "1", roots))
        await self.poll()
        server = GrpcServer(
            "127.0.0.1:0", SDS_SERVICE, self.service.handlers(), max_message_bytes=4_194_304
        )
        await server.start()
        stack.push_async_callback(server.stop, 1)
        stack.callback(self.service.drain)
        *ports, admin = free_ports(4)
        sds = int(server.bound_address.rpartition(":")[2])
        envoy = await asyncio.to_thread(Envoy, config("DELTA_GRPC", ports, admin, sds), folder)
        stack.push_async_callback(asyncio.to_thread, envoy.stop)
        self.port = ports[0]


MATERIAL = CA.material(dns_names=["app.example"])


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    made = [tmp_path / name for name in ("one", "other")]
    for each in made:
        each.mkdir()
    return made


@pytest.fixture
async def fleet(
    own_openbao: OpenBao, token_file: TokenFile, folders: list[Path]
) -> AsyncIterator[tuple[Member, Member]]:
    token_file.write(own_openbao.token_for(POLICY))
    async with AsyncExitStack() as stack:
        members = []
        for folder in folders:
            vault = VaultClient(token_file.settings(own_openbao.address), clock=monotonic_seconds)
            stack.push_async_callback(vault.close)
            member = Member(vault)
            await member.start(stack, folder)
            members.append(member)
        yield members[0], members[1]


def connect(port: int, context: ssl.SSLContext, session: Any = None) -> tuple[bool, Any]:
    """Return whether the session was resumed, and the session that follows."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=5) as raw,
        context.wrap_socket(raw, server_hostname="app.example", session=session) as tls,
    ):
        return bool(tls.session_reused), tls.session


def client() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    # In 1.2 the ticket is part of the handshake: no waiting for one.
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


async def first_session(member: Member, context: ssl.SSLContext) -> Any:
    for _ in range(200):
        try:
            _, session = await asyncio.to_thread(connect, member.port, context)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            return session
    return pytest.fail("Envoy serves no TLS")


async def test_tickets_of_one_are_good_at_the_other(fleet: tuple[Member, Member]) -> None:
    one, other = fleet
    context = client()
    session = await first_session(one, context)
    assert session.has_ticket
    await first_session(other, context)
    resumed, _ = await asyncio.to_thread(connect, other.port, context, session)
    assert resumed
    for seconds in (800.0, 300.0):  # the next key is made; then it encrypts
        for member in fleet:
            member.now += seconds
            await member.poll()
    await asyncio.sleep(0.5)
    resumed, _ = await asyncio.to_thread(connect, other.port, context, session)
    assert resumed, "the old key still decrypts"
    fresh = await first_session(other, context)
    resumed, _ = await asyncio.to_thread(connect, one.port, context, fresh)
    assert resumed, "and the new one is everywhere"
    for seconds in (1000.0, 100.0, 900.0, 1100.0):
        for member in fleet:
            member.now += seconds
            await member.poll()
    await asyncio.sleep(0.5)
    resumed, _ = await asyncio.to_thread(connect, other.port, context, session)
    assert not resumed, "a key that was rotated away twice opens nothing"
    assert one.nacks == other.nacks == []
