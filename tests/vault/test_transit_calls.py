"""Data keys by a real transit: one wrapped for each question, with a policy that allows no more."""

import base64

import pytest

from demo.openbao import OpenBao
from sidecar.common.clock import monotonic_seconds
from sidecar.vault.client import VaultClient
from sidecar.vault.errors import VaultFault, VaultForbidden
from tests.support.real import TokenFile

pytestmark = pytest.mark.real
MOUNT = "data-keys"
POLICY = f"""
path "{MOUNT}/datakey/plaintext/audit" {{ capabilities = ["update"] }}
path "{MOUNT}/decrypt/audit" {{ capabilities = ["update"] }}
"""


async def test_a_data_key_is_had_again_by_its_wrapping(
    openbao: OpenBao, token_file: TokenFile
) -> None:
    openbao.client.sys.enable_secrets_engine("transit", path=MOUNT)
    for name in ("audit", "other"):
        openbao.client.secrets.transit.create_key(name, mount_point=MOUNT)
    token_file.write(openbao.token_for(POLICY, name="data-keys"))
    vault = VaultClient(token_file.settings(openbao.address), clock=monotonic_seconds)
    try:
        plain, wrapped = await vault.new_data_key(MOUNT, "audit")
        assert len(base64.b64decode(plain)) == 32
        assert plain not in wrapped
        assert await vault.open_data_key(MOUNT, "audit", wrapped) == plain
        assert (await vault.new_data_key(MOUNT, "audit"))[0] != plain
        openbao.client.secrets.transit.rotate_key("audit", mount_point=MOUNT)
        assert await vault.open_data_key(MOUNT, "audit", wrapped) == plain, "an older version"
        with pytest.raises(VaultFault, match="decrypt/audit"):
            await vault.open_data_key(MOUNT, "audit", wrapped[:-8] + "AAAAAAA=")
        with pytest.raises(VaultForbidden):
            await vault.new_data_key(MOUNT, "other")
    finally:
        await vault.close()
