"""Each policy of the documents is the least: with it all works; without any capability, not.

A real OpenBao, and the code that the policy is for. A line for each path of the sidecar's policy
is held by ``tests/doctor/test_policy.py``; here it is each capability of the lines that have
several, and the policies of applications and operators.
"""

import contextlib
import random
import re
import textwrap
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hvac.exceptions import InvalidPath

from demo.openbao import OpenBao
from sidecar.audit_trail.key_store import KeyPlace, KeyStore
from sidecar.audit_trail.signer import CheckpointSigner
from sidecar.certificates.issuers.acme.account import load_account
from sidecar.certificates.issuers.base import Order
from sidecar.certificates.issuers.shared import SharedIssuer
from sidecar.certificates.issuers.vault_pki import PkiIssuer
from sidecar.common.clock import monotonic_seconds, wall_seconds
from sidecar.config import model
from sidecar.config.secrets import SessionTicketKeys
from sidecar.observability.audit.chain import Head
from sidecar.observability.audit.checkpoint import Checkpoint
from sidecar.sds.secrets.session_ticket_source import TicketSource
from sidecar.vault.client import VaultClient
from sidecar.vault.errors import VaultForbidden
from tests.docs.test_policies import APPLICATIONS, OF_APPLICATIONS
from tests.support.policies import LessPolicy, documented, each_capability_less
from tests.support.real import NAMESPACE, TokenFile, started
from workload.backups.archive import new_label
from workload.backups.policies import JOBS, policy_of_job
from workload.mtls import PkiRole, PkiRoots
from workload.passwords import read_peppers
from workload.settings import KvEntry, TokenFileLogin, VaultServer
from workload.vault.client import VaultApi
from workload.vault.errors import VaultRefuses
from workload.vault.transit import Transit
from workload.x509.csr import make_csr

pytestmark = pytest.mark.real
TENANT, SUBJECT = "7f1c9a52-3f0e-4c8e-9f3b-0d7a8f5d2c11", "user-1234"
PLACE = KeyPlace("secret", "audit/pseudonyms")
MONTHS = timedelta(days=90).total_seconds()


class Behind(VaultClient):
    """A client of a server that does not have an entry's metadata when its data is written.

    Vault takes a write for ``create`` where the metadata is not there. The sidecar makes it first,
    but a standby that lags behind may not have it yet; here it is removed again.
    """

    root: Any = None

    async def _call(self, operation: str, path: str, function: Callable[[Any], Any]) -> Any:
        answer = await super()._call(operation, path, function)
        entry = path.removeprefix("secret/metadata/")
        kv = self.root.secrets.kv.v2
        if operation == "kv_metadata":
            with contextlib.suppress(InvalidPath):
                if kv.read_secret_metadata(entry)["data"]["current_version"] == 0:
                    kv.delete_metadata_and_all_versions(entry)
        return answer


class Later(Behind):
    """A client whose Vault has a clock that is months ahead."""

    async def read_time(self) -> float:
        return await super().read_time() + MONTHS


class Reader:
    """Who has the policy: clients of both kinds, and what they were refused."""

    def __init__(self, openbao: OpenBao, token: TokenFile) -> None:
        self.openbao = openbao
        self.token = token
        self.forbidden: list[str] = []
        self._clients: list[VaultClient] = []

    def sidecar(self, kind: type[Behind] = Behind) -> VaultClient:
        """Return a new client of the sidecar's, which remembers nothing of an earlier one."""
        client = kind(
            self.token.settings(self.openbao.address),
            clock=monotonic_seconds,
            observe=self._observe,
        )
        client.root = self.openbao.client
        self._clients.append(client)
        return client

    def application(self) -> VaultApi:
        login = TokenFileLogin(str(self.token.path))
        return VaultApi(
            VaultServer(self.openbao.address, login, namespace=NAMESPACE), monotonic_seconds
        )

    def _observe(self, operation: str, outcome: str, _seconds: float) -> None:
        if outcome == "VaultForbidden":
            self.forbidden.append(operation)

    async def close(self) -> None:
        for each in self._clients:
            await each.close()


Deed = Callable[[Reader], Awaitable[None]]


async def _get_a_certificate(reader: Reader) -> None:
    name = "spiffe://septemcore/ns/a/sa/api"
    csr = make_csr(ec.generate_private_key(ec.SECP256R1()), (), (name,))
    vault = reader.application()
    await vault.sign(PkiRole("service", mount="services", ttl_seconds=600), csr, (), (name,))
    roots = await vault.read_roots(PkiRoots(("services",), crl=True))
    assert roots.chains
    assert roots.crls


async def _make_and_open_a_data_key(reader: Reader) -> None:
    transit = Transit(reader.application(), "transit")
    key, wrapped = await transit.new_data_key("fields", b"scope")
    assert await transit.unwrap("fields", wrapped, b"scope") == key


async def _read_the_pepper(reader: Reader) -> None:
    await read_peppers(reader.application(), KvEntry("passwords/pepper"))


async def _seal(reader: Reader) -> None:
    await Transit(reader.application(), "transit").new_unbound_data_key("backups")


async def _open(reader: Reader) -> None:
    await Transit(reader.application(), "transit").unwrap("backups", _wrapped(reader), b"")


async def _rewrap(reader: Reader) -> None:
    await Transit(reader.application(), "transit").rewrap("backups", _wrapped(reader), b"")


def _wrapped(reader: Reader) -> str:
    made = reader.openbao.client.write_data("transit/datakey/plaintext/backups", data={})
    return str(made["data"]["ciphertext"])


async def _sign_a_checkpoint(reader: Reader) -> None:
    head = Head(uuid4().hex.encode(), 1, b"00" * 32)
    signer = CheckpointSigner(reader.sidecar(), "transit", "audit")
    await signer.sign(Checkpoint(signer.name, head, "2026-01-01T00:00:00Z", "start"))


async def _keep_pseudonyms(reader: Reader) -> None:
    """Make the keys, read them again with one that was deleted, and let days go."""
    await KeyStore(reader.sidecar(), PLACE, address_days=30).read()
    await KeyStore(_root(reader), PLACE, address_days=30).forget(TENANT, SUBJECT)
    await KeyStore(reader.sidecar(Later), PLACE, address_days=30).read()


async def _find_a_person(reader: Reader) -> None:
    store = KeyStore(_root(reader), PLACE, address_days=30)
    await store.read()
    await store.forget(TENANT, SUBJECT)
    await KeyStore(reader.sidecar(), PLACE, address_days=30).read_only()


async def _forget_a_person_twice(reader: Reader) -> None:
    await KeyStore(_root(reader), PLACE, address_days=30).read()
    for _ in range(2):
        await KeyStore(reader.sidecar(), PLACE, address_days=30).forget(TENANT, SUBJECT)


async def _rotate_tickets(reader: Reader) -> None:
    settings = SessionTicketKeys(name="tickets", path="tls/tickets")
    for seconds in (0, settings.rotate_seconds, 2 * settings.rotate_seconds):
        now = wall_seconds() + seconds
        await TicketSource(settings, reader.sidecar(), partial(float, now)).fetch()


async def _share_certificates(reader: Reader) -> None:
    """Order one, replace it, and replace one that another sidecar has just replaced."""
    name = "shop.septemcore.com"
    pki = model.VaultPkiIssuer(name="internal", role="edge", share=True, ttl_seconds=3600)
    found = None
    for number in range(3):
        vault, waiting = reader.sidecar(), _Waiting()
        inner: Any = PkiIssuer(pki, _root(reader), wall_seconds)
        if number == 2:
            inner = _Overtaken(inner, reader.openbao, f"internal/{name}")
        shared = SharedIssuer(
            inner, model.CertificateStoreSettings(), vault, holder="a",
            now=wall_seconds, clock=waiting.clock, sleep=waiting.sleep, jitter=random.random,
        )  # fmt: skip
        found = await shared.issue(Order(name, (name,), replaces=found))


class _Waiting:
    """Time that passes when somebody waits: for a lease that was not given back, for a retry."""

    def __init__(self) -> None:
        self.waited = 0.0

    def clock(self) -> float:
        return monotonic_seconds() + self.waited

    async def sleep(self, seconds: float) -> None:
        self.waited += seconds


class _Overtaken:
    """An issuer during whose order somebody else writes the entry."""

    def __init__(self, inner: PkiIssuer, openbao: OpenBao, key: str) -> None:
        self._inner, self._kv, self._key = inner, openbao.client.secrets.kv.v2, key
        self.name = inner.name

    async def issue(self, order: Order) -> Any:
        self._kv.create_or_update_secret(f"septem/certificates/certificates/{self._key}", {"a": 1})
        return await self._inner.issue(order)


async def _make_an_account_again(reader: Reader) -> None:
    """Make the account's key, read it, and make another where the entry was deleted."""
    settings = model.AcmeIssuerSettings(
        name="public", directory="https://ca.example/dir", agree_to_terms=True,
        account=model.VaultEntry(path="septem/acme/public"),
    )  # fmt: skip
    for _ in range(2):
        await load_account(settings, reader.sidecar())
        await load_account(settings, reader.sidecar())
        reader.openbao.client.secrets.kv.v2.delete_latest_version_of_secret("septem/acme/public")


def _root(reader: Reader) -> VaultClient:
    """Return a client that may do everything: whoever did something before."""
    file = TokenFile(reader.token.path.with_name("root"))
    file.write(reader.openbao.client.token)
    client = VaultClient(file.settings(reader.openbao.address), clock=monotonic_seconds)
    reader._clients.append(client)
    return client


class Row(NamedTuple):
    """What somebody does, and the policy for it; ``only`` are the paths that the deed is about."""

    name: str
    policy: str
    deed: Deed
    only: str = ""

    def less(self) -> Iterator[LessPolicy]:
        return (each for each in each_capability_less(self.policy) if self.only in each.lacks)


LABEL = new_label("policy", 0)
ROWS = [
    Row("a service's certificate and roots", documented("mtls.md", "services/sign/service"),
        _get_a_certificate),
    Row("data keys", documented("field-encryption.md", "transit/decrypt/fields"),
        _make_and_open_a_data_key),
    Row("the pepper", documented("passwords.md", "secret/data/passwords/pepper"),
        _read_the_pepper),
    *(Row(f"backup {job}", policy_of_job(job, LABEL), {"seal": _seal, "open": _open,
          "rewrap": _rewrap}[job]) for job in JOBS),
    Row("checkpoints", documented("audit.md", "transit/sign/audit"), _sign_a_checkpoint),
    Row("pseudonyms", documented("audit.md", "# Sidecar: pseudonyms"),
        _keep_pseudonyms),
    Row("audit subject", documented("audit.md", "# Operator: subject"), _find_a_person),
    Row("audit forget", documented("audit.md", "# Operator: forget"), _forget_a_person_twice),
    Row("session tickets", documented("mtls.md", "secret/data/tls/tickets"), _rotate_tickets),
    Row("the certificates of a fleet",
        documented("certificates.md", "secret/data/septem/certificates/*"), _share_certificates,
        "/septem/certificates/"),
    Row("an ACME account", documented("certificates.md", "secret/data/septem/acme/public"),
        _make_an_account_again, "/septem/acme/"),
]  # fmt: skip


def test_every_policy_of_applications_and_operators_is_held() -> None:
    held = {row.policy for row in ROWS} | {documented("secrets.md", "database/creds/shop")}
    for page in sorted((Path(__file__).parents[2] / "docs").glob("*.md")):
        for block in re.findall(r"```hcl\n(.*?)```", textwrap.dedent(page.read_text()), re.DOTALL):
            is_sidecars = page.name not in OF_APPLICATIONS and not block.startswith("# Operator")
            if is_sidecars and APPLICATIONS not in block:
                continue  # tests/docs/test_policies.py and tests/doctor/test_policy.py
            assert textwrap.dedent(block) in set(map(textwrap.dedent, held)), (page.name, block)


@pytest.fixture(scope="module")
def vault() -> Iterator[OpenBao]:
    """One server with the mounts, keys and roles that the documents name."""
    server = started(NAMESPACE)
    server.enable_pki(["septemcore.com"])
    server.enable_services()
    server.enable_transit()
    for name, key in {
        "fields": {"type": "aes256-gcm96", "derived": True},
        "backups": {"type": "aes256-gcm96"},
        "audit": {"type": "ed25519"},
    }.items():
        server.client.write_data(f"transit/keys/{name}", data=key)
    yield server
    server.stop()


@pytest.fixture
def reader(vault: OpenBao, token_file: TokenFile) -> Reader:
    remove_entries(vault)
    pepper = {"current": "1", "1": "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="}
    vault.client.secrets.kv.v2.create_or_update_secret("passwords/pepper", pepper)
    return Reader(vault, token_file)


def remove_entries(vault: OpenBao, folder: str = "") -> None:
    """Remove every entry below a folder, with its metadata."""
    kv = vault.client.secrets.kv.v2
    names: list[str] = []
    with contextlib.suppress(InvalidPath):
        names = kv.list_secrets(folder)["data"]["keys"]
    for name in names:
        if name.endswith("/"):
            remove_entries(vault, f"{folder}{name}")
        else:
            kv.delete_metadata_and_all_versions(f"{folder}{name}")


async def _refusals(reader: Reader, row: Row, policy: str) -> list[str]:
    """Do it with a policy; return what was refused."""
    name = f"least-{uuid4().hex[:8]}"
    reader.token.write(reader.openbao.token_for(policy, name=name))
    try:
        await row.deed(reader)
    except (VaultForbidden, VaultRefuses) as fault:
        reader.forbidden.append(str(fault))
    finally:
        await reader.close()
        reader.openbao.client.sys.delete_policy(name)
    return reader.forbidden


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
async def test_the_documented_policy_is_enough(row: Row, reader: Reader) -> None:
    assert await _refusals(reader, row, row.policy) == []


LESS = [(row, less) for row in ROWS for less in row.less()]


@pytest.mark.parametrize(
    ("row", "less"), LESS, ids=[f"{row.name}: no {less.lacks}" for row, less in LESS]
)
async def test_without_one_capability_something_is_refused(
    row: Row, less: LessPolicy, reader: Reader
) -> None:
    assert await _refusals(reader, row, less.text) != []
