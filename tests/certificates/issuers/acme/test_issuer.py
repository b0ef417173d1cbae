"""Certificates from real ACME CAs, proved through a real Envoy: Pebble, and OpenBao's own."""

import asyncio
import base64
import json
import secrets
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest
import pytest_asyncio
from cryptography import x509

from demo.openbao import OpenBao
from sidecar.certificates.challenges.distributed_solver import DistributedSolver
from sidecar.certificates.issuers.acme.extensions import certificate_id
from sidecar.certificates.issuers.acme.faults import AcmeFault
from sidecar.certificates.issuers.acme.issuer import AcmeIssuer
from sidecar.certificates.issuers.base import Order
from sidecar.certificates.issuers.fallback import FallbackIssuer
from sidecar.common.clock import monotonic_seconds, wall_seconds
from sidecar.common.errors import Fault
from sidecar.config import model
from sidecar.config.vault import VaultEntry
from sidecar.vault.client import VaultClient
from tests.support.acme_edge import AcmeEdge, running_edge
from tests.support.acme_proxy import running_proxy
from tests.support.pebble import Pebble, running_pebble
from tests.support.policies import FLEET_POLICY
from tests.support.real import TokenFile

pytestmark = [pytest.mark.real, pytest.mark.asyncio(loop_scope="module")]


ORDER = Order("customer", ("a.customer.example",))


class Setting(NamedTuple):
    """Everything of one test."""

    edge: AcmeEdge
    pebble: Pebble
    vault: VaultClient
    solver: DistributedSolver

    def settings(self, **change: object) -> model.AcmeIssuerSettings:
        settings = {
            "name": "public", "directory": self.pebble.directory, "ca_file": self.pebble.ca_file,
            "account": VaultEntry(path="septem/acme/public"), "agree_to_terms": True, **change,
        }  # fmt: skip
        return model.AcmeIssuerSettings(**settings)  # type: ignore[arg-type]

    def issuer(self, **change: object) -> AcmeIssuer:
        return AcmeIssuer(
            self.settings(**change), self.vault, self.solver, now=wall_seconds, sleep=asyncio.sleep
        )


def make_solver(vault: VaultClient) -> DistributedSolver:
    return DistributedSolver(
        vault, "secret", "septem/certificates/challenges",
        now=wall_seconds, sleep=asyncio.sleep, jitter=lambda: 0.5,
    )  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def setting(
    openbao: OpenBao, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Setting]:
    folder = tmp_path_factory.mktemp("acme")
    token_file = TokenFile(folder / "token")
    token_file.write(openbao.token_for(FLEET_POLICY, name="acme"))
    vault = VaultClient(token_file.settings(openbao.address), clock=monotonic_seconds)
    solver = make_solver(vault)
    async with running_edge(folder, solver) as edge:
        with running_pebble(folder / "pebble", edge.ports.http) as pebble:
            yield Setting(edge, pebble, vault, solver)
    await vault.close()


async def test_a_name_is_proved_at_the_ordinary_edge(setting: Setting, openbao: OpenBao) -> None:
    issuer, before = setting.issuer(), setting.pebble.orders
    material = await issuer.issue(Order("a", ("a.customer.example", "b.customer.example")))
    assert set(material.names) == {"a.customer.example", "b.customer.example"}
    assert setting.pebble.orders == before + 1
    answered = [o for o in setting.edge.outcomes if o.decision.outcome == "challenge_answered"]
    assert {o.decision.host for o in answered} == set(material.names)
    account = openbao.client.secrets.kv.v2.read_secret_version(
        "septem/acme/public", raise_on_deleted_version=True
    )
    assert "BEGIN PRIVATE KEY" in account["data"]["data"]["private_key"]
    listed = openbao.client.secrets.kv.v2.read_secret_version(
        "septem/certificates/challenges", raise_on_deleted_version=True
    )
    assert listed["data"]["data"] == {"challenges": {}}, "nothing is in flight any more"
    again = await setting.issuer().issue(Order("a", ("a.customer.example",), replaces=material))
    assert again.serial != material.serial, "another process has the same account"
    setting.edge.store.put("edge", again)
    context = ssl.create_default_context(cadata=setting.pebble.root_pem())
    for _ in range(100):
        try:
            _, writer = await asyncio.open_connection(
                "127.0.0.1", setting.edge.ports.https, ssl=context,
                server_hostname="a.customer.example",
            )  # fmt: skip
        except OSError:
            await asyncio.sleep(0.05)
            continue
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        assert f"{x509.load_der_x509_certificate(der).serial_number:x}" == again.serial
        break
    else:
        pytest.fail("the certificate is not served")
    assert setting.edge.nacks == []


async def test_a_ca_that_asks_for_an_external_account(
    setting: Setting, openbao: OpenBao, tmp_path: Path
) -> None:
    mac = base64.urlsafe_b64encode(b"m" * 32).rstrip(b"=").decode()
    kv = openbao.client.secrets.kv.v2
    kv.create_or_update_secret("septem/acme/bound-eab", {"kid": "kid-1", "hmac_key": mac})
    with running_pebble(
        tmp_path / "bound", setting.edge.ports.http, external={"kid-1": mac}
    ) as pebble:
        bound = {
            "directory": pebble.directory, "ca_file": pebble.ca_file,
            "account": VaultEntry(path="septem/acme/bound"),
        }  # fmt: skip
        with pytest.raises(AcmeFault) as fault:
            await setting.issuer(**bound).issue(ORDER)
        assert fault.value.problem in {"externalAccountRequired", "malformed"}
        external = VaultEntry(path="septem/acme/bound-eab")
        material = await setting.issuer(**bound, external_account=external).issue(ORDER)
        assert material.names == ORDER.dns_names


async def test_the_sidecar_that_is_asked_need_not_be_the_one_that_ordered(
    setting: Setting,
) -> None:
    other = make_solver(setting.vault)
    issuer = AcmeIssuer(
        setting.settings(), setting.vault, other, now=wall_seconds, sleep=asyncio.sleep
    )
    before = setting.solver.status.outcomes.get("ok", 0)
    await issuer.issue(ORDER)
    after = setting.solver.status.outcomes.get("ok", 0)
    assert after > before, "the edge's own sidecar found the answer in Vault"


async def test_a_name_that_is_not_ours_is_not_proved_and_says_why(setting: Setting) -> None:
    setting.pebble.tell_dns("add-a", host="elsewhere.example", addresses=["127.0.0.77"])
    issuer = setting.issuer()
    with pytest.raises(AcmeFault, match=r"could not verify elsewhere\.example") as fault:
        await issuer.issue(Order("x", ("elsewhere.example",)))
    assert fault.value.retryable
    assert issuer.outcomes == {fault.value.problem: 1}
    assert fault.value.problem in {"connection", "unauthorized", "dns"}


class Refusal(NamedTuple):
    """What a CA refuses, and what is to be made of it."""

    path: str
    problem: str
    status: int
    headers: dict[str, str]
    retryable: bool
    after: float | None


REFUSALS = {
    "rate limit": Refusal(
        "/order-plz", "rateLimited", 429, {"retry_after": "123"}, retryable=True, after=123.0
    ),
    "CAA": Refusal("/order-plz", "caa", 403, {}, retryable=False, after=None),
    "a name it does not issue for": Refusal(
        "/order-plz", "rejectedIdentifier", 400, {}, retryable=False, after=None
    ),
    "its own trouble": Refusal(
        "/order-plz", "serverInternal", 500, {"retry_after": "7"}, retryable=True, after=7.0
    ),
    "terms that changed": Refusal(
        "/sign-me-up", "userActionRequired", 403, {}, retryable=False, after=None
    ),
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS.keys())
async def test_a_ca_that_refuses(
    setting: Setting, refusal: Refusal, caplog: pytest.LogCaptureFixture
) -> None:
    path, problem, status, headers, retryable, after = refusal
    with running_proxy(setting.pebble) as proxy:
        account = VaultEntry(path=f"septem/acme/{problem}")
        issuer = setting.issuer(directory=proxy.directory, account=account)
        proxy.refuse(path, problem, status, **headers)
        with pytest.raises(AcmeFault, match=f"because of {problem}") as fault:
            await issuer.issue(ORDER)
        assert (fault.value.problem, fault.value.retryable) == (problem, retryable)
        assert fault.value.retry_after_seconds == after
        assert issuer.outcomes == {problem: 1}
        assert ("CAA record forbids" in caplog.text) is (problem == "caa")
        assert (await issuer.issue(ORDER)).names == ORDER.dns_names, "and then it does not"


async def test_a_ca_that_asks_to_prove_another_name(setting: Setting) -> None:
    """Nothing is published for a name that nobody ordered, and over dns-01 nothing written."""
    with running_proxy(setting.pebble) as proxy:
        account = VaultEntry(path="septem/acme/another-name")
        issuer = setting.issuer(directory=proxy.directory, account=account)
        proxy.alters = (b"a.customer.example", b"a.someone.example")
        with pytest.raises(AcmeFault, match=r"asks to prove a\.someone\.example, not ordered"):
            await issuer.issue(ORDER)


async def test_a_second_ca_when_the_first_will_not(setting: Setting) -> None:
    with running_proxy(setting.pebble) as proxy:
        first = setting.issuer(
            directory=proxy.directory, account=VaultEntry(path="septem/acme/first")
        )
        both = FallbackIssuer(first, setting.issuer(name="second"))
        proxy.refuse("/order-plz", "rateLimited", 429, retry_after="500")
        assert (await both.issue(ORDER)).names == ORDER.dns_names
        assert both.fell_back == 1
        proxy.refuse("/order-plz", "caa")
        gone = setting.issuer(name="gone", directory="https://127.0.0.1:1/dir")
        with pytest.raises(
            Fault, match=r"caa: .* then the fallback: unreachable: .*cannot be reached"
        ):
            await FallbackIssuer(first, gone).issue(ORDER)


async def test_the_ca_says_when_to_renew_and_learns_what_is_replaced(
    setting: Setting,
) -> None:
    with running_proxy(setting.pebble) as proxy:
        proxy.renewal = {
            "suggestedWindow": {"start": "2030-01-01T00:00:00Z", "end": "2030-01-01T00:00:10Z"}
        }
        issuer = setting.issuer(
            directory=proxy.directory, account=VaultEntry(path="septem/acme/ari")
        )
        material = await issuer.issue(ORDER)
        advice = await issuer.advise(material)
        assert advice is not None
        start = datetime(2030, 1, 1, tzinfo=UTC).timestamp()
        assert start <= (advice.renew_at or 0) <= start + 10
        assert advice.ask_again_at == pytest.approx(wall_seconds() + 4000, abs=10)
        assert proxy.asked == [certificate_id(material.chain_pem)]
        await issuer.issue(ORDER._replace(replaces=material))
        ordered = [body for path, body in proxy.bodies if path == "/order-plz"]
        payload = json.loads(base64.urlsafe_b64decode(ordered[-1]["payload"] + "=="))
        assert payload["replaces"] == certificate_id(material.chain_pem)


async def test_without_advice_there_is_none(setting: Setting) -> None:
    issuer = setting.issuer()
    advice = await issuer.advise(await issuer.issue(ORDER))
    assert advice is not None
    assert advice.renew_at is None


NOT_ORDERED = [
    ("a wildcard", Order("x", ("*.a.example",))),
    ("a URI", Order("x", (), ("spiffe://a/b",))),
]


@pytest.mark.parametrize("order", [n[1] for n in NOT_ORDERED], ids=[n[0] for n in NOT_ORDERED])
async def test_what_http_01_can_not_prove_is_not_ordered(setting: Setting, order: Order) -> None:
    before = setting.pebble.orders
    with pytest.raises(AcmeFault, match=r"which http-01 can't prove|proves host names"):
        await setting.issuer().issue(order)
    assert setting.pebble.orders == before


@pytest_asyncio.fixture(loop_scope="module")
async def port_80(setting: Setting) -> AsyncIterator[str]:
    """An address whose port 80 leads to the edge, for a CA that asks no other port."""
    address = f"127.83.{secrets.randbelow(250) + 1}.{secrets.randbelow(250) + 1}"

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner, outer = await asyncio.open_connection("127.0.0.1", setting.edge.ports.http)
        await asyncio.gather(pump(reader, outer), pump(inner, writer))

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
        writer.close()

    try:
        server = await asyncio.start_server(forward, address, 80)
    except PermissionError:
        pytest.skip("port 80 is not ours to open")
    yield address
    server.close()


async def test_openbao_is_an_acme_ca_too(setting: Setting, port_80: str) -> None:
    setting.pebble.tell_dns("add-a", host="a.customer.example", addresses=[port_80])
    server = OpenBao()
    try:
        root = server.enable_pki(["customer.example"])
        server.enable_acme(setting.pebble.dns_address)
        issuer = setting.issuer(
            directory=f"{server.address}/v1/pki/acme/directory", ca_file=None,
            account=VaultEntry(path="septem/acme/openbao"),
        )  # fmt: skip
        material = await issuer.issue(ORDER)
        again = await issuer.issue(ORDER._replace(replaces=material))
    finally:
        server.stop()
    assert material.names == ORDER.dns_names
    assert again.serial != material.serial
    leaf = x509.load_pem_x509_certificate(material.chain_pem)
    leaf.verify_directly_issued_by(x509.load_pem_x509_certificate(root.encode()))
