"""What Vault will not do with a key is one fault, whichever call it was."""

import base64

import pytest

from tests.workload.backups.backup_vault import BackupVault
from workload.backups.errors import KeyRefused

pytestmark = pytest.mark.real
FORGED = "vault:v1:" + base64.b64encode(bytes(60)).decode()


async def test_a_key_is_made_unwrapped_and_wrapped_again(vault: BackupVault) -> None:
    wrapping = vault.wrapping("seal", "open", "rewrap")
    key, wrapped = await wrapping.new()
    vault.rotate()
    again = await wrapping.rewrap(wrapped)
    assert again.startswith("vault:v2:")
    assert await wrapping.unwrap(again) == await wrapping.unwrap(wrapped) == key


async def test_what_vault_takes_for_invalid_is_refused(vault: BackupVault) -> None:
    wrapping = vault.wrapping("open", "rewrap")
    for call in (wrapping.unwrap(FORGED), wrapping.rewrap(FORGED)):
        with pytest.raises(KeyRefused, match="refused as invalid"):
            await call
