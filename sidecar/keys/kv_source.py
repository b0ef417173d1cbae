"""Keys in an entry of Vault KV v2, and in the earlier versions of the entry.

Vault keeps an entry's earlier versions, and when each was written. They are read once at the
start, and when versions were written between two polls: a key that was replaced a moment ago
verifies until the end of its window, whether this sidecar has seen it or not. During that time
the metadata is read too, because an operator who deletes or destroys the old version withdraws
its key.
"""

import logging
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Protocol

from sidecar.common.clock import Now
from sidecar.config import model
from sidecar.keys.key_set import KeySet
from sidecar.keys.rotation import MAX_RETIRED, Earlier, Statement
from sidecar.keys.sources import KeyFault, parse_key_set
from sidecar.tokens.algorithms import DEFAULT_ALGORITHMS, Algorithm
from sidecar.vault.errors import VaultForbidden, VaultNotFound
from sidecar.vault.history import KvHistory
from sidecar.vault.newest import NewestVersion
from sidecar.vault.ports import KvHistoryReader, KvReader

_log = logging.getLogger("sidecar.keys")


class KeyEntryReader(KvReader, KvHistoryReader, Protocol):
    """What is asked of Vault."""

    async def read_kv_at(self, mount: str, path: str, version: int) -> Any:
        """Return one version. Raises ``VaultNotFound`` if it is deleted or gone."""


class KvKeySource:
    """One entry of Vault KV v2: a PEM, a JWK or a JWKS in one of its fields.

    ``retention_seconds`` is how long after a rotation the previous key may verify: a poll and the
    dual-key window.
    """

    def __init__(
        self,
        settings: model.VaultKvKeys,
        issuer: str,
        vault: KeyEntryReader,
        *,
        now: Now,
        retention_seconds: float,
        algorithms: Sequence[Algorithm] = DEFAULT_ALGORITHMS,
    ) -> None:
        self._settings = settings
        self._algorithms = algorithms
        self._vault = vault
        self._now = now
        self._retention_seconds = retention_seconds
        self._stated: dict[int, Earlier] = {}
        """The keys of each version that was read, by number, for as long as they may verify."""
        self._version = 0
        self._newest = NewestVersion()
        self._removed: set[str] = set()
        """Kids of an entry that was removed with its history, until that is stated."""
        self._may_see_history = True
        self.issuer = issuer
        self.name = f"Vault entry {settings.mount}/{settings.path}"

    async def fetch(self) -> Statement:
        """Read the entry's field, and the earlier versions whose keys may still verify."""
        settings = self._settings
        secret = await self._vault.read_kv(settings.mount, settings.path)
        self._newest.take(self.name, secret.version, secret.written_at)
        found = self._keys_of(secret)
        current = Earlier(found.keys, secret.written_at)
        if secret.version < self._version or self._is_another(secret.version, secret.written_at):
            self._take_back_all()
        first = not self._version
        missed = secret.version > self._version + 1
        earlier: tuple[Earlier, ...] = ()
        gone: frozenset[str] = frozenset()
        if missed or self._matters(secret.version):
            history = await self._history(ask=missed or self._may_see_history)
            if history is not None and any(
                self._is_another(each.number, each.written_at) for each in history.versions
            ):
                self._take_back_all()
                missed = True
            if missed and history is not None:
                earlier = await self._read_earlier(history, secret.version, first=first)
            if history is not None:
                gone = self._gone(history, current)
        self._version = secret.version
        self._stated[secret.version] = current
        self._forget(secret.version)
        listed = {key.kid for each in (current, *earlier) for key in each.keys}
        gone |= (self._removed - listed) | found.distrusted
        self._removed = set()
        return Statement(current.keys, current.written_at, earlier, gone, found.skipped)

    def _take_back_all(self) -> None:
        """Forget an entry that was removed with its history, and withdraw the keys it had.

        Who starts now can't know of them either.
        """
        self._removed |= {key.kid for each in self._stated.values() for key in each.keys}
        self._stated.clear()
        self._version = 0

    def _is_another(self, number: int, written_at: float) -> bool:
        """Tell whether a version is not the one of that number that was read."""
        stated = self._stated.get(number)
        return stated is not None and stated.written_at != written_at

    def _matters(self, current: int) -> bool:
        """Tell whether an earlier version may still have a key that verifies."""
        return any(number != current for number in self._stated)

    def _forget(self, current: int) -> None:
        """Drop versions that were replaced so long ago that their keys no longer verify."""
        oldest = self._now() - self._retention_seconds
        numbers = sorted(self._stated)
        for number, successor in pairwise(numbers):
            if self._stated[successor].written_at < oldest and number != current:
                del self._stated[number]
        while len(self._stated) > MAX_RETIRED + 1:
            del self._stated[min(self._stated)]

    async def _history(self, *, ask: bool) -> KvHistory | None:
        """Read the metadata; return ``None``, and log once, if our policy does not allow it."""
        settings = self._settings
        if not ask:
            return None
        try:
            history = await self._vault.read_kv_history(settings.mount, settings.path)
        except VaultForbidden:
            if self._may_see_history:
                _log.warning(
                    "after a rotation a restart of this sidecar denies tokens of the key before, "
                    "because the entry's history can't be seen: add path \"%s/metadata/%s\" "
                    '{ capabilities = ["read"] } to the policy',
                    settings.mount,
                    settings.path,
                )
            self._may_see_history = False
            return None
        self._may_see_history = True
        return history

    async def _read_earlier(
        self, history: KvHistory, current: int, *, first: bool
    ) -> tuple[Earlier, ...]:
        """Read the earlier versions that were not read when they were current.

        These are the versions that were replaced so recently that their keys may still verify.
        A version that is deleted, or that holds no key, is skipped.
        """
        now = self._now()
        oldest = now - self._retention_seconds
        versions = [each for each in history.versions if each.number <= current]
        replaced = [
            version
            for version, successor in pairwise(versions)
            if version.number > self._version and successor.written_at >= oldest
        ]
        if first and not replaced and versions and versions[-1].written_at >= oldest:
            _log.warning(
                "%s keeps no version but the latest, so tokens of a key it has just replaced are "
                "denied: set its max_versions to 2 or more, or keep both keys in its field",
                self.name,
            )
        found: list[Earlier] = []
        for version in replaced[-MAX_RETIRED:]:
            if version.is_gone(now):
                continue
            try:
                secret = await self._vault.read_kv_at(
                    self._settings.mount, self._settings.path, version.number
                )
                earlier = Earlier(self._keys_of(secret).keys, version.written_at)
            except (VaultNotFound, KeyFault):
                continue
            self._stated[version.number] = earlier
            found.append(earlier)
        return tuple(found)

    def _gone(self, history: KvHistory, current: Earlier) -> frozenset[str]:
        """Return the kids of versions that were deleted since, unless another version has them."""
        now = self._now()
        gone: set[str] = set()
        alive = {key.kid for key in current.keys}
        for number, stated in self._stated.items():
            version = history.find(number)
            is_gone = version is not None and version.is_gone(now)
            (gone if is_gone else alive).update(key.kid for key in stated.keys)
        return frozenset(gone - alive)

    def _keys_of(self, secret: Any) -> KeySet:
        field = self._settings.field
        value = secret.data.get(field)
        if not isinstance(value, str):
            raise KeyFault(f"{self.name} has no text in its field {field!r}")
        try:
            return parse_key_set(value, self.issuer, self._algorithms)
        except KeyFault as fault:
            raise KeyFault(f"{self.name}, field {field!r}: {fault}") from None
