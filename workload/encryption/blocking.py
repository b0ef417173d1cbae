"""The keyring for code without an event loop: one thread has the loop, others ask it."""

from types import TracebackType
from typing import Self

from workload.encryption.errors import FieldInputFault, FieldKeysAway
from workload.encryption.keyring import Keyring
from workload.encryption.places import FieldColumn, KeyScope, RowId
from workload.encryption.scope_keys import ScopeKeys
from workload.loop_thread import LoopThread


class BlockingKeyring:
    """Loads keys for any thread. Make one in each process, after it was forked."""

    def __init__(self, keyring: Keyring, *, timeout_seconds: float = 30.0) -> None:
        """``keyring`` is used by this object alone from now on."""
        self._keyring = keyring
        self._timeout_seconds = timeout_seconds
        self._thread = LoopThread("field-keys", timeout_seconds)

    def load(self, scope: KeyScope) -> ScopeKeys:
        """Return the keys of a scope; see ``Keyring.load``."""
        found = self._keyring.cached(scope)
        if found is not None:
            return found
        if self._thread.is_foreign:
            raise FieldInputFault("make a BlockingKeyring in each process, after the fork")
        if self._thread.is_closed:
            raise FieldKeysAway("the keyring is closed")
        try:
            return self._thread.run(self._keyring.load(scope))
        except TimeoutError:
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
        if self._thread.is_closed or self._thread.is_foreign:
            return
        try:
            self._thread.run(self._keyring.aclose())
        finally:
            self._thread.close()

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
