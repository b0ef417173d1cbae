"""The same for code without an event loop: one thread has the loop, others ask it."""

from types import TracebackType
from typing import Self

from workload.loop_thread import LoopThread
from workload.secrets.client import DAY_SECONDS, Secrets
from workload.secrets.database import DatabaseCredentials
from workload.secrets.entry import EntryVersion, FollowedEntry
from workload.settings import DatabaseRole, KvEntry, VaultServer


class BlockingSecrets:
    """``Secrets`` for any thread. Make one in each process, after it was forked.

    What it returns is read from any thread, too. Raises what ``Secrets`` raises, and
    ``TimeoutError``.
    """

    def __init__(self, server: VaultServer, *, timeout_seconds: float = 30.0) -> None:
        self._thread = LoopThread("secrets", timeout_seconds)
        self._secrets = self._thread.run(_make(server))

    def read(self, entry: KvEntry) -> EntryVersion:
        """Read an entry once."""
        return self._thread.run(self._secrets.read(entry))

    def follow(
        self, entry: KvEntry, *, poll_seconds: float = 60.0, max_stale_seconds: float = DAY_SECONDS
    ) -> FollowedEntry:
        """Read an entry, and again every ``poll_seconds``; see ``Secrets.follow``."""
        return self._thread.run(
            self._secrets.follow(
                entry, poll_seconds=poll_seconds, max_stale_seconds=max_stale_seconds
            )
        )

    def database(
        self, role: DatabaseRole, *, overlap_seconds: float = 300.0
    ) -> DatabaseCredentials:
        """Obtain a database user; see ``Secrets.database``."""
        return self._thread.run(self._secrets.database(role, overlap_seconds=overlap_seconds))

    def close(self) -> None:
        """Revoke what was leased, and end the thread."""
        if self._thread.is_closed or self._thread.is_foreign:
            return
        try:
            self._thread.run(self._secrets.__aexit__(None, None, None))
        finally:
            self._thread.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


async def _make(server: VaultServer) -> Secrets:
    return await Secrets(server).__aenter__()
