"""Credentials of sinks: from a file each time, from Vault kept in memory, and never in words."""

from pathlib import Path
from typing import Any

import pytest

from sidecar.config import model
from sidecar.observability.audit.secrets import CredentialFault, FileSecret, VaultSecret


def test_a_file_is_read_each_time(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("one\n")
    secret = FileSecret(str(path))
    assert secret() == "one"
    path.write_text("two\r\n")
    assert secret() == "two"
    path.unlink()
    with pytest.raises(FileNotFoundError):
        secret()


NO_SECRETS = ["", "\n", "a\nb", "a\rb", "caf\u00e9", "x" * 5000, "tab\there", "nul\0"]


@pytest.mark.parametrize("text", NO_SECRETS)
def test_what_can_not_be_a_header_is_refused_without_being_quoted(
    tmp_path: Path, text: str
) -> None:
    path = tmp_path / "password"
    path.write_bytes(text.encode())
    with pytest.raises(OSError, match="one line of 1 to 4096 ASCII characters") as told:
        FileSecret(str(path))()
    assert not text.strip() or text not in str(told.value)


class Shelf:
    def __init__(self, data: dict[str, Any]) -> None:
        self.data = data
        self.asked: list[tuple[str, str]] = []

    async def read_kv(self, mount: str, path: str) -> Any:
        self.asked.append((mount, path))
        return type("Entry", (), {"data": self.data, "version": 1})


ENTRY = model.SecretEntry(path="audit/clickhouse", mount="kv", field="key")


async def test_an_entry_is_kept_between_two_reads() -> None:
    secret, vault = VaultSecret(ENTRY, "clickhouse"), Shelf({"key": "one"})
    with pytest.raises(OSError, match="kv/audit/clickhouse has not been read from Vault yet"):
        secret()
    await secret.read(vault)
    assert secret() == "one"
    assert vault.asked == [("kv", "audit/clickhouse")]
    vault.data = {"key": "two"}
    assert secret() == "one"
    await secret.read(vault)
    assert secret() == "two"


@pytest.mark.parametrize("data", [{}, {"key": 5}, {"key": ""}, {"key": "a\nb"}])
async def test_what_is_no_credential_leaves_the_one_before(data: dict[str, Any]) -> None:
    secret = VaultSecret(ENTRY, "clickhouse")
    await secret.read(Shelf({"key": "one"}))
    with pytest.raises(CredentialFault, match="kv/audit/clickhouse"):
        await secret.read(Shelf(data))
    assert secret() == "one"
