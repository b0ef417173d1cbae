"""One thing that a configuration needs in Vault: how it is looked for, and how it is made.

A step reads before it writes, and what is there is never changed. ``command`` does the same for
a person with a shell and ``bao``.
"""

import shlex
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from hvac import exceptions

from sidecar.vault.client import VaultClient

OPERATION = "setup"


class Existing(NamedTuple):
    """What is there already; ``wrong`` says why it can't be used, and is empty if it can."""

    detail: str = ""
    wrong: str = ""


class SetupOutcome(StrEnum):
    """What became of one step."""

    MADE = "made"
    THERE = "there"
    WOULD_MAKE = "to make"
    """Nothing was done: it was a dry run."""
    LEFT = "left"
    """It is somebody else's to write: nobody but its owner has it."""
    DIFFERS = "differs"
    """It is there, and not as the settings need it."""
    FAILED = "failed"


class SetupResult(NamedTuple):
    """What became of one step, and the command that does the same."""

    name: str
    outcome: SetupOutcome
    detail: str
    command: str
    settings: tuple[str, ...]


class SetupStep(Protocol):
    """One step; ``look`` and ``make`` raise ``Fault``."""

    @property
    def name(self) -> str:
        """Return what it makes."""

    @property
    def settings(self) -> tuple[str, ...]:
        """Return the settings that it is for."""

    @property
    def command(self) -> str:
        """Return a line for a shell that does the same."""

    @property
    def is_left(self) -> bool:
        """Tell whether only its owner can make it."""

    async def look(self, vault: VaultClient) -> Existing | None:
        """Return what is there; ``None`` if nothing is."""

    async def make(self, vault: VaultClient) -> str:
        """Make it, and return a detail."""


class WriteStep(NamedTuple):
    """A step that is one write to Vault. Pure but for ``look`` and ``make``."""

    name: str
    settings: tuple[str, ...]
    command: str
    looked_at: str
    """The path that is read to see whether it is there."""
    picked: str
    """The field of that answer's data to look at; empty for all of it."""
    written: str
    """The path that is written; empty for what is left to its owner."""
    data: Callable[[], Mapping[str, Any]]
    judge: Callable[[Any], str]
    """Returns why what is there can't be used; an empty text if it can."""

    @property
    def is_left(self) -> bool:
        """Tell whether only its owner can make it."""
        return not self.written

    async def look(self, vault: VaultClient) -> Existing | None:
        """Read it. Raises ``VaultFault``."""
        data = await read_data(vault, self.looked_at)
        if data is None or (self.picked and not data.get(self.picked)):
            return None
        return Existing(wrong=self.judge(data.get(self.picked) if self.picked else data))

    async def make(self, vault: VaultClient) -> str:
        """Write it. Raises ``VaultFault``."""
        await write_data(vault, self.written, self.data())
        return ""


def usable(_held: Any) -> str:
    """Judge nothing: that it is there is enough."""
    return ""


async def read_data(vault: VaultClient, path: str) -> Mapping[str, Any] | None:
    """Read a path; ``None`` if nothing is there. Raises ``VaultFault``."""

    def read(client: Any) -> Mapping[str, Any] | None:
        try:
            answer = client.adapter.get(url=f"/v1/{path}")
        except exceptions.InvalidPath:
            return None
        data: Mapping[str, Any] = answer["data"]
        return data

    return await vault.perform(OPERATION, path, read)


async def write_data(
    vault: VaultClient, path: str, data: Mapping[str, Any], wrap_ttl: str | None = None
) -> Mapping[str, Any]:
    """Write a path, and return Vault's answer; empty if it says nothing. Raises ``VaultFault``."""

    def write(client: Any) -> Mapping[str, Any]:
        answer = client.adapter.post(url=f"/v1/{path}", json=dict(data), wrap_ttl=wrap_ttl)
        return answer if isinstance(answer, dict) else {}

    return await vault.perform(OPERATION, path, write)


def shell(*words: str) -> str:
    """Return a command as a person pastes it, each word quoted where it must be."""
    return shlex.join(words)


def parameters(values: Mapping[str, Any]) -> list[str]:
    """Return the parameters of ``bao write``: lists with commas, truth in small letters."""
    return [f"{name}={_text(value)}" for name, value in values.items()]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(value) if isinstance(value, list | tuple) else str(value)
