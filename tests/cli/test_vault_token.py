"""The operator's Vault token."""

from pathlib import Path

import pytest

from sidecar.cli.vault_token import operator_token
from sidecar.common.errors import Fault


def test_a_file_or_where_vault_login_puts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(Fault, match=r"\.vault-token does not exist: log in with `vault login`"):
        operator_token(None)
    (tmp_path / ".vault-token").write_text("t")
    assert operator_token(None).path == str(tmp_path / ".vault-token")
    assert operator_token(Path("~/.vault-token")).path == str(tmp_path / ".vault-token")
    with pytest.raises(Fault, match="absent does not exist"):
        operator_token(tmp_path / "absent")
