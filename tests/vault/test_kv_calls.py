"""What a real OpenBao answers about entries that are gone, and about all that are below a path."""

from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import uuid4

import pytest

from demo.openbao import OpenBao
from sidecar.common.clock import monotonic_seconds
from sidecar.vault.client import VaultClient
from sidecar.vault.errors import VaultForbidden, VaultNotFound
from tests.support.real import TokenFile

pytestmark = pytest.mark.real
FOLDER = f"calls/{uuid4().hex}"
POLICY = f"""
path "secret/data/{FOLDER}/*" {{ capabilities = ["read"] }}
path "secret/detailed-metadata/{FOLDER}/*" {{ capabilities = ["list"] }}
path "absent/*" {{ capabilities = ["read", "list"] }}
"""


@pytest.fixture
async def vault(openbao: OpenBao, token_file: TokenFile) -> AsyncIterator[VaultClient]:
    token_file.write(openbao.token_for(POLICY, name="calls"))
    client = VaultClient(token_file.settings(openbao.address), clock=monotonic_seconds)
    yield client
    await client.close()


Kv = Any
GONE: list[tuple[str, Callable[[Kv, str], object], int]] = [
    ("never there", lambda _kv, _path: None, 0),
    ("removed", lambda kv, path: kv.delete_metadata_and_all_versions(path), 0),
    ("deleted", lambda kv, path: kv.delete_latest_version_of_secret(path), 2),
    ("destroyed", lambda kv, path: kv.destroy_secret_versions(path, [2]), 2),
]


@pytest.mark.parametrize(("state", "end", "version"), GONE, ids=[row[0] for row in GONE])
async def test_what_is_gone_keeps_the_number_to_overwrite(
    openbao: OpenBao, vault: VaultClient, state: str, end: Callable[[Kv, str], object], version: int
) -> None:
    kv, path = openbao.client.secrets.kv.v2, f"{FOLDER}/{state.replace(' ', '-')}"
    if state != "never there":
        kv.create_or_update_secret(path, {"a": "1"})
        kv.create_or_update_secret(path, {"a": "2"})
        there, number = await vault.read_kv_latest("secret", path)
        assert there is not None
        assert (there.data, there.version, number) == ({"a": "2"}, 2, 2)
    end(kv, path)
    assert await vault.read_kv_latest("secret", path) == (None, version)
    kv.create_or_update_secret(path, {"a": "3"}, cas=version)


async def test_a_mount_that_is_not_there_is_no_entry_that_is_not_there(vault: VaultClient) -> None:
    with pytest.raises(VaultNotFound):
        await vault.read_kv_latest("absent", "a")


async def test_all_below_a_path_with_their_versions(openbao: OpenBao, vault: VaultClient) -> None:
    kv, below = openbao.client.secrets.kv.v2, f"{FOLDER}/listed"
    assert await vault.list_kv_histories("secret", below) == {}
    for _ in range(2):
        kv.create_or_update_secret(f"{below}/a", {})
    kv.create_or_update_secret(f"{below}/b", {})
    kv.delete_latest_version_of_secret(f"{below}/b")
    kv.create_or_update_secret(f"{below}/folder/c", {})
    listed = await vault.list_kv_histories("secret", below)
    assert listed is not None
    assert set(listed) == {"a", "b", "folder/"}
    assert listed["folder/"] is None
    first, second = listed["a"], listed["b"]
    assert first is not None
    assert second is not None
    assert [each.number for each in first.versions] == [1, 2]
    assert second.latest is not None
    assert second.latest.deleted_at is not None
    with pytest.raises(VaultForbidden):
        await vault.list_kv_histories("secret", "elsewhere")


async def test_a_mount_without_such_a_list_is_told_from_one_where_nothing_is(
    vault: VaultClient,
) -> None:
    """HashiCorp's Vault answers 404 too, but not with an empty list of errors."""
    assert await vault.list_kv_histories("absent", "a") is None
