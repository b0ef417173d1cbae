"""A generic secret: one field of an entry, with the entry's version."""

from typing import Any

import pytest

from demo.openbao import OpenBao
from sidecar.common.clock import monotonic_seconds
from sidecar.config.secrets import GenericSecret
from sidecar.sds.secrets.generic import MAX_SECRET_BYTES, GenericSource
from sidecar.sds.secrets.source import SecretFault
from sidecar.vault.client import VaultClient
from sidecar.vault.errors import VaultNotFound, VaultUnreachable
from tests.support.fleet_kv import MemoryKv
from tests.support.real import TokenFile

SETTINGS = GenericSecret(name="g", path="edge/oauth", field="token", poll_seconds=7.0)

VALUES: list[tuple[str, object, bool]] = [
    ("a text", "s3cret", True),
    ("one character", "x", True),
    ("as long as allowed", "x" * MAX_SECRET_BYTES, True),
    ("too long", "x" * (MAX_SECRET_BYTES + 1), False),
    ("too long in bytes alone", "é" * (MAX_SECRET_BYTES // 2 + 1), False),
    ("empty", "", False),
    ("a number", 7, False),
    ("absent", None, False),
]


@pytest.mark.parametrize(("value", "served"), [v[1:] for v in VALUES], ids=[v[0] for v in VALUES])
async def test_what_is_a_secret(value: Any, served: bool) -> None:
    kv = MemoryKv()
    kv.put("edge/oauth", {"other": "not this one"})
    kv.put("edge/oauth", {"other": "not this one", "token": value})
    source = GenericSource(SETTINGS, kv)
    if served:
        fetched = await source.fetch()
        assert (fetched.value, fetched.version) == (value.encode(), "2")
        assert (fetched.again_seconds, fetched.ends_at) == (7.0, None)
        assert value not in repr(fetched) or len(value) == 1
    else:
        with pytest.raises(SecretFault, match="'g': secret/edge/oauth, field 'token'") as fault:
            await source.fetch()
        assert not value or str(value)[:10] not in str(fault.value)


@pytest.mark.parametrize(("away", "fault"), [(False, VaultNotFound), (True, VaultUnreachable)])
async def test_what_vault_says_is_raised(away: bool, fault: type[Exception]) -> None:
    kv = MemoryKv()
    kv.away = away
    with pytest.raises(fault):
        await GenericSource(SETTINGS, kv).fetch()


@pytest.mark.real
async def test_out_of_a_real_vault(openbao: OpenBao, token_file: TokenFile) -> None:
    policy = 'path "secret/data/edge/oauth" { capabilities = ["read"] }'
    token_file.write(openbao.token_for(policy, name="generic"))
    openbao.client.secrets.kv.v2.create_or_update_secret("edge/oauth", {"token": "s3cret"})
    vault = VaultClient(token_file.settings(openbao.address), clock=monotonic_seconds)
    assert (await GenericSource(SETTINGS, vault).fetch()).value == b"s3cret"
    await vault.close()
