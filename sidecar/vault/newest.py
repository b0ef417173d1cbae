"""Which answer of Vault is older than one that was read before. Pure.

Where standbys answer reads, one that lags behind its leader tells what an entry said a while
ago: a key that has been replaced since, a list without the token that was revoked since. What
was read before is newer, and stays in force.
"""

from sidecar.vault.errors import VaultStale

OLDER_IN_A_ROW = 3
"""So many older answers, and none that is not: it is no standby, a backup was restored."""


class NewestVersion:
    """The newest version of one entry of KV v2 that was read."""

    def __init__(self) -> None:
        self._newest: tuple[int, float] | None = None
        self._older = 0

    def take(self, where: str, version: int, written_at: float) -> None:
        """Take note of an answer; raise ``VaultStale`` for one that is older than one before.

        An entry that was removed and made anew counts from one again, and was written later.
        """
        newest = self._newest
        if newest is not None and version < newest[0] and written_at < newest[1]:
            self._older += 1
            if self._older < OLDER_IN_A_ROW:
                raise VaultStale(
                    f"{where}: Vault answers version {version} after version {newest[0]}; does a "
                    "standby lag behind its leader?"
                )
        self._older = 0
        self._newest = version, written_at
