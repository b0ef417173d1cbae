"""What the sidecar logs in with, in files: the ids of its AppRole, or a token."""

import shlex
from collections.abc import Iterator
from pathlib import Path

from sidecar.common.errors import Fault
from sidecar.config import model
from sidecar.vault.auth import read_credential
from sidecar.vault.client import VaultClient
from sidecar.vault.errors import VaultForbidden, VaultNotFound, VaultRejected
from sidecar.vault_setup.login import LoginPlan
from sidecar.vault_setup.private_files import is_there, write_private
from sidecar.vault_setup.step import Existing, SetupStep, read_data, shell, write_data

WRAP_TTL = "1h"
"""How long a wrapped secret id waits for the sidecar's first login."""
_REFUSED = (VaultForbidden, VaultNotFound, VaultRejected)
_ONLY_MINE = "only this user can read it"


class AppRoleIds:
    """The role id and a secret id of the sidecar's AppRole, each in a file."""

    settings = ("vault.auth",)
    is_left = False

    def __init__(
        self, plan: LoginPlan, auth: model.AppRoleAuth, *, tries: bool, replaces: bool
    ) -> None:
        self._plan, self._wrapped = plan, auth.secret_id_wrapped
        self._role_id, self._secret_id = Path(auth.role_id_file), Path(auth.secret_id_file)
        self._tries, self._replaces = tries, replaces

    @property
    def name(self) -> str:
        """Return the names of the files."""
        wrapped = "wrapped " if self._wrapped else ""
        return f"role id in {self._role_id}, {wrapped}secret id in {self._secret_id}"

    @property
    def command(self) -> str:
        """Return a line for a shell; what it prints goes to the files."""
        read = shell("bao", "read", "-field=role_id", f"{self._plan.role}/role-id")
        more = (f"-wrap-ttl={WRAP_TTL}", "-field=wrapping_token") if self._wrapped else None
        options = more or ("-field=secret_id",)
        make = shell("bao", "write", "-f", *options, f"{self._plan.role}/secret-id")
        return (
            f"(umask 077; {read} > {_quoted(self._role_id)}; {make} > {_quoted(self._secret_id)})"
        )

    async def look(self, vault: VaultClient) -> Existing | None:
        """Look whether the files are there, and try them. Raises ``VaultFault``."""
        if not (is_there(self._role_id) and is_there(self._secret_id)):
            return None
        if self._wrapped:
            return Existing("not tried: a wrapped secret id is good for one login")
        if not self._tries:
            return Existing("not tried")
        try:
            role_id = read_credential(self._role_id, "AppRole role id")
            secret_id = read_credential(self._secret_id, "AppRole secret id")
            await _revoke(vault, await _log_in(vault, self._plan.mount, role_id, secret_id))
        except _REFUSED:
            return _unusable(self._replaces)
        return Existing("Vault takes them")

    async def make(self, vault: VaultClient) -> str:
        """Write what is not there, or all of it. Raises ``Fault``."""
        if self._replaces or not is_there(self._role_id):
            role_id = await read_role_id(vault, self._plan)
            write_private(self._role_id, role_id, replace=self._replaces)
        if self._replaces or not is_there(self._secret_id):
            wrap_ttl = WRAP_TTL if self._wrapped else None
            secret_id = await new_secret_id(vault, self._plan, wrap_ttl)
            write_private(self._secret_id, secret_id, replace=self._replaces)
        return _ONLY_MINE


class TrialToken:
    """A token of the sidecar's AppRole in the file where a Vault agent will keep one."""

    settings = ("vault.auth",)
    is_left = False

    def __init__(self, plan: LoginPlan, path: Path, *, tries: bool, replaces: bool) -> None:
        self._plan, self._path = plan, path
        self._tries, self._replaces = tries, replaces

    @property
    def name(self) -> str:
        """Return the name of the file."""
        return f"token in {self._path}"

    @property
    def command(self) -> str:
        """Return a line for a shell; the ids go through a pipe, and stand in no argument."""
        role_id = shell("bao", "read", "-field=role_id", f"{self._plan.role}/role-id")
        secret_id = shell("bao", "write", "-f", "-field=secret_id", f"{self._plan.role}/secret-id")
        ids = 'printf \'{"role_id": "%s", "secret_id": "%s"}\' '
        login = shell("bao", "write", "-field=token", f"auth/{self._plan.mount}/login", "-")
        told = f'{ids}"$({role_id})" "$({secret_id})" | {login}'
        return f"(umask 077; {told} > {_quoted(self._path)})"

    async def look(self, vault: VaultClient) -> Existing | None:
        """Look whether the file is there, and ask Vault for its token. Raises ``VaultFault``."""
        if not is_there(self._path):
            return None
        if not self._tries:
            return Existing("not tried")
        try:
            token = read_credential(self._path, "Vault token")
            await write_data(vault, "auth/token/lookup", {"token": token})
        except _REFUSED:
            return _unusable(self._replaces)
        return Existing("Vault takes it")

    async def make(self, vault: VaultClient) -> str:
        """Log in, and write the token. Raises ``Fault``."""
        role_id = await read_role_id(vault, self._plan)
        secret_id = await new_secret_id(vault, self._plan, None)
        token = await _log_in(vault, self._plan.mount, role_id, secret_id)
        write_private(self._path, token, replace=self._replaces)
        return f"{_ONLY_MINE}; good for {self._plan.token_ttl}, then a Vault agent keeps it fresh"


def credential_steps(
    auth: model.VaultAuth, plan: LoginPlan, folder: Path | None, *, tries: bool, replaces: bool
) -> Iterator[SetupStep]:
    """Yield the steps of the files. ``folder`` is for the ids that a Vault agent logs in with.

    Raises ``Fault`` for a folder where the settings name the files themselves.
    """
    if isinstance(auth, model.AppRoleAuth):
        if folder is not None:
            raise Fault(
                "--credentials is for method: token_file, whose Vault agent logs in with them; "
                "these settings name the files themselves, at vault.auth"
            )
        yield AppRoleIds(plan, auth, tries=tries, replaces=replaces)
    elif isinstance(auth, model.TokenFileAuth):
        if folder is not None:
            ids = model.AppRoleAuth(
                role_id_file=str(folder / "role-id"), secret_id_file=str(folder / "secret-id")
            )
            yield AppRoleIds(plan, ids, tries=tries, replaces=replaces)
        yield TrialToken(plan, Path(auth.path), tries=tries, replaces=replaces)


async def read_role_id(vault: VaultClient, plan: LoginPlan) -> str:
    """Return the role id. Raises ``VaultFault``."""
    data = await read_data(vault, f"{plan.role}/role-id")
    if data is None:
        raise VaultNotFound(f"{plan.role} does not exist")
    return str(data["role_id"])


async def new_secret_id(vault: VaultClient, plan: LoginPlan, wrap_ttl: str | None) -> str:
    """Have Vault make a secret id; with ``wrap_ttl`` return the token that unwraps it."""
    answer = await write_data(vault, f"{plan.role}/secret-id", {}, wrap_ttl)
    if wrap_ttl is not None:
        return str(answer["wrap_info"]["token"])
    return str(answer["data"]["secret_id"])


async def _log_in(vault: VaultClient, mount: str, role_id: str, secret_id: str) -> str:
    given = {"role_id": role_id, "secret_id": secret_id}
    answer = await write_data(vault, f"auth/{mount}/login", given)
    return str(answer["auth"]["client_token"])


async def _revoke(vault: VaultClient, token: str) -> None:
    await write_data(vault, "auth/token/revoke", {"token": token})


def _unusable(replaces: bool) -> Existing | None:
    """Return what is so of a file that Vault refuses; nothing where it is to be replaced."""
    if replaces:
        return None
    return Existing(
        wrong="Vault refuses what is there, as of another server: remove it, or have it replaced "
        "with --replace-credentials"
    )


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
