"""The component: checkpoints by a real Vault in a real file, its alert, its metrics, its route."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Self

import msgspec
import pytest

from demo.openbao import OpenBao
from sidecar.audit_trail import component
from sidecar.audit_trail.key_store import KeyPlace
from sidecar.audit_trail.signer import read_keys
from sidecar.cli.main import main
from sidecar.common.clock import monotonic_seconds, wall_seconds
from sidecar.config import model
from sidecar.config.load import parse_config
from sidecar.context import AppContext
from sidecar.observability.alerts import Alerts
from sidecar.observability.audit import AuditEntry
from sidecar.observability.audit.checkpoint import Verdict, read_note
from sidecar.observability.component import start_audit
from sidecar.transport.http1_messages import Request, Response
from sidecar.vault.client import VaultClient
from tests.audit_trail.logins import Login
from tests.audit_trail.policies import policy
from tests.config.documents import MINIMAL
from tests.observability.audit.signed_trail import decision, verify
from tests.support.real import NAMESPACE, TokenFile
from tests.support.waiting import until

TENANT = "7f1c9a52-3f0e-4c8e-9f3b-0d7a8f5d2c11"
ROOT = Path(__file__).parents[2]


class Running:
    """The audit log and the component, as the sidecar starts them."""

    def __init__(self, vault: VaultClient, audit: model.Audit) -> None:
        config = parse_config((ROOT / "config.example.yaml").read_text(), "test")
        self.context = AppContext(msgspec.structs.replace(config, audit=audit))
        self.alerts = Alerts(wall_seconds, with_webhook=True)
        self._vault = vault

    async def __aenter__(self) -> Self:
        context = self.context
        self.audit, _ = start_audit(
            context.config.audit,
            context.metrics,
            context.health,
            context.stack,
            context.spawn,
            panels=context.panels,
        )
        await component.start(context, self._vault, self.alerts, self.audit)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.context.stack.aclose()

    def made_one(self) -> bool:
        made = b'septem_audit_checkpoints_total{cause="start"} 1.0'
        return made in self.context.metrics.render()

    async def get(self, path: str) -> Response:
        answer = self.context.routes["GET", path](Request("GET", path, "", b""))
        assert isinstance(answer, Response)
        return answer


def vault_section(server: OpenBao, token: Path) -> str:
    namespace = f", namespace: {NAMESPACE}" if NAMESPACE else ""
    auth = f"{{method: token_file, path: {token}}}"
    return f"vault: {{address: '{server.address}', auth: {auth}{namespace}}}\n"


def personal(subject: str) -> AuditEntry:
    return AuditEntry(
        at=wall_seconds(), decision_id=subject[-1] * 16, outcome="allow", reason="token_verified",
        status=200, route="api", latency_us=42, tenant=TENANT, subject=subject, source="10.9.8.7",
    )  # fmt: skip


@pytest.fixture(scope="module")
def transit(openbao: OpenBao) -> OpenBao:
    openbao.client.sys.enable_secrets_engine("transit", path="transit-e")
    openbao.client.secrets.transit.create_key("audit", key_type="ed25519", mount_point="transit-e")
    return openbao


@pytest.fixture
async def vault(transit: OpenBao, token_file: TokenFile) -> AsyncIterator[VaultClient]:
    allowed = policy("Sidecar: checkpoints").replace("transit/", "transit-e/")
    token_file.write(transit.token_for(allowed, name="audit-component"))
    client = VaultClient(token_file.settings(transit.address), clock=monotonic_seconds)
    yield client
    await client.close()


async def test_a_trail_that_is_written_and_signed_verifies(
    vault: VaultClient, tmp_path: Path
) -> None:
    path, kept = tmp_path / "audit.jsonl", tmp_path / "kept"
    settings = model.Audit(
        to=model.FileAudit(path=str(path)),
        checkpoints=model.CheckpointSettings(key="audit", mount="transit-e", file=str(kept)),
    )
    for number in range(2):
        async with Running(vault, settings) as running:
            assert (await running.get("/audit/checkpoint")).status == 404
            for each in range(20):
                running.audit.append(decision(20 * number + each, wall_seconds()))
            await until(running.made_one, seconds=20)
            running.audit.append(decision(99, wall_seconds()))
            note = read_note((await running.get("/audit/checkpoint")).body.decode())
            assert b"septem_audit_checkpoint_age_seconds" in running.context.metrics.render()
    keys = await read_keys(vault, "transit-e", "audit")
    assert note is not None
    assert note.judge(keys.values()) is Verdict.SIGNED
    report = verify(path.read_bytes(), keys=list(keys.values()), now=wall_seconds())
    assert not report.findings
    (trail,) = report.trails
    assert trail.checkpoints == 4
    assert trail.signed_to == trail.last_seq - 1, "the stop signs all but its own line"
    arguments = ["audit", "verify", str(path), "--key", keys[1].vkey, "--checkpoint", str(kept)]
    assert await asyncio.to_thread(main, arguments) == 0
    path.write_bytes(path.read_bytes().replace(b"/api/7", b"/api/8"))
    assert await asyncio.to_thread(main, arguments) == 1


async def test_a_person_is_found_and_forgotten_and_the_trail_still_verifies(
    login: Login, place: KeyPlace, tmp_path: Path, openbao: OpenBao,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    path, config = tmp_path / "audit.jsonl", tmp_path / "sidecar.yaml"
    pseudonyms = model.PseudonymSettings(path=place.path)
    audit = model.Audit(to=model.FileAudit(path=str(path)), pseudonyms=pseudonyms)
    rest = MINIMAL[MINIMAL.index("tokens:") :]
    config.write_text(
        f"{vault_section(openbao, tmp_path / 'unused')}{rest}"
        f"audit: {{pseudonyms: {{path: {place.path}}}}}\n"
    )

    def audit_command(command: str, *more: str) -> int:
        token = login.folder / f"token-{len(login._clients) - 1}"
        given = ["--config", str(config), "--token-file", str(token), *more]
        return main(["audit", command, TENANT, "user-1", *given])

    async with Running(login.client("Sidecar: pseudonyms"), audit) as running:
        assert running.context.refreshed[-1].part == "audit_pseudonyms"
        for _ in range(3):
            running.audit.record(personal("user-1"))
            running.audit.record(personal("user-2"))
        await until(lambda: running.audit.written == 6)
        login.client("Operator: subject")
        assert await asyncio.to_thread(audit_command, "subject", "--address", "10.9.8.7") == 0
        said = dict(line.split(": ") for line in capsys.readouterr().out.splitlines())
        data = path.read_text()
        assert data.count(said["subject"]) == data.count(said["address"]) == 3
        assert "user-" not in data
        assert "10.9.8.7" not in data
        login.client("Operator: forget")
        assert await asyncio.to_thread(audit_command, "forget") == 1
        assert "give --yes" in capsys.readouterr().err
        gone = "127.0.0.1:1"
        assert await asyncio.to_thread(audit_command, "forget", "--yes", "--admin", gone) == 1
        assert f"{gone}: could not be asked" in capsys.readouterr().err
        assert await asyncio.to_thread(audit_command, "forget", "--yes", "--json") == 0
        assert '"deleted": true' in capsys.readouterr().out
        await running.context.refreshers[-1]()
        running.audit.record(personal("user-1"))
        await until(lambda: running.audit.written == 8)
    login.client("Operator: subject")
    assert await asyncio.to_thread(audit_command, "subject") == 0
    again = capsys.readouterr().out
    assert said["subject"] not in again
    assert path.read_text().count(said["subject"]) == 3
    assert "subjects_forgotten" in path.read_text()
    assert await asyncio.to_thread(main, ["audit", "verify", str(path)]) == 0
    config.write_text(vault_section(openbao, tmp_path / "unused") + rest)
    assert await asyncio.to_thread(audit_command, "subject") == 1
    assert "has no audit.pseudonyms" in capsys.readouterr().err


async def test_the_keys_are_printed_with_the_sidecars_own_login(
    vault: VaultClient, transit: OpenBao, token_file: TokenFile, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    config = tmp_path / "sidecar.yaml"
    vault_settings = vault_section(transit, token_file.path)
    rest = MINIMAL[MINIMAL.index("tokens:") :]
    config.write_text(
        f"{vault_settings}{rest}audit: {{checkpoints: {{key: audit, mount: transit-e}}}}\n"
    )
    assert await asyncio.to_thread(main, ["audit", "key", "--config", str(config)]) == 0
    keys = await read_keys(vault, "transit-e", "audit")
    assert capsys.readouterr().out.splitlines() == [key.vkey for key in keys.values()]
    config.write_text(vault_settings + rest)
    assert await asyncio.to_thread(main, ["audit", "key", "--config", str(config)]) == 1
    assert "has no audit.checkpoints" in capsys.readouterr().err


async def test_a_file_whose_end_was_changed_is_an_alert(vault: VaultClient, tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    settings = model.Audit(to=model.FileAudit(path=str(path)))
    async with Running(vault, settings) as running:
        for number in range(9):
            running.audit.append(decision(number, wall_seconds()))
        await until(lambda: running.audit.written == 9)
        assert ("GET", "/audit/checkpoint") not in running.context.routes
    path.write_bytes(path.read_bytes().replace(b"/api/4", b"/api/5"))
    async with Running(vault, settings) as running:
        running.audit.append(decision(9, wall_seconds()))
        await until(lambda: running.alerts.queue)
        (event,) = running.alerts.queue
        assert event["data"]["state"] == "chain_broken"
        assert "line 5 does not follow" in event["data"]["message"]
