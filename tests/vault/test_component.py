"""What the component joins: a login at the start, its status, its metric, its end."""

from pathlib import Path

import pytest

from sidecar.config import parse_config
from sidecar.context import AppContext
from sidecar.vault import component
from sidecar.vault.client import VaultClient
from sidecar.vault.errors import VaultForbidden, VaultUnreachable
from tests.authz.conftest import CONFIG


def context_of(token_file: Path) -> AppContext:
    return AppContext(parse_config(CONFIG.replace("/run/vault/token", str(token_file)), "test"))


def has_token(vault: VaultClient) -> bool:
    return vault._connection.identity.lease is not None


async def test_a_start_logs_in_and_a_drain_forgets_the_token(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("a-token")
    context = context_of(file)
    vault = await component.start(context)
    assert [status.part for status in context.polls] == ["vault_login"]
    assert context.health.facts["vault_login"] == "ok"
    assert vault.is_healthy
    assert "septem_vault_token_expires_in_seconds" not in context.metrics.render().decode()
    assert has_token(vault)
    await context.stack.aclose()
    assert not has_token(vault)
    with pytest.raises(VaultUnreachable, match="stopping"):
        await vault.login()


async def test_a_start_without_a_token_is_refused(tmp_path: Path) -> None:
    context = context_of(tmp_path / "none")
    with pytest.raises(VaultForbidden, match="cannot be read"):
        await component.start(context)
    await context.stack.aclose()
