"""The Vault token of the person at the terminal, for what the sidecar's own login may not do."""

from pathlib import Path

from sidecar.common.errors import Fault
from sidecar.config import model

DEFAULT = Path("~/.vault-token")
"""Where ``vault login`` puts it."""


def operator_token(given: Path | None, option: str = "--token-file") -> model.TokenFileAuth:
    """Return the login by the file with a token that ``option`` gave, or the default one.

    Raises ``Fault`` if there is none.
    """
    path = (given or DEFAULT).expanduser().absolute()
    if not path.is_file():
        raise Fault(
            f"{path} does not exist: log in with `vault login`, or give a file with a Vault token "
            f"of your own ({option})"
        )
    return model.TokenFileAuth(path=str(path))
