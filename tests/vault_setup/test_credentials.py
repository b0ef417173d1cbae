"""What the sidecar logs in with: made once, tried, and replaced only when Vault refuses it."""

from pathlib import Path

import pytest

from demo.openbao import OpenBao
from sidecar.common.clock import monotonic_seconds
from sidecar.common.errors import Fault
from sidecar.config import model
from sidecar.vault.client import VaultClient
from sidecar.vault_setup.component import take
from sidecar.vault_setup.credentials import credential_steps
from sidecar.vault_setup.login import LoginPlan, approle_steps
from sidecar.vault_setup.step import SetupOutcome, SetupResult

PLAN = LoginPlan("filed", "approle", "1h")


@pytest.fixture(autouse=True)
async def role(vault: VaultClient) -> None:
    for step in approle_steps(PLAN):
        await take(step, vault, dry_run=False)


async def taken(
    vault: VaultClient,
    auth: model.VaultAuth,
    folder: Path | None = None,
    *,
    replaces: bool = False,
    dry_run: bool = False,
) -> list[SetupResult]:
    steps = credential_steps(auth, PLAN, folder, tries=not dry_run, replaces=replaces)
    return [await take(step, vault, dry_run=dry_run) for step in steps]


def ids_in(folder: Path, *, wrapped: bool = False) -> model.AppRoleAuth:
    return model.AppRoleAuth(
        role_id_file=str(folder / "role-id"),
        secret_id_file=str(folder / "secret-id"),
        secret_id_wrapped=wrapped,
    )


async def logs_in(shared: OpenBao, auth: model.VaultAuth) -> bool:
    """Whether the sidecar's own client gets in with it."""
    vault = VaultClient(model.Vault(address=shared.address, auth=auth), clock=monotonic_seconds)
    try:
        await vault.login()
    except Fault:
        return False
    finally:
        await vault.close()
    return True


@pytest.mark.real
@pytest.mark.parametrize("wrapped", [False, True])
async def test_the_ids_are_what_the_sidecar_logs_in_with(
    wrapped: bool, vault: VaultClient, shared: OpenBao, folder: Path
) -> None:
    auth = ids_in(folder, wrapped=wrapped)
    (made,) = await taken(vault, auth)
    assert made.outcome is SetupOutcome.MADE
    secret = (folder / "secret-id").read_text()
    assert secret not in str(made)
    (again,) = await taken(vault, auth)
    assert (again.outcome, (folder / "secret-id").read_text()) == (SetupOutcome.THERE, secret)
    assert await logs_in(shared, auth)


@pytest.mark.real
async def test_trying_them_leaves_no_token(
    vault: VaultClient, shared: OpenBao, folder: Path
) -> None:
    auth = ids_in(folder)
    await taken(vault, auth)
    before = len(shared.client.auth.token.list_accessors()["data"]["keys"])
    (tried,) = await taken(vault, auth)
    (planned,) = await taken(vault, auth, dry_run=True)
    assert [each.detail for each in (tried, planned)] == ["Vault takes them", "not tried"]
    assert len(shared.client.auth.token.list_accessors()["data"]["keys"]) == before


@pytest.mark.real
async def test_what_vault_refuses_stays_unless_it_is_to_be_replaced(
    vault: VaultClient, shared: OpenBao, folder: Path
) -> None:
    """As after a development server was started again, which has forgotten everything."""
    auth = ids_in(folder)
    for name in ("role-id", "secret-id"):
        (folder / name).write_text("of-another-server")
    (found,) = await taken(vault, auth)
    assert (found.outcome, "--replace-credentials" in found.detail) == (SetupOutcome.DIFFERS, True)
    assert (folder / "secret-id").read_text() == "of-another-server"
    (planned,) = await taken(vault, auth, replaces=True, dry_run=True)
    assert planned.outcome is SetupOutcome.THERE, "not tried in a dry run"
    (replaced,) = await taken(vault, auth, replaces=True)
    assert replaced.outcome is SetupOutcome.MADE
    assert await logs_in(shared, auth)
    secret = (folder / "secret-id").read_text()
    (kept,) = await taken(vault, auth, replaces=True)
    assert (kept.outcome, (folder / "secret-id").read_text()) == (SetupOutcome.THERE, secret)


@pytest.mark.real
async def test_one_file_that_is_missing_is_made(
    vault: VaultClient, shared: OpenBao, folder: Path
) -> None:
    auth = ids_in(folder)
    await taken(vault, auth)
    role_id = (folder / "role-id").read_text()
    (folder / "secret-id").unlink()
    (made,) = await taken(vault, auth)
    assert (made.outcome, (folder / "role-id").read_text()) == (SetupOutcome.MADE, role_id)
    assert await logs_in(shared, auth)


@pytest.mark.real
async def test_a_token_for_a_trial_and_the_ids_for_an_agent(
    vault: VaultClient, shared: OpenBao, folder: Path
) -> None:
    auth = model.TokenFileAuth(path=str(folder / "token"))
    made = await taken(vault, auth, folder)
    assert [each.outcome for each in made] == [SetupOutcome.MADE, SetupOutcome.MADE]
    token = (folder / "token").read_text()
    assert (folder / "token").stat().st_mode & 0o777 == 0o600
    assert token not in str(made)
    assert shared.client.auth.token.lookup(token)["data"]["policies"] == ["filed"]
    assert await logs_in(shared, ids_in(folder))
    assert {each.outcome for each in await taken(vault, auth, folder)} == {SetupOutcome.THERE}

    shared.client.auth.token.revoke(token)
    (refused,) = await taken(vault, auth)
    assert refused.outcome is SetupOutcome.DIFFERS
    (replaced,) = await taken(vault, auth, replaces=True)
    assert replaced.outcome is SetupOutcome.MADE
    assert (folder / "token").read_text() != token


def test_a_folder_is_refused_where_the_settings_name_the_files(folder: Path) -> None:
    with pytest.raises(Fault, match="--credentials is for"):
        list(credential_steps(ids_in(folder), PLAN, folder, tries=True, replaces=False))
