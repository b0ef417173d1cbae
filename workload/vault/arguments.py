"""The arguments by which a command is told where Vault is, and who it is to it.

A credential is never an argument, which every process of the host can read, and no variable of
the environment is looked at: every login names files.
"""

import argparse
from pathlib import Path

from workload.settings import (
    AppRoleLogin,
    CertLogin,
    KubernetesLogin,
    SettingsFault,
    TokenFileLogin,
    VaultLogin,
    VaultServer,
)

DEFAULT_TOKEN_FILE = Path("~/.vault-token")
"""Where ``vault login`` puts it."""


def add_vault_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare where Vault is, and one of the logins."""
    group = parser.add_argument_group("Vault or OpenBao")
    group.add_argument("--vault", required=True, metavar="URL", help="https://host:port")
    group.add_argument("--vault-ca-file", metavar="FILE", help="its CA, PEM")
    group.add_argument("--vault-namespace", metavar="NAME")
    logins = group.add_mutually_exclusive_group()
    logins.add_argument(
        "--vault-token-file",
        metavar="FILE",
        help="a token (~/.vault-token, where `vault login` puts it)",
    )
    logins.add_argument(
        "--vault-approle",
        nargs=2,
        metavar=("ROLE_ID_FILE", "SECRET_ID_FILE"),
        help="log in by AppRole",
    )
    logins.add_argument(
        "--vault-kubernetes", metavar="ROLE", help="log in by the pod's service account"
    )
    logins.add_argument(
        "--vault-cert", nargs=2, metavar=("CERT_FILE", "KEY_FILE"), help="log in by a certificate"
    )
    group.add_argument(
        "--vault-login-mount", metavar="MOUNT", help="where that login is mounted (its usual name)"
    )


def vault_server(given: argparse.Namespace) -> VaultServer:
    """Return what the arguments say. Raises ``SettingsFault``."""
    return VaultServer(
        given.vault, _login(given), given.vault_ca_file, given.vault_namespace, timeout_seconds=30
    )


def _login(given: argparse.Namespace) -> VaultLogin:
    mount: str | None = given.vault_login_mount
    if given.vault_approle is not None:
        role_id_file, secret_id_file = given.vault_approle
        return AppRoleLogin(role_id_file, secret_id_file, mount or "approle")
    if given.vault_kubernetes is not None:
        return KubernetesLogin(given.vault_kubernetes, mount=mount or "kubernetes")
    if given.vault_cert is not None:
        certificate_file, key_file = given.vault_cert
        return CertLogin(certificate_file, key_file, mount or "cert")
    if mount is not None:
        raise SettingsFault("--vault-login-mount is for a login that has a mount, and a token none")
    path = Path(given.vault_token_file or DEFAULT_TOKEN_FILE).expanduser()
    if not path.is_file():
        raise SettingsFault(
            f"{path} does not exist: log in with `vault login`, or give a file with a token "
            "(--vault-token-file) or another login"
        )
    return TokenFileLogin(str(path))
