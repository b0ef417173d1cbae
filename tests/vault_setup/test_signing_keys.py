"""A first key for an issuer of a development set-up."""

import json
from pathlib import Path

import msgspec
import pytest

from demo.openbao import OpenBao
from sidecar.config import model
from sidecar.keys.sources import parse_keys
from sidecar.tokens.mint import read_private_key
from sidecar.vault.client import VaultClient
from sidecar.vault_setup.component import take
from sidecar.vault_setup.signing_keys import FirstKey, key_steps, public_jwk
from sidecar.vault_setup.step import SetupOutcome
from tests.vault_setup.shapes import shape, short_folder


@pytest.mark.real
async def test_the_public_half_goes_to_vault_and_the_private_one_to_a_file(
    vault: VaultClient, shared: OpenBao, folder: Path
) -> None:
    place = model.VaultKvKeys(path="first/key", field="jwk")
    step = FirstKey(place, "s", folder / "issuer-0.pem")
    made = await take(step, vault, dry_run=False)
    pem = (folder / "issuer-0.pem").read_text()
    private = read_private_key(pem, "test")
    entry = shared.client.secrets.kv.v2.read_secret_version(
        "first/key", raise_on_deleted_version=True
    )["data"]["data"]
    (key,) = parse_keys(entry["jwk"], "i")
    assert key.public == private.public_key()
    assert json.loads(entry["jwk"]) == public_jwk(private.public_key())
    assert not {"d", "p"} & json.loads(entry["jwk"]).keys()
    assert made.detail == f"kid {key.kid}"
    assert (await take(step, vault, dry_run=False)).outcome is SetupOutcome.THERE


@pytest.mark.real
async def test_a_key_that_was_kept_is_published_again(
    vault: VaultClient, shared: OpenBao, folder: Path
) -> None:
    """As after a development server was started again: tokens that were signed stay good."""
    step = FirstKey(model.VaultKvKeys(path="first/kept"), "s", folder / "issuer-0.pem")
    first = await take(step, vault, dry_run=False)
    pem = (folder / "issuer-0.pem").read_text()
    shared.client.secrets.kv.v2.delete_metadata_and_all_versions("first/kept")
    second = await take(step, vault, dry_run=False)
    assert (folder / "issuer-0.pem").read_text() == pem
    assert second.detail == f"{first.detail}, of the key that was in the file"


@pytest.mark.real
@pytest.mark.parametrize("content", [b"", b"\xff", b"x" * 20_000, None])
async def test_a_file_that_is_no_key_is_not_touched(
    content: bytes | None, vault: VaultClient, folder: Path
) -> None:
    path = folder / "issuer-0.pem"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    step = FirstKey(model.VaultKvKeys(path="first/never"), "s", path)
    result = await take(step, vault, dry_run=False)
    assert (result.outcome, str(path) in result.detail) == (SetupOutcome.FAILED, True)
    assert await step.look(vault) is None
    assert content is None or path.read_bytes() == content


def test_an_issuers_own_key_is_left_to_it() -> None:
    with short_folder() as folder:
        config = shape("the example", folder, "http://127.0.0.1:1")
    (left,) = key_steps(config, None)
    (made,) = key_steps(config, folder)
    assert (left.is_left, made.is_left) == (True, False)
    assert str(folder / "issuer-0.pem") in made.name

    (issuer,) = config.tokens.issuers
    other = msgspec.structs.replace(issuer, algorithms=("RS256",))
    same = msgspec.structs.replace(issuer, issuer="https://other.example")
    for issuers, expected in (((other,), [True]), ((issuer, same), [False])):
        tokens = msgspec.structs.replace(config.tokens, issuers=issuers)
        found = key_steps(msgspec.structs.replace(config, tokens=tokens), folder)
        assert [each.is_left for each in found] == expected
