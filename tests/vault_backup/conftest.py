"""Entries in a real OpenBao."""

from pathlib import Path

import pytest

from demo.openbao import OpenBao
from tests.vault_backup.kv_world import KvWorld, enable_seal_key


@pytest.fixture(scope="module")
def sealing(openbao: OpenBao) -> OpenBao:
    """The shared OpenBao, with a key for archives."""
    enable_seal_key(openbao)
    return openbao


@pytest.fixture
def world(openbao: OpenBao, tmp_path: Path) -> KvWorld:
    return KvWorld(openbao, tmp_path)
