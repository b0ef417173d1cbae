"""A real OpenBao with a key for backups."""

from pathlib import Path

import pytest

from demo.openbao import OpenBao
from tests.workload.backups.backup_vault import BackupVault


@pytest.fixture
def vault(openbao: OpenBao, tmp_path: Path) -> BackupVault:
    """A transit key of the test's own in the shared OpenBao."""
    folder = tmp_path / "tokens"
    folder.mkdir()
    return BackupVault(openbao, folder)
