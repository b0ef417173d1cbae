"""A whole installation is looked at, and each failure that is provoked is the one that is named."""

import signal
from pathlib import Path

import msgspec
import pytest

from demo.openbao import OpenBao
from sidecar.config import model
from sidecar.doctor.diagnosis import CheckOutcome
from sidecar.doctor.vault_server import Capabilities
from tests.doctor.conftest import Make
from tests.doctor.examined import all_lines, allow, examined, failed
from tests.doctor.world import CONFIGURATIONS, fill, running
from tests.support.minting import Issuer

pytestmark = pytest.mark.real
RECEIVER = {"all that is polled": ["audit.to clickhouse"], "a list of domains": ["audit.to otlp"]}
"""What the configurations send audit lines to is not there."""


@pytest.mark.parametrize("name", CONFIGURATIONS)
async def test_where_everything_is_there_nothing_else_fails(
    name: str, make: Make, filled: OpenBao
) -> None:
    config = make(name)
    allow(filled, config, all_lines(config))
    found = await examined(config)
    assert failed(found) == RECEIVER.get(name, [])
    skipped = [each.name for each in found.values() if each.outcome is CheckOutcome.SKIPPED]
    assert skipped == ["running sidecar"]
    assert all(
        bool(each.next_step) is (each.outcome is CheckOutcome.FAILED) for each in found.values()
    )


@pytest.mark.parametrize("name", CONFIGURATIONS)
async def test_each_missing_line_is_named_with_the_line_to_add(
    name: str, make: Make, filled: OpenBao
) -> None:
    """And what is lost without it, where the sidecar serves all the same."""
    config = make(name)
    lines = all_lines(config)
    essential = [each for each in lines if not each.without]
    for line in lines:
        if line.path.startswith("sys/") or "/roles/" in line.path:
            continue
        allow(filled, config, tuple(each for each in lines if each is not line))
        found = (await examined(config))[line.path]
        if line in essential:
            assert found.outcome is CheckOutcome.FAILED
            assert str(line) in found.next_step
        else:
            assert (found.outcome, line.without in found.detail) == (CheckOutcome.OK, True)


async def test_a_token_that_may_not_ask_is_skipped_and_reads_all_the_same(
    make: Make, filled: OpenBao
) -> None:
    config = make("a list of domains")
    lines = tuple(each for each in all_lines(config) if "sidecar doctor" not in each.settings)
    allow(filled, config, tuple(each for each in lines if "/roles/" not in each.path))
    found = await examined(config)
    assert found["capabilities"].outcome is CheckOutcome.SKIPPED
    assert found["secret/data/edge/list"].outcome is CheckOutcome.SKIPPED
    assert found["tokens.issuers[0].keys"].outcome is CheckOutcome.OK
    role = found["issuers[0] role edge"]
    assert (role.outcome, "--with doctor" in role.detail) == (CheckOutcome.SKIPPED, True)


async def test_a_vault_that_is_away_holds_up_nothing_else(make: Make) -> None:
    config = make("a list of domains")
    away = msgspec.structs.replace(config.vault, address="http://127.0.0.1:1")
    found = await examined(msgspec.structs.replace(config, vault=away))
    assert failed(found) == ["vault", "audit.to otlp"]
    assert found["capabilities"].outcome is CheckOutcome.SKIPPED
    assert found[f"listen.admin {config.listen.admin.address}"].outcome is CheckOutcome.OK


async def test_a_login_that_is_refused_is_where_it_ends(
    make: Make, filled: OpenBao, tmp_path: Path
) -> None:
    config = make("a list of domains")
    filled.approle_for('path "x" { capabilities = ["read"] }', name="refused")
    for name in ("role", "secret"):
        (tmp_path / name).write_text("hvs.not-one")
    auth = model.AppRoleAuth(
        role_id_file=str(tmp_path / "role"), secret_id_file=str(tmp_path / "secret")
    )
    vault = msgspec.structs.replace(config.vault, auth=auth)
    found = await examined(msgspec.structs.replace(config, vault=vault))
    assert "vault login" in failed(found)
    assert "auth/approle" in found["vault login"].detail
    assert found["tokens.issuers[0].keys"].outcome is CheckOutcome.SKIPPED
    assert "hvs.not-one" not in str(found)


async def test_a_wrapped_secret_id_is_left_for_the_sidecar(make: Make, tmp_path: Path) -> None:
    """It is good for one login."""
    config = make("a list of domains")
    auth = model.AppRoleAuth(
        role_id_file=str(tmp_path / "role"),
        secret_id_file=str(tmp_path / "secret"),
        secret_id_wrapped=True,
    )
    vault = msgspec.structs.replace(config.vault, auth=auth)
    found = await examined(msgspec.structs.replace(config, vault=vault))
    assert found["vault login"].outcome is CheckOutcome.SKIPPED
    assert found["secret/data/edge/list"].outcome is CheckOutcome.SKIPPED


async def test_a_vault_that_ceases_to_answer_is_waited_for_once(
    make: Make, own_openbao: OpenBao, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make("all that is polled")
    fill(own_openbao, issuer)
    own = msgspec.structs.replace(config.vault, address=own_openbao.address, timeout_seconds=0.2)
    config = msgspec.structs.replace(config, vault=own)
    allow(own_openbao, config, all_lines(config))
    ask = Capabilities.ask

    async def then_freeze(capabilities: Capabilities) -> str:
        said = await ask(capabilities)
        own_openbao.process.signal(signal.SIGSTOP)
        return said

    monkeypatch.setattr(Capabilities, "ask", then_freeze)
    found = await examined(config)
    own_openbao.process.signal(signal.SIGCONT)
    assert failed(found) == ["tokens.issuers[0].keys", "audit.to clickhouse"]
    assert found["tokens.issuers[1].keys"].outcome is CheckOutcome.SKIPPED


async def test_a_dead_token_is_said_by_what_can_not_be_read(make: Make, tmp_path: Path) -> None:
    config = make("a list of domains")
    (tmp_path / "token").write_text("hvs.dead-token")
    found = await examined(config)
    assert "tokens.issuers[0].keys" in failed(found)
    assert "hvs.dead-token" not in str(found)


async def test_a_role_that_is_not_there_or_refuses_a_name(make: Make, filled: OpenBao) -> None:
    config = make("all that is polled")
    allow(filled, config, all_lines(config))
    other = msgspec.structs.replace(config.certificates[0], common_name="edge.other")
    refused = msgspec.structs.replace(config, certificates=(other,))
    name = "issuers[0] role edge"
    found = (await examined(refused))[name]
    assert (found.outcome, "edge.other" in found.detail) == (CheckOutcome.FAILED, True)
    issuer = msgspec.structs.replace(config.issuers[0], role="absent")
    absent = msgspec.structs.replace(config, issuers=(issuer, config.issuers[1]))
    allow(filled, absent, all_lines(absent))
    found = (await examined(absent))["issuers[0] role absent"]
    assert (found.outcome, "has no role absent" in found.detail) == (CheckOutcome.FAILED, True)


async def test_beside_the_sidecar_that_runs(
    make: Make, filled: OpenBao, caplog: pytest.LogCaptureFixture
) -> None:
    config = make("an entry a domain")
    allow(filled, config, all_lines(config))
    async with running(config, caplog) as sidecar:
        assert sidecar.fault == ""
        found = await examined(config)
        assert failed(found) == []
        assert found["running sidecar"].outcome is CheckOutcome.OK
        for address in (config.listen.authz.address, config.listen.admin.address):
            (listener,) = (each for each in found.values() if each.name.endswith(address))
            assert listener.detail == "in use, by the sidecar that runs"
        sidecar.context.health.set_unhealthy("signing-keys", "none verifies")
        found = await examined(config)
        assert failed(found) == ["running sidecar"]
        assert "signing-keys: none verifies" in found["running sidecar"].detail


async def test_keys_that_are_elsewhere_are_looked_at_without_vault(make: Make) -> None:
    config = make("a list of domains")
    keys = model.JwksKeys(url="https://127.0.0.1:1/jwks.json")
    issuer = msgspec.structs.replace(config.tokens.issuers[0], keys=keys)
    tokens = msgspec.structs.replace(config.tokens, issuers=(issuer,))
    away = msgspec.structs.replace(config.vault, address="http://127.0.0.1:1")
    found = await examined(msgspec.structs.replace(config, tokens=tokens, vault=away))
    looked_at = found["tokens.issuers[0].keys"]
    assert (looked_at.outcome, "127.0.0.1:1" in looked_at.detail) == (CheckOutcome.FAILED, True)
