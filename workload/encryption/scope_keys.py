"""The keys of one scope, as an application holds them: seal a value, open a value.

No call waits: what it needs is in memory, or it fails. An object lives on while the keyring
refreshes it, so that a rotation reaches whoever holds it; past ``usable_until`` it wipes itself.
"""

import os
from collections.abc import Mapping

from cryptography.exceptions import InvalidTag

from workload.clock import Now
from workload.encryption.data_key import FieldKey
from workload.encryption.errors import FieldInputFault, FieldKeysAway, ValueDoesNotOpen
from workload.encryption.places import FieldColumn, KeyPurpose, KeyScope, RowId, encode_row
from workload.encryption.sealed import MAX_VALUE_BYTES, NONCE_BYTES, SealedParts, read_sealed


class ScopeKeys:
    """Every live version of a scope's data key, one of which writes."""

    def __init__(self, scope: KeyScope, clock: Now) -> None:
        self.scope = scope
        self._clock = clock
        self._keys: Mapping[int, FieldKey] = {}
        self._writing: FieldKey | None = None
        self._usable_until = float("-inf")
        self._may_seal = scope.purpose is KeyPurpose.SEAL

    def __repr__(self) -> str:
        """Show the scope and the versions."""
        return f"ScopeKeys({self.scope!r}, versions={sorted(self._keys)})"

    @property
    def writing_version(self) -> int:
        """The version that new values are sealed under."""
        return self.writing_key().version

    @property
    def versions(self) -> tuple[int, ...]:
        """The versions that can be opened, the newest first."""
        return tuple(sorted(self._keys, reverse=True))

    def update(self, keys: Mapping[int, FieldKey], writing: int, usable_until: float) -> None:
        """Take the versions that hold now; ``usable_until`` is monotonic seconds."""
        self._keys, self._writing = dict(keys), keys[writing]
        self._usable_until = usable_until

    def is_usable(self, now: float) -> bool:
        """Return whether keys are here, and not too old."""
        writing = self._writing
        return writing is not None and not writing.is_wiped and now < self._usable_until

    def held(self) -> Mapping[int, FieldKey]:
        """Return the keys by version: for the keyring, and nobody else."""
        return self._keys

    def live_keys(self) -> list[FieldKey]:
        """Return every key, the one that writes first. Raises ``FieldKeysAway``."""
        first = self.writing_key()
        return [first, *(key for key in self._keys.values() if key is not first)]

    def seal(self, value: bytes, column: FieldColumn, row: RowId) -> bytes:
        """Seal a value for its place. Raises ``FieldInputFault`` and ``FieldKeysAway``."""
        if not isinstance(value, bytes | bytearray) or len(value) > MAX_VALUE_BYTES:
            raise FieldInputFault(f"a value is bytes, {MAX_VALUE_BYTES} of them at most")
        if not self._may_seal:
            raise FieldInputFault("keys of an index seal nothing")
        place = self.scope.encoded + column.encoded + encode_row(row)
        header, aead, _, _ = self.writing_key().writer()
        nonce = os.urandom(NONCE_BYTES)
        return header + nonce + aead.encrypt(nonce, bytes(value), header + place)

    def open(self, sealed: bytes, column: FieldColumn, row: RowId) -> bytes:
        """Open a value at its place. Raises ``ValueDoesNotOpen`` and ``FieldKeysAway``."""
        keys = self._keys  # as they are before the look: another thread may wipe them after it
        self.writing_key()  # not past their time
        place = self.scope.encoded + column.encoded + encode_row(row)
        parts = read_sealed(sealed)
        value = None if parts is None else self._open(keys, parts, place)
        if value is None:
            raise ValueDoesNotOpen
        return value

    def seal_text(self, text: str, column: FieldColumn, row: RowId) -> bytes:
        """Seal a text, as UTF-8."""
        try:
            value = text.encode()
        except (AttributeError, UnicodeEncodeError):
            raise FieldInputFault("the value is no text that UTF-8 can hold") from None
        return self.seal(value, column, row)

    def open_text(self, sealed: bytes, column: FieldColumn, row: RowId) -> str:
        """Open a text."""
        value = self.open(sealed, column, row)
        try:
            return value.decode()
        except UnicodeDecodeError:
            pass
        raise ValueDoesNotOpen

    def wipe(self) -> None:
        """Overwrite every key; whoever still holds this object gets ``FieldKeysAway``."""
        self._usable_until = float("-inf")
        keys, self._keys, self._writing = self._keys, {}, None
        for key in keys.values():
            key.wipe()

    def writing_key(self) -> FieldKey:
        """Return the key that writes. Raises ``FieldKeysAway`` when the keys are past their time.

        ``usable_until`` is how long they may be used without Vault having confirmed them.
        """
        writing = self._writing
        if writing is None or self._clock() >= self._usable_until:
            self.wipe()
            raise FieldKeysAway(
                "the data keys are past their time in memory, and were wiped; load them again"
            )
        return writing

    @staticmethod
    def _open(keys: Mapping[int, FieldKey], parts: SealedParts, place: bytes) -> bytes | None:
        key = keys.get(parts.version)
        if key is None:
            return None
        try:
            return key.reader(parts.writer).decrypt(parts.nonce, parts.body, parts.header + place)
        except InvalidTag:
            return None
