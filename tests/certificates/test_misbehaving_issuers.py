"""Twenty names while eighteen issuers misbehave in eighteen ways: a real sidecar, a real OpenBao.

``NAMES_OF_EACH=100`` makes it long: so many names at each of them, instead of four.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from envoy_data_plane.envoy.service.discovery.v3 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
)

from demo.openbao import SIDECAR_POLICY, STORE_POLICY, OpenBao
from demo.process import ManagedProcess, fetch_status, free_ports
from sidecar.cli.main import main
from sidecar.sds.resources import SDS_TYPE_URL
from sidecar.sds.service import SDS_SERVICE
from tests.support.minting import Issuer
from tests.support.misbehaving import WAYS, MisbehavingVault, misbehaving
from tests.support.real import TokenFile
from tests.support.waiting import until

pytestmark = pytest.mark.real
NAMES_OF_EACH = int(os.environ.get("NAMES_OF_EACH", "4"))
GOOD = 20
BOUND_SECONDS = 15.0
"""For twenty names of healthy issuers, on a machine that is busy with other tests."""
TIMEOUT_SECONDS = 2.0
"""Of one call to Vault, in the settings of the sidecar."""
POLICY = (
    SIDECAR_POLICY
    + STORE_POLICY
    + "".join(f'path "{way}/sign/edge" {{ capabilities = ["update"] }}\n' for way in WAYS)
)


class Fleet:
    """A sidecar whose issuers are two that are well, and those that are not."""

    def __init__(self, folder: Path, openbao: OpenBao, vault: MisbehavingVault) -> None:
        self.sds, self.admin, authz = free_ports(3)
        self.vault = vault
        token = TokenFile(folder / "token")
        token.write(openbao.token_for(POLICY, name="misbehaving"))
        settings = token.settings(vault.address)
        domains = [
            {"domain": name, "tenant_id": "t", "issuer": issuer}
            for issuer, names in self.names().items()
            for name in names
        ]
        (folder / "domains.json").write_text(json.dumps(domains))
        vault_pki = {"type": "vault_pki", "role": "edge", "crl_poll_seconds": 0}
        config = {
            "listen": {"authz": {"address": f"127.0.0.1:{authz}"},
                       "sds": {"address": f"127.0.0.1:{self.sds}"},
                       "admin": {"address": f"127.0.0.1:{self.admin}"}},
            "vault": {"address": vault.address, "timeout_seconds": TIMEOUT_SECONDS,
                      "auth": {"method": "token_file", "path": str(token.path)},
                      **({"namespace": settings.namespace} if settings.namespace else {})},
            "tokens": {"issuers": [{"issuer": "i", "audiences": ["a"]}]},
            "routes": [{"name": "all", "path_prefix": "/"}],
            "audit": {"to": {"sink": "file", "path": str(folder / "audit.jsonl")}},
            "certificate_store": {"order_seconds": 20},
            "issuers": [{"name": "well", **vault_pki}, {"name": "shared", **vault_pki,
                        "share": True},
                        *({"name": way, "mount": way, **vault_pki} for way in WAYS)],
            "certificates": [{"name": "edge", "issuer": "well", "common_name": "localhost"}],
            "on_demand": {
                "issuer": "well", "orders_per_minute": 60_000, "orders_burst": 1000,
                "registry": {"source": "file", "path": str(folder / "domains.json")},
            },
        }  # fmt: skip
        path = folder / "sidecar.yaml"
        path.write_text(json.dumps(config))
        self.sidecar = ManagedProcess(
            "the sidecar", [sys.executable, "-m", "sidecar", "serve", "--config", str(path)]
        )

    def wait(self) -> None:
        self.sidecar.wait_until(lambda: fetch_status(self.admin, "/readyz") == 200, 60)

    def stop(self) -> None:
        self.sidecar.stop()

    @staticmethod
    def names() -> dict[str, list[str]]:
        half = GOOD // 2
        return {
            "well": [f"w{at}.good.example" for at in range(2 * half)],
            "shared": [f"s{at}.good.example" for at in range(2 * half)],
            **{way: [f"n{at}.{way}.example" for at in range(NAMES_OF_EACH)] for way in WAYS},
        }

    def metrics(self) -> str:
        connection = HTTPConnection("127.0.0.1", self.admin, timeout=10)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        return text

    def rss_mb(self) -> float:
        pid = self.sidecar._process.pid
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with ExitStack() as exits:
        openbao = OpenBao()
        exits.callback(openbao.stop)
        openbao.enable_pki(["localhost", "example"])
        form = Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        openbao.put_key(Issuer.generate().private.public_key().public_bytes(*form).decode())
        vault = exits.enter_context(misbehaving(openbao.address))
        made = Fleet(tmp_path_factory.mktemp("misbehaving"), openbao, vault)
        exits.callback(made.stop)
        made.wait()
        yield made


class Envoy:
    """One delta stream, as an Envoy has it: what came, and what was refused."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self.came: dict[str, float] = {}
        self.refused: set[str] = set()

    async def ask(self, names: Sequence[str]) -> None:
        request = DeltaDiscoveryRequest(type_url=SDS_TYPE_URL, resource_names_subscribe=list(names))
        await self._call.write(bytes(request))

    async def read(self) -> None:
        while (raw := await self._call.read()) is not grpc.aio.EOF:
            answer = DeltaDiscoveryResponse.parse(raw)
            for each in answer.resources:
                self.came[each.name] = time.monotonic()
            self.refused.update(answer.removed_resources)
            await self._call.write(
                bytes(DeltaDiscoveryRequest(type_url=SDS_TYPE_URL, response_nonce=answer.nonce))
            )

    async def within(self, names: Sequence[str], seconds: float) -> float:
        """Return how long it took until the last of these names came."""
        began = time.monotonic()
        await self.ask(names)
        await until(lambda: self.came.keys() >= set(names), seconds)
        return max(self.came[each] for each in names) - began


@asynccontextmanager
async def envoy_of(fleet: Fleet) -> AsyncIterator[Envoy]:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{fleet.sds}") as channel:
        call = channel.stream_stream(f"/{SDS_SERVICE}/DeltaSecrets")()
        envoy = Envoy(call)
        reading = asyncio.create_task(envoy.read())
        yield envoy
        reading.cancel()
        call.cancel()
        await asyncio.gather(reading, return_exceptions=True)


async def test_twenty_names_come_while_all_the_others_misbehave(
    fleet: Fleet, capsys: pytest.CaptureFixture[str]
) -> None:
    names = fleet.names()
    half = GOOD // 2
    bad = [name for way in WAYS for name in names[way]]
    before = fleet.rss_mb()
    async with envoy_of(fleet) as envoy:
        await envoy.within([*names["well"][:half], *names["shared"][:half]], 60)
        await envoy.ask(bad)
        await until(lambda: all(fleet.vault.asked.values()), 30)
        await envoy.within([*names["well"][half:], *names["shared"][half:]], BOUND_SECONDS)
        # What is served is renewed meanwhile, and the sidecar is ready.
        admin = f"127.0.0.1:{fleet.admin}"
        code = await asyncio.to_thread(
            main, ["certs", "renew", "edge", "--wait", "15", "--admin", admin]
        )
        assert code == 0, capsys.readouterr()
        assert fetch_status(fleet.admin, "/readyz") == 200
        # Every one of them ends, each with a reason; none is served.
        await until_refused(envoy, bad)
        assert not envoy.came.keys() & set(bad)
    # Each issuer's four threads may hold an answer of 8 MB each at once, and the allocator some.
    assert fleet.rss_mb() - before < (150 if NAMES_OF_EACH <= 4 else 500), "a flood is not kept"
    said = "\n".join(fleet.sidecar.lines)
    assert "a bug in the sidecar" not in said


async def until_refused(envoy: Envoy, names: Sequence[str]) -> None:
    """Wait until Envoy was told of each name that there is no certificate for it."""
    await until(lambda: envoy.refused >= set(names), 120)


def test_it_ends_at_once_with_orders_that_hang(fleet: Fleet) -> None:
    began = time.monotonic()
    fleet.sidecar.stop()
    assert fleet.sidecar.returncode == 0
    assert time.monotonic() - began < 10
