"""Where Vault is, and the login, by arguments that name files."""

import argparse
from pathlib import Path

import pytest

from workload.settings import (
    AppRoleLogin,
    CertLogin,
    KubernetesLogin,
    SettingsFault,
    TokenFileLogin,
    VaultLogin,
)
from workload.vault.arguments import add_vault_arguments, vault_server

ADDRESS = ["--vault", "https://vault.example:8200"]


def _parsed(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_vault_arguments(parser)
    return parser.parse_args([*ADDRESS, *arguments])


@pytest.mark.parametrize(
    ("arguments", "login"),
    [
        (["--vault-approle", "/r", "/s"], AppRoleLogin("/r", "/s")),
        (
            ["--vault-approle", "/r", "/s", "--vault-login-mount", "other"],
            AppRoleLogin("/r", "/s", "other"),
        ),
        (["--vault-kubernetes", "backups"], KubernetesLogin("backups")),
        (["--vault-cert", "/c", "/k"], CertLogin("/c", "/k")),
    ],
)
def test_each_login(arguments: list[str], login: VaultLogin) -> None:
    assert vault_server(_parsed(*arguments)).login == login


def test_the_server(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.touch()
    more = ["--vault-ca-file", "/ca", "--vault-namespace", "team"]
    server = vault_server(_parsed("--vault-token-file", str(token), *more))
    assert (server.address, server.ca_file, server.namespace) == (ADDRESS[1], "/ca", "team")
    assert server.login == TokenFileLogin(str(token))


def test_without_a_login_the_token_of_vault_login_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(SettingsFault, match="vault login"):
        vault_server(_parsed())
    (tmp_path / ".vault-token").touch()
    assert vault_server(_parsed()).login == TokenFileLogin(str(tmp_path / ".vault-token"))


def test_what_does_not_go_together_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        _parsed("--vault-kubernetes", "r", "--vault-cert", "/c", "/k")
    assert "not allowed with" in capsys.readouterr().err
    with pytest.raises(SettingsFault, match="--vault-login-mount"):
        vault_server(_parsed("--vault-login-mount", "other"))
