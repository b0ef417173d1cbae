"""Keeps only the latest version of entries that we write: older ones hold replaced keys.

A folder's metadata does not apply to the entries below it, so each entry has its own
(``max_versions``), and Vault removes older versions at the entry's next write.
"""

from collections import OrderedDict
from typing import Any

_MAX_KNOWN = 4096


class CappedEntries:
    """The entries that were capped, so that a process caps each only once."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()

    def lacks(self, mount: str, path: str, cas: int) -> bool:
        """Tell whether an entry must be capped before the write; a new one always must."""
        return cas == 0 or (mount, path) not in self._known

    def add(self, mount: str, path: str) -> None:
        """Record a capped entry; the oldest are dropped, and capped once more."""
        self._known[mount, path] = None
        if len(self._known) > _MAX_KNOWN:
            self._known.popitem(last=False)


def keep_one_version(client: Any, mount: str, path: str) -> None:
    """Let Vault keep only the latest version of an entry, from its next write on.

    Makes the entry's metadata if there is none, and changes nothing else of it (hvac's own
    call would reset ``delete_version_after``). Needs ``create`` and ``update`` on
    ``<mount>/metadata/<path>``. Raises the exceptions of hvac.
    """
    client.adapter.post(url=f"/v1/{mount}/metadata/{path}", json={"max_versions": 1})
