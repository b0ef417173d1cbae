"""A server is for development if it keeps everything in memory; any other has to be named."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from demo.openbao import OpenBao
from sidecar.common.errors import Fault
from sidecar.config import model
from sidecar.vault.errors import VaultUnreachable
from sidecar.vault_setup.dev_server import read_storage, refusal, storage_of

HERE = "https://vault.example:8200"
RULE = {
    "memory": ("inmem", None, ""),
    "memory, as Vault names it too": ("inmem_transactional_ha", None, ""),
    "memory, and named": ("inmem", HERE, ""),
    "a disk": ("raft", None, f"--yes {HERE}"),
    "a server that does not say": ("", None, "does not say"),
    "a disk, and named": ("raft", HERE, ""),
    "a disk, and named with a slash": ("raft", f"{HERE}/", ""),
    "another server's name": ("raft", "https://other.example:8200", "nothing was done"),
    "another server's name, in memory": ("inmem", "https://other.example:8200", "nothing was done"),
}


@pytest.mark.parametrize(("storage", "named", "words"), RULE.values(), ids=RULE)
def test_where_something_may_be_made(storage: str, named: str | None, words: str) -> None:
    why = refusal(storage, HERE, named)
    assert words in why
    assert bool(why) is bool(words)


@pytest.mark.real
async def test_a_development_server_says_that_it_is_one(shared: OpenBao) -> None:
    settings = model.Vault(address=shared.address, auth=model.TokenFileAuth(path="/none"))
    assert await read_storage(settings) == "inmem"


@pytest.mark.real
async def test_a_certificate_of_the_settings_is_a_file_that_must_be_there(tmp_path: Path) -> None:
    auth = model.CertAuth(certificate_file=str(tmp_path / "c"), key_file=str(tmp_path / "k"))
    with pytest.raises(VaultUnreachable, match=str(tmp_path / "c")):
        await read_storage(model.Vault(address="http://127.0.0.1:1", auth=auth))


@pytest.mark.parametrize("text", ["", "{}", "[]", '"x"', "[" * 100_000])
def test_another_answer_is_no_vaults(text: str) -> None:
    with pytest.raises(Fault, match="no Vault"):
        storage_of(SimpleNamespace(json=lambda: json.loads(text)))


def test_a_long_word_is_cut() -> None:
    status = {"sealed": False, "storage_type": "x" * 1000}
    assert len(storage_of(SimpleNamespace(json=lambda: status))) == 40
