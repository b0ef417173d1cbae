"""A real Vault with the policy that the documents give, and polls one at a time."""

import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from demo.openbao import OpenBao
from sidecar.common.clock import monotonic_seconds
from sidecar.vault.client import VaultClient
from tests.support.polls import Polls
from tests.support.real import TokenFile

DOCUMENT = Path(__file__).parents[3] / "docs/on-demand.md"
(POLICY,) = re.findall(r"```hcl\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)


Put = Callable[[str, dict[str, Any]], None]


@pytest.fixture
async def polls() -> Polls:
    return Polls()


@pytest.fixture
async def vault(openbao: OpenBao, token_file: TokenFile) -> AsyncIterator[VaultClient]:
    token_file.write(openbao.token_for(POLICY, name="domains"))
    client = VaultClient(token_file.settings(openbao.address), clock=monotonic_seconds)
    yield client
    await client.close()


@pytest.fixture
def put(openbao: OpenBao) -> Put:
    def write(path: str, data: dict[str, Any]) -> None:
        openbao.client.secrets.kv.v2.create_or_update_secret(path, data)

    return write
