"""A real OpenBao: data keys made, unwrapped and wrapped again, by the smallest policies."""

from pathlib import Path

import pytest

from demo.openbao import OpenBao
from tests.workload.encryption.keys_in_hand import (
    ADMIN_POLICY,
    KEK,
    MOUNT,
    READER_POLICY,
    USER_POLICY,
    enable_kek,
    transit,
)
from workload.vault.errors import VaultCallFault, VaultInvalid, VaultRefuses
from workload.vault.transit import _key, _wrapped

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def kek(openbao: OpenBao) -> OpenBao:
    enable_kek(openbao)
    return openbao


async def test_a_key_is_unwrapped_with_its_context_alone(kek: OpenBao, tmp_path: Path) -> None:
    mount = transit(kek, USER_POLICY, tmp_path)
    key, wrapped = await mount.new_data_key(KEK, b"scope")
    assert len(key) == 32
    assert await mount.unwrap(KEK, wrapped, b"scope") == key
    assert (await mount.new_data_key(KEK, b"scope"))[0] != key
    for context in (b"scopf", b"other"):
        with pytest.raises(VaultInvalid):
            await mount.unwrap(KEK, wrapped, context)


async def test_a_kek_that_binds_nothing_is_refused(kek: OpenBao, tmp_path: Path) -> None:
    enable_kek(kek, "unbound", derived=False)
    policy = USER_POLICY.replace(f"/{KEK}", "/unbound")
    with pytest.raises(VaultCallFault, match="derived=true"):
        await transit(kek, policy, tmp_path).new_data_key("unbound", b"scope")


async def test_a_key_is_wrapped_under_the_keks_newest_version(kek: OpenBao, tmp_path: Path) -> None:
    mount = transit(kek, ADMIN_POLICY, tmp_path)
    key, wrapped = await mount.new_data_key(KEK, b"scope")
    kek.client.write_data(f"{MOUNT}/keys/{KEK}/rotate", data={})
    again = await mount.rewrap(KEK, wrapped, b"scope")
    before, after = (int(each.split(":")[1][1:]) for each in (wrapped, again))
    assert after == before + 1
    assert await mount.unwrap(KEK, again, b"scope") == key
    assert await mount.unwrap(KEK, wrapped, b"scope") == key


async def test_each_policy_allows_its_work_and_nothing_beside_it(
    kek: OpenBao, tmp_path: Path
) -> None:
    user = transit(kek, USER_POLICY, tmp_path, "fields-user")
    reader = transit(kek, READER_POLICY, tmp_path, "fields-reader")
    _, wrapped = await user.new_data_key(KEK, b"scope")
    assert await reader.unwrap(KEK, wrapped, b"scope")
    with pytest.raises(VaultRefuses):
        await reader.new_data_key(KEK, b"scope")
    for mount in (reader, user):
        with pytest.raises(VaultRefuses):
            await mount.rewrap(KEK, wrapped, b"scope")
        for method, path in (
            ("GET", f"keys/{KEK}"),
            ("POST", f"keys/{KEK}/rotate"),
            ("POST", f"keys/{KEK}/config"),
            ("DELETE", f"keys/{KEK}"),
            ("GET", f"export/encryption-key/{KEK}"),
            ("GET", f"backup/{KEK}"),
            ("POST", f"encrypt/{KEK}"),
            ("POST", "decrypt/unbound"),
        ):
            with pytest.raises(VaultRefuses):
                await mount._api.call(method, f"{MOUNT}/{path}", {})


@pytest.mark.parametrize(
    "wrapped", ["", "vault:v1:", "vault:v0:" + "A" * 60, "vault:v1:" + "A" * 900, "x" * 60]
)
async def test_what_transit_never_wrapped_is_not_sent(
    kek: OpenBao, tmp_path: Path, wrapped: str
) -> None:
    with pytest.raises(VaultCallFault, match="no key that transit wrapped"):
        await transit(kek, USER_POLICY, tmp_path).unwrap(KEK, wrapped, b"scope")


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "../../secret/data/x", "a?b", "a%2fb", "a\n"]
)
async def test_a_name_that_is_another_path_is_not_asked_for(
    kek: OpenBao, tmp_path: Path, name: str
) -> None:
    mount = transit(kek, USER_POLICY, tmp_path)
    with pytest.raises(VaultCallFault, match="the name of the KEK is none"):
        await mount.new_data_key(name, b"scope")


@pytest.mark.parametrize("text", [None, "", "AAAA", "A" * 43, "A" * 43 + "=x", "é" * 44, 7])
def test_an_answer_without_a_key(text: object) -> None:
    for read in (_key, _wrapped):
        with pytest.raises(VaultCallFault, match="the answer has no") as raised:
            read({"plaintext": text, "ciphertext": text}, "path")
        assert "AAAA" not in str(raised.value)
