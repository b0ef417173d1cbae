"""The entries of Vault KV that a configuration names, and what copying them takes. Pure."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from sidecar.common.errors import Fault
from sidecar.config import model
from sidecar.doctor.entry_texts.commands import BACKUP, RESTORE
from sidecar.doctor.entry_texts.text import EntryText
from sidecar.doctor.needs import needs_of
from sidecar.doctor.vault_paths import VaultEngine, VaultNeed

LEFT_OUT = {"session_ticket_keys"}
"""Made again when they are missing; an archive of them would open recorded connections."""
_COMMANDS = {BACKUP: "vault backup", RESTORE: "vault restore"}


class KvPlace(NamedTuple):
    """An entry, or every entry below a path."""

    mount: str
    path: str
    is_folder: bool
    settings: tuple[str, ...]

    @property
    def name(self) -> str:
        """It, for messages and as ``--without`` has it."""
        return f"{self.mount}/{self.path}" + "/*" * self.is_folder

    def holds(self, mount: str, path: str) -> bool:
        """Tell whether an entry is of this place."""
        if mount != self.mount:
            return False
        return path.startswith(f"{self.path}/") if self.is_folder else path == self.path


def places_of(config: model.Config, without: Iterable[str] = ()) -> tuple[KvPlace, ...]:
    """Return where the entries are, in the order of the settings; none of session tickets.

    ``without`` names settings, such as ``audit.pseudonyms``. Raises ``Fault`` for one that no
    entry is for: what is misspelt would be in the archive.
    """
    found: dict[tuple[str, str], list[str]] = {}
    for need in needs_of(config):
        if need.engine is VaultEngine.KV and need.path.startswith(data := f"{need.mount}/data/"):
            entry = need.mount, need.path.removeprefix(data)
            found.setdefault(entry, []).append(need.setting)
    left_out = {*LEFT_OUT, *without}
    for each in without:
        if not any(_is_of(setting, each) for of in found.values() for setting in of):
            known = dict.fromkeys(setting for of in found.values() for setting in of)
            raise Fault(f"no entry is for {each!r}; the settings with entries: {', '.join(known)}")
    return tuple(
        KvPlace(mount, path.removesuffix("/*"), path.endswith("/*"), tuple(dict.fromkeys(of)))
        for (mount, path), of in found.items()
        if not any(_is_of(setting, each) for setting in of for each in left_out)
    )


def backup_needs(config: model.Config) -> tuple[VaultNeed, ...]:
    """Return what a token needs that reads all of it."""
    return tuple(need for place in places_of(config) for need in _needs(place, BACKUP, "read"))


def restore_needs(config: model.Config) -> tuple[VaultNeed, ...]:
    """Return what a token needs that compares and writes all of it."""
    names = ("create", "read", "update")
    return tuple(need for place in places_of(config) for need in _needs(place, RESTORE, *names))


def _needs(place: KvPlace, text: EntryText, *names: str) -> Iterator[VaultNeed]:
    setting = f"{place.settings[0]}, {_COMMANDS[text]}"
    below = "/*" * place.is_folder
    for kind in ("data", "metadata"):
        path = f"{place.mount}/{kind}/{place.path}{below}"
        listing = ("list",) if place.is_folder and kind == "metadata" and names == ("read",) else ()
        yield VaultNeed(path, frozenset({*names, *listing}), setting, text)
        if listing:
            folder = f"{place.mount}/{kind}/{place.path}"
            yield VaultNeed(folder, frozenset(listing), setting, text)


def _is_of(setting: str, named: str) -> bool:
    """Tell whether a setting is the one that is named, or a part of it."""
    return setting == named or setting.startswith((f"{named}.", f"{named}[", f"{named},"))
