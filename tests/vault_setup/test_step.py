"""One write to Vault: what counts as there, and what a command looks like in a shell."""

import pytest

from demo.openbao import OpenBao
from sidecar.vault.client import VaultClient
from sidecar.vault.errors import VaultRejected
from sidecar.vault_setup.component import take
from sidecar.vault_setup.entries import kv_step, left_step
from sidecar.vault_setup.step import (
    Existing,
    SetupOutcome,
    WriteStep,
    parameters,
    read_data,
    shell,
    usable,
    write_data,
)


def step(looked_at: str, picked: str = "", wrong: str = "") -> WriteStep:
    return WriteStep("it", ("s",), "do", looked_at, picked, "x", dict, lambda _held: wrong)


@pytest.mark.real
async def test_what_is_not_there_is_nothing(vault: VaultClient) -> None:
    assert await step("nowhere/at/all").look(vault) is None
    assert await step("sys/mounts", "nowhere/").look(vault) is None
    assert await read_data(vault, "secret/data/never-written") is None


@pytest.mark.real
async def test_what_is_there_is_judged_by_its_field_or_as_a_whole(vault: VaultClient) -> None:
    assert await step("sys/mounts").look(vault) == Existing()
    assert await step("sys/mounts", "secret/", "of no use").look(vault) == Existing(
        wrong="of no use"
    )
    assert usable({}) == ""


@pytest.mark.real
async def test_an_entry_is_written_once_and_never_over_another(
    vault: VaultClient, shared: OpenBao
) -> None:
    entry = kv_step("secret", "step/once", "s", command="do", content=dict)
    results = [await take(entry, vault, dry_run=dry) for dry in (True, False, False)]
    assert [each.outcome for each in results] == [
        SetupOutcome.WOULD_MAKE,
        SetupOutcome.MADE,
        SetupOutcome.THERE,
    ]
    shared.client.secrets.kv.v2.delete_latest_version_of_secret("step/once")
    result = await take(entry, vault, dry_run=False)
    assert result.outcome is SetupOutcome.FAILED, "somebody deleted it, and may want it back"
    assert "check-and-set" in result.detail
    with pytest.raises(VaultRejected):
        await entry.make(vault)


@pytest.mark.real
async def test_an_owners_entry_is_left_until_all_its_fields_are_there(
    vault: VaultClient, shared: OpenBao
) -> None:
    entry = left_step("secret", "step/left", ("certificate", "private_key"), "s")
    put = shared.client.secrets.kv.v2.create_or_update_secret
    found = [await take(entry, vault, dry_run=False)]
    for data in ({"certificate": "c"}, {"certificate": "c", "private_key": "k"}):
        put("step/left", data)
        found.append(await take(entry, vault, dry_run=False))
    assert [each.outcome for each in found] == [
        SetupOutcome.LEFT,
        SetupOutcome.DIFFERS,
        SetupOutcome.THERE,
    ]
    assert found[1].detail == "has no field private_key"
    assert found[0].command == (
        "bao kv put -mount=secret step/left certificate=@FILE private_key=@FILE"
    )


@pytest.mark.real
async def test_vaults_own_answer_is_returned(vault: VaultClient) -> None:
    assert await write_data(vault, "sys/policies/acl/step", {"policy": "# none"}) == {}
    wrapped = await write_data(vault, "sys/wrapping/wrap", {"a": "b"}, wrap_ttl="60s")
    assert wrapped["wrap_info"]["ttl"] == 60


def test_a_command_is_quoted_for_a_shell() -> None:
    values = {"names": ["a.example", "b example"], "ok": True, "bits": 256}
    assert parameters(values) == ["names=a.example,b example", "ok=true", "bits=256"]
    assert shell("bao", *parameters(values)[:1]) == "bao 'names=a.example,b example'"
