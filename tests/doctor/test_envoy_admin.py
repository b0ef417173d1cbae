"""A real Envoy beside a real sidecar, and what it says when something is not well."""

import json
from collections.abc import Iterator

import msgspec
import pytest

from demo.stack import Stack
from sidecar.config import model, parse_config
from sidecar.config.load import load_config
from sidecar.doctor.diagnosis import CheckOutcome, Diagnosis, diagnose
from sidecar.doctor.envoy_admin import EnvoyAdmin
from tests.doctor.test_vault_server import answering


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Stack() as running:
        yield running


async def looked_at(address: str, config: model.Config) -> dict[str, Diagnosis]:
    looks = EnvoyAdmin(address, config).looks()
    return {each.name: await diagnose(each.name, each.look) for each in looks}


def admin_of(stack: Stack) -> str:
    return f"127.0.0.1:{stack.ports.admin}"


@pytest.mark.real
async def test_an_envoy_that_is_well_and_one_without_its_sidecar(stack: Stack) -> None:
    config = load_config(stack._config)
    found = await looked_at(admin_of(stack), config)
    assert {each.outcome for each in found.values()} == {CheckOutcome.OK}, found
    assert "none awaited" in found["envoy secrets"].detail
    moved = msgspec.structs.replace(config.listen.authz, address="127.0.0.1:1")
    elsewhere = msgspec.structs.replace(config.listen, authz=moved, sds=None)
    found = await looked_at(admin_of(stack), msgspec.structs.replace(config, listen=elsewhere))
    clusters = found["envoy clusters"]
    assert (clusters.outcome, "no cluster of Envoy" in clusters.detail) == (
        CheckOutcome.FAILED,
        True,
    )
    assert found["envoy configuration"].outcome is CheckOutcome.FAILED
    assert found["envoy secrets"].outcome is CheckOutcome.SKIPPED
    stack.sidecar.stop()
    for _ in range(3):
        stack.client.get("/api/orders")
    clusters = (await looked_at(admin_of(stack), config))["envoy clusters"]
    assert clusters.outcome is CheckOutcome.FAILED, clusters


CONFIG_DUMP = "type.googleapis.com/envoy.admin.v3.SecretsConfigDump"
SDS = """\
listen: {sds: {address: "unix:/run/sds"}}
vault: {address: "http://127.0.0.1:1", auth: {method: token_file, path: /t}}
tokens: {issuers: [{issuer: "https://i.example", audiences: [a]}]}
routes: [{name: all, path_prefix: /}]
"""


async def test_secrets_that_envoy_waits_for_are_named() -> None:

    warming = [{"name": "edge", "secret": {}}]
    dump = {"configs": [{"@type": CONFIG_DUMP, "dynamic_warming_secrets": warming}]}
    with answering(200, json.dumps(dump).encode()) as address:
        found = await looked_at(address.removeprefix("http://"), parse_config(SDS, "test"))
    secrets = found["envoy secrets"]
    assert (secrets.outcome, secrets.detail) == (CheckOutcome.FAILED, "Envoy waits for edge")


STRANGE: dict[str, tuple[int, bytes]] = {
    "another server": (200, b"<html>"),
    "a refusal": (404, b"{}"),
    "a list": (200, b"[]"),
    "parts of another kind": (200, b'{"cluster_statuses": 1, "configs": {"a": 1}}'),
    "hosts of another kind": (200, b'{"cluster_statuses": [{"host_statuses": [1, {}]}, 2]}'),
}


@pytest.mark.parametrize(("status", "body"), STRANGE.values(), ids=STRANGE)
async def test_a_server_that_is_no_envoy(status: int, body: bytes) -> None:

    with answering(status, body) as address:
        found = await looked_at(address.removeprefix("http://"), parse_config(SDS, "test"))
    assert found["envoy clusters"].outcome is CheckOutcome.FAILED
    assert all(" in sidecar/" not in each.detail for each in found.values()), "an exception of ours"


@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.0.0.1:99999", "a..b:1"])
async def test_nobody_there(address: str) -> None:

    found = await looked_at(address, parse_config(SDS, "test"))
    assert {each.outcome for each in found.values()} == {CheckOutcome.FAILED}
    assert all("--envoy-admin" in each.next_step for each in found.values())
