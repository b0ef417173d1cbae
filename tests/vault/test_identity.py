"""Tokens as they live and die under us: what is renewed, replaced, and left alone."""

import asyncio
from pathlib import Path

import pytest

from demo.openbao import SIDECAR_POLICY, OpenBao
from sidecar.common.clock import monotonic_seconds
from sidecar.config import model
from sidecar.vault.client import VaultClient
from sidecar.vault.errors import VaultForbidden, VaultUnreachable
from tests.support.real import NAMESPACE, TokenFile

pytestmark = pytest.mark.real
KEY = "iam/jwt-signing-key"
NO_RENEWAL = 'path "secret/data/iam/jwt-signing-key" { capabilities = ["read"] }'


def approle(
    openbao: OpenBao, folder: Path, policy: str = SIDECAR_POLICY, ttl: str = "1h"
) -> model.Vault:
    role_id, secret_id = openbao.approle_for(policy, name=folder.name, ttl=ttl)
    (folder / "role-id").write_text(role_id)
    (folder / "secret-id").write_text(secret_id)
    auth = model.AppRoleAuth(
        role_id_file=str(folder / "role-id"), secret_id_file=str(folder / "secret-id")
    )
    return model.Vault(address=openbao.address, auth=auth, namespace=NAMESPACE)


def live_tokens(openbao: OpenBao) -> int:
    return len(openbao.client.list("auth/token/accessors")["data"]["keys"])


def token_of(client: VaultClient) -> str:
    lease = client._connection.identity.lease
    assert lease is not None
    return lease.token


async def forbidden(client: VaultClient, times: int) -> None:
    for _ in range(times):
        with pytest.raises(VaultForbidden, match="permission denied"):
            await client.read_kv("secret", "kafka")


async def test_what_a_policy_forbids_leaves_no_tokens_behind(
    openbao: OpenBao, tmp_path: Path
) -> None:
    """A poll of a path that is not allowed goes on for months."""
    client = VaultClient(approle(openbao, tmp_path), clock=monotonic_seconds)
    await client.login()
    before = live_tokens(openbao)
    await forbidden(client, 10)
    assert live_tokens(openbao) == before


async def test_without_leave_to_renew_logins_after_refusals_are_rare(
    openbao: OpenBao, tmp_path: Path
) -> None:
    now = [0.0]
    client = VaultClient(approle(openbao, tmp_path, NO_RENEWAL), clock=lambda: now[0])
    await client.login()
    before = live_tokens(openbao)
    await forbidden(client, 10)
    assert live_tokens(openbao) == before + 1
    now[0] = 61.0
    await forbidden(client, 10)
    assert live_tokens(openbao) == before + 2


async def test_a_revoked_token_is_replaced_at_once_whatever_was_forbidden_before(
    openbao: OpenBao, tmp_path: Path
) -> None:
    openbao.put_key("a key")
    client = VaultClient(approle(openbao, tmp_path), clock=monotonic_seconds)
    for _ in range(3):
        await forbidden(client, 1)
        openbao.client.auth.token.revoke(token_of(client))
        await client.read_kv("secret", KEY)


async def test_a_token_that_can_not_be_renewed_is_used_until_it_ends(
    openbao: OpenBao, tmp_path: Path
) -> None:
    """Neither it nor a login is to be had: what is read goes on, and it is said."""
    openbao.put_key("a key")
    now = [0.0]
    settings = approle(openbao, tmp_path, NO_RENEWAL, ttl="90s")
    client = VaultClient(settings, clock=lambda: now[0])
    await client.login()
    secret_id = tmp_path / "secret-id"
    good = secret_id.read_text()
    secret_id.write_text("of yesterday")
    before = live_tokens(openbao)
    now[0] = 61.0
    for _ in range(3):
        await client.read_kv("secret", KEY)
        with pytest.raises(VaultForbidden, match="refuses our login"):
            await client.login()
    now[0] = 89.0
    await client.read_kv("secret", KEY)
    now[0] = 91.0
    with pytest.raises(VaultForbidden, match="refuses our login"):
        await client.read_kv("secret", KEY)
    secret_id.write_text(good)
    await client.read_kv("secret", KEY)
    await client.login()
    assert live_tokens(openbao) == before + 1


async def test_an_end_of_life_seen_by_many_calls_is_one_login(
    openbao: OpenBao, tmp_path: Path
) -> None:
    openbao.put_key("a key")
    now = [0.0]
    client = VaultClient(approle(openbao, tmp_path, ttl="90s"), clock=lambda: now[0])
    await client.login()
    before = live_tokens(openbao)
    now[0] = 91.0
    await asyncio.gather(*(client.read_kv("secret", KEY) for _ in range(4)))
    assert live_tokens(openbao) == before + 1
    openbao.client.auth.token.revoke(token_of(client))
    await asyncio.gather(*(client.read_kv("secret", KEY) for _ in range(4)))
    assert live_tokens(openbao) == before + 1


async def test_a_token_file_that_goes_away_does_not_take_the_live_token_with_it(
    openbao: OpenBao, token_file: TokenFile
) -> None:
    openbao.put_key("a key")
    token_file.write(openbao.token_for(SIDECAR_POLICY))
    client = VaultClient(token_file.settings(openbao.address), clock=monotonic_seconds)
    await client.login()
    old = token_of(client)
    token_file.path.unlink()
    for _ in range(2):
        await client.read_kv("secret", KEY)
    token_file.path.write_text("")
    await client.read_kv("secret", KEY)
    token_file.write(openbao.token_for(SIDECAR_POLICY))
    await client.read_kv("secret", KEY)
    assert token_of(client) != old


async def test_after_closing_a_call_is_a_fault_like_any_other(
    openbao: OpenBao, token_file: TokenFile
) -> None:
    token_file.write(openbao.token_for(SIDECAR_POLICY))
    client = VaultClient(token_file.settings(openbao.address), clock=monotonic_seconds)
    await client.login()
    await client.close()
    with pytest.raises(VaultUnreachable):
        await client.read_kv("secret", KEY)
    assert client.token_expires_at is None


def test_a_proxy_of_the_environment_does_not_stop_the_demo(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    server = OpenBao()
    try:
        assert server.put_key("a key") == 1
    finally:
        server.stop()
