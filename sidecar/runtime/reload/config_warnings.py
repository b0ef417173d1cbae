"""The warnings of the configuration in force: logged once, and counted for the operator."""

import logging
from collections.abc import MutableMapping
from pathlib import Path

MAX_LOGGED = 20
FACT = "config_warnings"

_log = logging.getLogger("sidecar.config")


class ConfigWarnings:
    """What ``sidecar config check`` warns of. ``facts`` are those of ``/readyz``."""

    def __init__(self, path: Path, facts: MutableMapping[str, str]) -> None:
        self._path = path
        self._facts = facts
        self.found: tuple[str, ...] = ()

    def show(self, found: tuple[str, ...]) -> None:
        """Take the warnings of the configuration in force; log those that are new."""
        fresh = [each for each in found if each not in self.found]
        for each in fresh[:MAX_LOGGED]:
            _log.warning("%s: %s", self._path, each)
        if len(fresh) > MAX_LOGGED:
            more = len(fresh) - MAX_LOGGED
            _log.warning("%s: %d more warnings: `sidecar config check` lists all", self._path, more)
        self.found = found
        if found:
            self._facts[FACT] = f"{len(found)}: `sidecar config check` lists them"
        else:
            self._facts.pop(FACT, None)
