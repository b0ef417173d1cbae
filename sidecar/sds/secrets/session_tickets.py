"""Session-ticket keys of a fleet: which exist, which encrypts, when the next is made. Pure.

A key is written to Vault before it is used: ``lead`` seconds ahead, in which every sidecar
polls at least twice. So no Envoy encrypts with a key that another one can't decrypt with.
Then it encrypts for ``rotate_seconds``, and decrypts for as long again. Two or three keys
are kept; Envoy encrypts with the first of its list.

The ends of a key's life depend on the time alone, and on what is written: sidecars agree
without communicating. ``serial`` counts all keys that were ever made; it is not secret.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import msgspec

from sidecar.sds.secrets.source import SecretFault

KEY_BYTES = 80
"""Envoy's format: a name, an HMAC key and an AES key (``TlsSessionTicketKeys.keys``)."""
MAX_KEYS = 3


class TicketKey(msgspec.Struct, frozen=True):
    """One key. ``encrypts_from`` is Unix seconds."""

    serial: int
    encrypts_from: float
    key: bytes

    def __repr__(self) -> str:
        """Name the key, without its value."""
        return f"TicketKey(serial={self.serial}, encrypts_from={self.encrypts_from})"


class TicketRing(msgspec.Struct, frozen=True):
    """The keys, oldest first."""

    keys: tuple[TicketKey, ...] = ()

    def current(self, now: float) -> TicketKey | None:
        """Return the key that encrypts now: the newest whose time has come."""
        begun = [each for each in self.keys if each.encrypts_from <= now]
        return begun[-1] if begun else (self.keys[0] if self.keys else None)

    def served(self, now: float) -> tuple[bytes, ...]:
        """Return the keys for Envoy: the one that encrypts, then the others, new first."""
        current = self.current(now)
        others = [each.key for each in reversed(self.keys) if each is not current]
        return () if current is None else (current.key, *others)

    def next_change(self, now: float) -> float | None:
        """Return when the next key begins to encrypt (Unix seconds), if there is one."""
        return min((k.encrypts_from for k in self.keys if k.encrypts_from > now), default=None)

    def successor(
        self, now: float, *, rotate_seconds: float, lead_seconds: float, fresh: bytes
    ) -> "TicketRing | None":
        """Return the ring with one more key, if it is time to make one, else ``None``.

        The very first key encrypts at once: no other sidecar has a key yet.
        """
        if not self.keys:
            return TicketRing((TicketKey(1, now, fresh),))
        newest = self.keys[-1]
        due = newest.encrypts_from + rotate_seconds - lead_seconds
        if now < due:
            return None
        begins = max(newest.encrypts_from + rotate_seconds, now + lead_seconds)
        added = TicketKey(newest.serial + 1, begins, fresh)
        return TicketRing((*self.keys, added)[-MAX_KEYS:])

    def to_entry(self) -> dict[str, Any]:
        """Return the ring as the data of an entry in Vault KV."""
        return {
            "keys": [
                {
                    "serial": each.serial,
                    "encrypts_from": each.encrypts_from,
                    "key": base64.b64encode(each.key).decode("ascii"),
                }
                for each in self.keys
            ]
        }


class _Written(msgspec.Struct):
    serial: int
    encrypts_from: float
    key: str


class _TicketEntry(msgspec.Struct):
    keys: list[_Written]


def read_ring(entry: Mapping[str, Any], where: str) -> TicketRing:
    """Read an entry of Vault KV. Raises ``SecretFault``, which does not quote it."""
    try:
        written = msgspec.convert(dict(entry), _TicketEntry).keys
        keys = tuple(
            TicketKey(each.serial, each.encrypts_from, base64.b64decode(each.key, validate=True))
            for each in written
        )
    except (msgspec.ValidationError, binascii.Error):
        raise SecretFault(f"{where} holds no session-ticket keys") from None
    if not 0 < len(keys) <= MAX_KEYS or any(len(each.key) != KEY_BYTES for each in keys):
        raise SecretFault(f"{where} must hold 1 to {MAX_KEYS} keys of {KEY_BYTES} bytes")
    if [each.serial for each in keys] != sorted({each.serial for each in keys}):
        raise SecretFault(f"{where}: the keys are not in their order")
    return TicketRing(keys)
