"""Both pollers: their start, and what a reload exchanges."""

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from demo.openbao import OpenBao
from sidecar.common.clock import monotonic_seconds
from sidecar.common.errors import Fault
from sidecar.config import parse_config
from sidecar.config.model import Config
from sidecar.context import AppContext
from sidecar.keys.component import start
from sidecar.keys.refresher import KeyView
from sidecar.observability.alerts import Alerts
from sidecar.tokens.jwk import thumbprint
from sidecar.tokens.revocation import Revocations
from sidecar.vault.client import VaultClient
from sidecar.vault.errors import VaultForbidden
from tests.authz.conftest import CONFIG
from tests.support.minting import AUDIENCE, ISSUER, Issuer
from tests.support.real import TokenFile
from tests.support.waiting import until


def context_of(token_file: Path, more: str = "") -> AppContext:
    text = CONFIG.replace("/run/vault/token", str(token_file))
    return AppContext(parse_config(text + more, "test"))


ROWS = [
    ("keys alone", "", ["keys/" + ISSUER]),
    ("keys and revocations", "keys: {revocations: {}}", ["keys/" + ISSUER, "revocations"]),
]


@pytest.mark.parametrize(("more", "parts"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
async def test_a_start_that_reads_nothing_is_refused_with_its_status_shown(
    tmp_path: Path, more: str, parts: list[str]
) -> None:
    context = context_of(tmp_path / "none", more)
    published: list[object] = []
    with pytest.raises(VaultForbidden):
        await start(
            context,
            VaultClient(context.config.vault, clock=monotonic_seconds),
            Alerts(lambda: 0.0, with_webhook=False),
            publish=published.append,
            publish_revocations=lambda *given: published.append(given),
        )
    assert [status.part for status in context.polls] == parts
    assert "cannot be read" in context.polls[-1].problem, "revocations are read first"
    assert published == [], "no Check is answered by what is not known"
    shown = context.metrics.render().decode()
    assert 'septem_key_state{state="init"} 1.0' in shown
    assert ("septem_revocation_state" in shown) is (len(parts) > 1)
    await context.stack.aclose()


POLICY = """
path "secret/data/reload/*" { capabilities = ["read"] }
path "secret/metadata/reload/*" { capabilities = ["read", "list"] }
"""
FIRST = "{source: vault_kv, path: reload/FOLDER-first}"
SECOND = "{source: vault_kv, path: reload/FOLDER-second}"
NEW = "https://new.example"


class Running:
    """Both pollers over a real OpenBao, and what they have published last."""

    def __init__(self, bao: OpenBao, token_file: TokenFile) -> None:
        token_file.write(bao.token_for(POLICY, name="reload"))
        self.bao = bao
        self._token = token_file.path
        self.mark = secrets.token_hex(4)  # entries of its own, whose history no other test has made
        self.first, self.second, self.rotated = (with_thumbprint() for _ in range(3))
        self.put("first", self.first)
        self.put("second", self.second)
        self.kv = bao.client.secrets.kv.v2
        self.kv.create_or_update_secret(f"reload/{self.mark}-list", {"kids": []})
        self.view: KeyView | None = None
        self.revocations: Revocations | None = None
        self.context = AppContext(self.settings(""))

    def put(self, name: str, *issuers: Issuer) -> None:
        self.bao.put_key("".join(map(pem, issuers)), path=f"reload/{self.mark}-{name}")

    def settings(self, more: str, keys: str = FIRST, issuers: str = "") -> Config:
        text = CONFIG.replace("/run/vault/token", str(self._token)).replace(
            "https://vault.internal:8200", self.bao.address
        )
        one = f"{{issuer: {ISSUER}, audiences: [{AUDIENCE}], keys: {keys}}}"
        text = text.replace(f"{{issuer: {ISSUER}, audiences: [{AUDIENCE}]}}", one + issuers) + more
        return parse_config(text.replace("FOLDER", self.mark), "test")

    async def start(self) -> None:
        self.vault = VaultClient(self.context.config.vault, clock=monotonic_seconds)
        await self.vault.login()
        self.context.stack.push_async_callback(self.vault.close)
        self.pollers = await start(
            self.context,
            self.vault,
            Alerts(lambda: 0.0, with_webhook=False),
            publish=lambda view: setattr(self, "view", view),
            publish_revocations=lambda given, _state: setattr(self, "revocations", given),
        )
        self.pollers.start(self.context)

    async def reload(self, config: Config) -> None:
        (prepare,) = self.context.reload_parts
        part = await prepare(config)
        part.adopt()
        self.context.config = config

    @property
    def kids(self) -> set[str]:
        return set() if self.view is None else {key.kid for key in self.view.ring}


def with_thumbprint() -> Issuer:
    issuer = Issuer.generate()
    return Issuer(issuer.private, thumbprint(issuer.private.public_key()))


def pem(issuer: Issuer) -> str:
    form = Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    return issuer.private.private_bytes(*form).decode()


@pytest.fixture
async def running(openbao: OpenBao, token_file: TokenFile) -> AsyncIterator[Running]:
    made = Running(openbao, token_file)
    async with made.context.stack:
        await made.start()
        yield made


SECOND_ISSUER = f", {{issuer: {NEW}, audiences: [api], keys: {SECOND}}}"


@pytest.mark.real
async def test_an_issuer_comes_and_goes_and_the_other_goes_on(running: Running) -> None:
    """Its source is not read again, and a key that was replaced keeps its window."""
    running.put("first", running.rotated)
    await running.pollers.refresh()
    assert running.kids == {running.first.kid, running.rotated.kid}
    (polled,) = running.pollers.keys.plan.polled
    reads = polled.status.outcomes["ok"]
    await running.reload(running.settings("", issuers=SECOND_ISSUER))
    assert running.kids == {running.first.kid, running.rotated.kid, running.second.kid}
    assert running.pollers.keys.plan.polled[0] is polled
    assert polled.status.outcomes["ok"] == reads
    assert {status.part for status in running.context.polls} == {f"keys/{ISSUER}", f"keys/{NEW}"}
    assert f"keys/{NEW}" in running.context.health.facts
    await running.reload(running.settings(""))
    assert running.kids == {running.first.kid, running.rotated.kid}
    assert f"keys/{NEW}" not in running.context.health.facts
    assert [status.part for status in running.context.polls] == [f"keys/{ISSUER}"]


@pytest.mark.real
async def test_other_times_and_denied_kids_apply(running: Running) -> None:
    kid = running.first.kid
    times = f"keys: {{poll_seconds: 0.1, max_age_seconds: 5, denied_kids: [{kid}]}}\n"
    await running.reload(running.settings(times))
    assert running.kids == set()
    (status,) = running.pollers.keys.statuses
    assert status.lifecycle.max_age_seconds == 5
    running.put("first", running.rotated)
    await until(lambda: running.kids == {running.rotated.kid})  # it is polled by itself now


MISSING: list[tuple[str, str, str]] = [
    ("an entry that is not there", "{source: vault_kv, path: reload/none}", ""),
    ("a server that is away", "{source: jwks, url: 'https://127.0.0.1:1/jwks'}", ""),
    ("revocations that may not be read", FIRST, "keys: {revocations: {path: other/list}}\n"),
]


@pytest.mark.real
@pytest.mark.parametrize(("keys", "more"), [r[1:] for r in MISSING], ids=[r[0] for r in MISSING])
async def test_what_can_not_be_read_changes_nothing(running: Running, keys: str, more: str) -> None:
    plan, view = running.pollers.keys.plan, running.view
    with pytest.raises(Fault):
        await running.reload(running.settings(more, keys=keys))
    assert running.pollers.keys.plan is plan
    assert running.view is view
    assert running.pollers.revocations is None
    assert [status.part for status in running.context.polls] == [f"keys/{ISSUER}"]


@pytest.mark.real
async def test_revocations_come_change_and_go(running: Running) -> None:
    kv = running.kv
    kv.create_or_update_secret(f"reload/{running.mark}-list", {"kids": [running.first.kid]})
    settings = "keys: {revocations: {path: reload/FOLDER-list, spread: false, poll_seconds: %s}}\n"
    await running.reload(running.settings(settings % 60))
    assert running.revocations is not None
    assert running.revocations.kids == {running.first.kid}
    assert running.kids == set()
    first = running.pollers.revocations
    await running.reload(running.settings(settings % 0.1))
    assert running.pollers.revocations is first, "another interval is no other list"
    kv.create_or_update_secret(f"reload/{running.mark}-list", {"kids": []})
    await until(lambda: running.kids == {running.first.kid})
    await running.reload(running.settings(""))
    assert running.pollers.revocations is None
    assert len(running.revocations) == 0
    assert "revocations" not in running.context.health.facts
