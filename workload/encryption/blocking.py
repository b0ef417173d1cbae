"""The keyring for code without an event loop: one thread has the loop, others ask it."""

import asyncio
import os
import threading
from concurrent.futures import TimeoutError as FutureTimeout
from types import TracebackType
from typing import Self

from workload.encryption.errors import FieldInputFault, FieldKeysAway
from workload.encryption.keyring import Keyring
from workload.encryption.places import FieldColumn, KeyScope, RowId
from workload.encryption.scope_keys import ScopeKeys


class BlockingKeyring:
    """Loads keys for any thread. Make one in each process, after it was forked."""

    def __init__(self, keyring: Keyring, *, timeout_seconds: float = 30.0) -> None:
        """``keyring`` is used by this object alone from now on."""
        self._keyring = keyring
        self._timeout_seconds = timeout_seconds
        self._process = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="field-keys", daemon=True
        )
        self._thread.start()

    def load(self, scope: KeyScope) -> ScopeKeys:
        """Return the keys of a scope; see ``Keyring.load``."""
        found = self._keyring.cached(scope)
        if found is not None:
            return found
        if os.getpid() != self._process:
            raise FieldInputFault("make a BlockingKeyring in each process, after the fork")
        if not self._thread.is_alive() or self._loop.is_closed():
            raise FieldKeysAway("the keyring is closed")
        future = asyncio.run_coroutine_threadsafe(self._keyring.load(scope), self._loop)
        try:
            return future.result(self._timeout_seconds)
        except FutureTimeout:
            future.cancel()
            raise FieldKeysAway(
                f"the data keys were not there within {self._timeout_seconds:g} s"
            ) from None

    def seal(self, scope: KeyScope, value: bytes, column: FieldColumn, row: RowId) -> bytes:
        """Load the keys and seal one value."""
        return self.load(scope).seal(value, column, row)

    def open(self, scope: KeyScope, sealed: bytes, column: FieldColumn, row: RowId) -> bytes:
        """Load the keys and open one value."""
        return self.load(scope).open(sealed, column, row)

    def close(self) -> None:
        """Wipe the keys and end the thread."""
        if self._loop.is_closed() or os.getpid() != self._process:
            return
        closing = asyncio.run_coroutine_threadsafe(self._keyring.aclose(), self._loop)
        try:
            closing.result(self._timeout_seconds)
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(self._timeout_seconds)
            self._loop.close()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()
