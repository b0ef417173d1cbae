"""Mounts, keys of transit and namespaces, as a plan and in a server that has others already."""

from typing import Any

import msgspec
import pytest

from demo.openbao import OpenBao
from sidecar.config import model
from sidecar.doctor.vault_paths import VaultEngine
from sidecar.vault.client import VaultClient
from sidecar.vault_setup.component import take
from sidecar.vault_setup.engines import (
    judge_mount,
    mount_steps,
    namespace_names,
    namespace_step,
    transit_steps,
)
from sidecar.vault_setup.step import SetupOutcome
from tests.vault_setup.shapes import shape, short_folder

MOUNTED: dict[str, tuple[VaultEngine, dict[str, Any], str]] = {
    "the engine itself": (VaultEngine.PKI, {"type": "pki", "options": None}, ""),
    "KV of version 2": (VaultEngine.KV, {"type": "kv", "options": {"version": "2"}}, ""),
    "KV of version 1": (VaultEngine.KV, {"type": "kv", "options": {"version": "1"}}, "version 1"),
    "KV that names none": (VaultEngine.KV, {"type": "kv", "options": None}, "version 1"),
    "another engine": (VaultEngine.TRANSIT, {"type": "pki"}, "pki is mounted there"),
}


@pytest.mark.parametrize(("engine", "held", "words"), MOUNTED.values(), ids=MOUNTED)
def test_what_is_mounted_already(engine: VaultEngine, held: dict[str, Any], words: str) -> None:
    why = judge_mount(engine, held)
    assert words in why
    assert bool(why) is bool(words)


def config_of(name: str, namespace: str = "") -> model.Config:
    with short_folder() as folder:
        return shape(name, folder, "http://127.0.0.1:1", namespace)


def test_each_engine_is_mounted_once_and_each_pki_gets_a_root() -> None:
    assert [each.name for each in mount_steps(config_of("customers and services"))] == [
        "KV version 2 at secret",
        "PKI at ca/inner",
        "root CA of ca/inner",
        "KV version 2 at team/kv",
        "PKI at ca/other",
        "root CA of ca/other",
    ]


def test_each_key_has_the_type_that_its_use_needs() -> None:
    steps = {each.name: each for each in transit_steps(config_of("all that is polled"))}
    assert list(steps) == [
        "key jwt of transit, ecdsa-p256",
        "key audit of transit, ed25519",
        "key spool of transit, aes256-gcm96",
    ]
    for name, each in steps.items():
        kind = name.rpartition(" ")[2]
        assert each.data() == {"type": kind}
        assert (each.judge({"type": kind}), each.judge({"type": "rsa-2048"})) == (
            "",
            "is of type rsa-2048",
        )
    assert list(transit_steps(config_of("the example"))) == []


@pytest.mark.real
async def test_an_engine_of_another_kind_is_left_as_it_is(
    vault: VaultClient, shared: OpenBao
) -> None:
    shared.client.sys.enable_secrets_engine("kv", path="old", options={"version": "1"})
    config = config_of("customers and services")
    assert config.certificate_store is not None
    store = msgspec.structs.replace(config.certificate_store, mount="old")
    steps = mount_steps(msgspec.structs.replace(config, certificate_store=store))
    (step,) = (each for each in steps if each.name.endswith(" at old"))
    result = await take(step, vault, dry_run=False)
    assert (result.outcome, "version 1" in result.detail) == (SetupOutcome.DIFFERS, True)
    assert shared.client.sys.list_mounted_secrets_engines()["data"]["old/"]["options"] == {
        "version": "1"
    }


def test_a_namespace_is_made_from_the_outside_in() -> None:
    assert namespace_names(config_of("the example")) == []
    config = config_of("customers and services", "/a/b/")
    assert namespace_names(config) == ["a", "a/b"]
    assert namespace_step("a").command == "bao namespace create -namespace= a"
    inner = namespace_step("a/b")
    assert (inner.command, inner.written) == (
        "bao namespace create -namespace=a b",
        "sys/namespaces/b",
    )
