"""The settings: one TOML file that holds no secret, only where the secrets are."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workload.errors import Fault


class ExampleSettingsFault(Fault):
    """The file can't be read, or says something else than is asked for."""


@dataclass(frozen=True, slots=True)
class ExampleSettings:
    """Each a text. The URLs are SQLAlchemy's, ``postgresql+psycopg://role@/database?host=…``."""

    socket: str
    """The Unix socket that Envoy connects to."""
    orders_url: str
    seal_key_file: str
    """Written by ``septem tenancy seal``."""
    accounts_url: str
    vault_address: str
    vault_token_file: str
    kek: str
    """The transit key that wraps the tenants' data keys."""


def read_settings(path: str | Path) -> ExampleSettings:
    """Read the file. Raises ``ExampleSettingsFault``, which names what is wrong."""
    try:
        given: dict[str, Any] = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        raise ExampleSettingsFault(f"{path} can't be read as TOML: {fault}") from None
    names = ExampleSettings.__slots__
    wrong = sorted(given.keys() ^ set(names))
    wrong += sorted(name for name in names if not isinstance(given.get(name, ""), str))
    if wrong:
        raise ExampleSettingsFault(
            f"{path}: each of {', '.join(names)} must be there and be a text, and nothing else; "
            f"look at {', '.join(wrong)}"
        )
    return ExampleSettings(**given)
