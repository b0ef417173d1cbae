"""Revocations in Vault KV v2: one entry, and all the entries below it.

A list of any length is spread over entries below the path (``iam/revocations/2026-11-25``,
``iam/revocations/shop-7``, as the writer likes). Their names are listed and their versions
compared; only changed entries are read. OpenBao lists names and versions in one call, so that a
poll costs two calls however many entries there are; with Vault, or without the right to that
list, it costs one more for each. An entry that can't be read does not affect the others: its last
content stays in force, and the status of the poll names it.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import NamedTuple, Protocol

import msgspec

from sidecar.common.blocking import BlockingRunner, BlockingRunnerBusy
from sidecar.common.clock import Now
from sidecar.common.errors import Fault
from sidecar.common.polling import fault_of
from sidecar.config import model
from sidecar.tokens.revocation import RevocationPart, compile_entry
from sidecar.tokens.revocation_entry import RevocationFault, read_entry
from sidecar.vault.errors import VaultForbidden, VaultNotFound
from sidecar.vault.history import NO_HISTORY, KvHistory, moment
from sidecar.vault.newest import NewestVersion
from sidecar.vault.ports import KvHistoryLister, KvHistoryReader, KvLister

MAX_ENTRIES = 512
MAX_REVOKED = 2_000_000
"""The most revocations in all entries together: about 200 MB."""
_COMPILE_SECONDS = 60.0
_FORBIDDEN_SECONDS = 300.0
"""How long metadata is not requested again after our policy did not allow it, nor a list of
versions after that was not to be had."""

_log = logging.getLogger("sidecar.keys")

Mark = tuple[int, float]
"""What differs whenever an entry's content may: its version, and when that was written."""


class RevocationReader(KvHistoryReader, KvLister, KvHistoryLister, Protocol):
    """What is asked of Vault."""

    async def read_kv_raw(self, mount: str, path: str) -> bytes:
        """Return Vault's answer with the latest version."""


class Held(NamedTuple):
    """The content of an entry when it was read."""

    mark: Mark
    parts: tuple[RevocationPart, ...]
    compiled_at: float = 0.0
    """By our clock (Unix seconds). What had ceased to matter by then is not among the parts."""

    def is_of(self, mark: Mark, now: float) -> bool:
        """Tell whether an entry with this mark would come to the same now.

        Not where our clock was ahead: what it took for past may be still to come.
        """
        return self.mark == mark and self.compiled_at <= now

    def size(self) -> int:
        """Return the number of its revocations."""
        return sum(map(len, self.parts))


class _Metadata(msgspec.Struct):
    version: int
    created_time: str


class _KvResponseData(msgspec.Struct):
    data: msgspec.Raw
    metadata: _Metadata


class _Answer(msgspec.Struct):
    data: _KvResponseData


_answer = msgspec.json.Decoder(_Answer)


class KvRevocationSource:
    """The entry at ``path`` and those below it. A missing entry revokes nothing."""

    def __init__(
        self,
        settings: model.RevocationsSettings,
        vault: RevocationReader,
        *,
        retention_seconds: float,
        now: Now,
        clock: Callable[[], float],
    ) -> None:
        """``retention_seconds`` is how long a token can be valid: longest lifetime and leeway."""
        self._settings = settings
        self._vault = vault
        self._retention_seconds = retention_seconds
        self._now = now
        self._clock = clock
        self._runner = BlockingRunner("revocations", 1)
        self._ask_metadata_at = 0.0
        self._list_versions_at = 0.0
        self._newest: dict[str, NewestVersion] = {}
        self.held: dict[str, Held] = {}
        self.name = f"Vault entry {settings.mount}/{settings.path}"

    def close(self) -> None:
        """Stop the thread."""
        self._runner.close()

    def parts(self) -> Iterator[RevocationPart]:
        """Yield the revocations whose tokens may still be valid."""
        now = self._now()
        for held in self.held.values():
            yield from (part for part in held.parts if part.ends_at > now)

    async def poll(self, changed: Callable[[], None]) -> None:
        """Read the changed entries, and call ``changed`` after each.

        Raises the first ``Fault`` after everything else was read.
        """
        faults: list[Fault] = []
        try:
            below = await self._entries_below(faults)
        except Exception as exc:  # noqa: BLE001 - the poll's edge: the entries we know are read all the same
            faults.append(fault_of(exc, self.name))
            below = dict.fromkeys(self.held)
        else:
            self._forget_all_but([self._settings.path, *below], changed)
        for path, history in {self._settings.path: None, **below}.items():
            try:
                await self._look_at(path, history, changed)
            except Exception as exc:  # noqa: BLE001 - one entry does not affect the others
                faults.append(fault_of(exc, f"Vault entry {self._settings.mount}/{path}"))
            await asyncio.sleep(0)
        if faults:
            raise faults[0]

    def _forget_all_but(self, paths: list[str], changed: Callable[[], None]) -> None:
        gone = self.held.keys() - set(paths)
        for path in gone:
            del self.held[path]
        for path in self._newest.keys() - set(paths):
            del self._newest[path]
        if gone:
            changed()

    async def _entries_below(self, faults: list[Fault]) -> dict[str, KvHistory | None]:
        """List the entries below, with their versions where those are listed.

        What of them is not read, because it may not be, is a fault.
        """
        mount, path = self._settings.mount, self._settings.path
        if not self._settings.spread:
            return {}
        try:
            names = await self._names_below()
        except VaultForbidden as fault:
            raise VaultForbidden(
                f"{fault}; entries below {path} can't be seen: add "
                f'path "{mount}/metadata/{path}" {{ capabilities = ["list", "read"] }} to the '
                "policy, or set keys.revocations.spread to false"
            ) from None
        folders = [name for name in names if name.endswith("/")]
        if folders:
            faults.append(
                RevocationFault(
                    f"{self.name}: {folders[0][:64]!r} below it is a folder; put entries directly "
                    "below"
                )
            )
        histories = {f"{path}/{name}": names[name] for name in names if not name.endswith("/")}
        below = list(histories)
        if len(below) > MAX_ENTRIES:
            faults.append(
                RevocationFault(f"{self.name}: more than {MAX_ENTRIES} entries are below it")
            )
            # Those we know first: what they say must not cease to hold because of one more.
            below.sort(key=lambda each: each not in self.held)
        return {each: histories[each] for each in below[:MAX_ENTRIES]}

    async def _names_below(self) -> Mapping[str, KvHistory | None]:
        """List what is below, in one call with the versions where Vault and our policy allow it."""
        mount, path = self._settings.mount, self._settings.path
        if self._clock() >= self._list_versions_at:
            try:
                listed = await self._vault.list_kv_histories(mount, path)
            except VaultForbidden:
                listed = None
            if listed:
                return listed
            if listed is None:
                self._list_versions_at = self._clock() + _FORBIDDEN_SECONDS
        # Asked plainly too before it is believed that nothing is there: nothing is revoked then.
        return dict.fromkeys(await self._vault.list_kv(mount, path))

    async def _look_at(
        self, path: str, listed: KvHistory | None, changed: Callable[[], None]
    ) -> None:
        """Read one entry, if it may have changed; ``listed`` is its history if that is known."""
        before = self.held.get(path)
        history = listed or await self._history(path)
        if history == NO_HISTORY and before is None:
            return  # there is no such entry: most lists have none at the path itself
        mark = self._mark(path, history)
        if before is not None and mark is not None and before.is_of(mark, self._now()):
            return
        try:
            raw = await self._vault.read_kv_raw(self._settings.mount, path)
        except VaultNotFound:
            if self.held.pop(path, None) is not None:
                changed()
            return
        after = await self._compile(path, raw, before)
        self._check_newest(path, *after.mark)
        if after is before:
            return
        others = sum(held.size() for other, held in self.held.items() if other != path)
        if others + after.size() > MAX_REVOKED:
            raise RevocationFault(
                f"Vault entry {self._settings.mount}/{path}: over {MAX_REVOKED} revocations in all"
            )
        self.held[path] = after
        changed()

    async def _history(self, path: str) -> KvHistory | None:
        """Read which versions an entry has; ``None`` if our policy does not allow it."""
        if self._clock() < self._ask_metadata_at:
            return None
        mount = self._settings.mount
        try:
            return await self._vault.read_kv_history(mount, path)
        except VaultForbidden:
            self._ask_metadata_at = self._clock() + _FORBIDDEN_SECONDS
            _log.warning(
                "revocations are read whole at every poll, because their versions can't be seen: "
                'add path "%s/metadata/%s" { capabilities = ["read"] } to the policy',
                mount,
                path if path == self._settings.path else f"{self._settings.path}/*",
            )
            return None

    def _mark(self, path: str, history: KvHistory | None) -> Mark | None:
        """Return the mark of an entry's latest version; ``None`` if that is gone or unknown."""
        latest = None if history is None else history.latest
        if latest is None or latest.is_gone(self._now()):
            return None
        self._check_newest(path, latest.number, latest.written_at)
        return latest.number, latest.written_at

    def _check_newest(self, path: str, number: int, written_at: float) -> None:
        """Raise ``VaultStale`` for a version older than what was read: that stays in force."""
        newest = self._newest.setdefault(path, NewestVersion())
        newest.take(f"Vault entry {self._settings.mount}/{path}", number, written_at)

    async def _compile(self, path: str, raw: bytes, before: Held | None) -> Held:
        work = partial(self._compile_in_thread, raw, before)
        where = f"Vault entry {self._settings.mount}/{path}"
        try:
            return await self._runner.run(work, _COMPILE_SECONDS)
        except (BlockingRunnerBusy, TimeoutError):
            raise RevocationFault(f"{where}: decoding it takes too long") from None
        except RevocationFault as fault:
            raise RevocationFault(
                f"{where}: the list of revocations is not understood: {fault}"
            ) from None

    def _compile_in_thread(self, raw: bytes, before: Held | None) -> Held:
        try:
            entry = _answer.decode(raw).data
            mark = entry.metadata.version, moment(entry.metadata.created_time)
        except (msgspec.DecodeError, ValueError) as exc:
            raise RevocationFault(f"Vault's answer: {type(exc).__name__}") from None
        now = self._now()
        if before is not None and before.is_of(mark, now):
            return before
        parts = compile_entry(read_entry(entry.data), now, self._retention_seconds)
        return Held(mark, parts, now)
