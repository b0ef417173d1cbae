"""A version is written only where nobody else has written since it was read."""

import secrets

import pytest

from demo.openbao import OpenBao
from sidecar.common.clock import monotonic_seconds
from sidecar.vault.client import VaultClient
from sidecar.vault.errors import VaultConflict, VaultForbidden
from sidecar.vault.kv_write import write_version
from tests.support.real import TokenFile

pytestmark = pytest.mark.real
POLICY = 'path "secret/data/written/*" { capabilities = ["create", "read", "update"] }'


async def test_check_and_set(openbao: OpenBao, token_file: TokenFile) -> None:
    token_file.write(openbao.token_for(POLICY, name="writer"))
    vault = VaultClient(token_file.settings(openbao.address), clock=monotonic_seconds)
    path = f"written/{secrets.token_hex(4)}"
    try:
        assert await write_version(vault, "secret", path, {"a": "1"}, 0) == 1
        assert await write_version(vault, "secret", path, {"a": "2"}, 1) == 2
        for stale in (0, 1):
            with pytest.raises(VaultConflict, match="another client wrote first"):
                await write_version(vault, "secret", path, {"a": "3"}, stale)
        assert (await vault.read_kv("secret", path)).data == {"a": "2"}
        assert (await vault.read_kv_at("secret", path, 1)).data == {"a": "1"}, "it keeps the past"
        with pytest.raises(VaultForbidden):
            await write_version(vault, "secret", "elsewhere/x", {}, 0)
    finally:
        await vault.close()
