"""What we write to Vault KV v2 leaves no older version behind: those hold keys that were replaced.

A folder's metadata does not reach the entries below it, so each entry has its own
(``max_versions``), and Vault removes what is over when the entry is written next.
"""

from collections import OrderedDict
from typing import Any

_MAX_KNOWN = 4096


class CappedEntries:
    """The entries that were seen to, so that each is seen to once by a process."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()

    def lacks(self, mount: str, path: str, cas: int) -> bool:
        """Tell whether an entry is to be capped before it is written; a new one always is."""
        return cas == 0 or (mount, path) not in self._known

    def add(self, mount: str, path: str) -> None:
        """Take note of one; the oldest are forgotten, and seen to once more."""
        self._known[mount, path] = None
        if len(self._known) > _MAX_KNOWN:
            self._known.popitem(last=False)


def keep_one_version(client: Any, mount: str, path: str) -> None:
    """Have Vault keep the latest version of an entry alone, from its next write on.

    Makes the entry's metadata if there is none, and changes nothing else of it (hvac's own
    call would reset ``delete_version_after``). Needs ``create`` and ``update`` on
    ``<mount>/metadata/<path>``. Raises what hvac raises.
    """
    client.adapter.post(url=f"/v1/{mount}/metadata/{path}", json={"max_versions": 1})
