"""A pepper: an HMAC key that is not in the database, so that a copied database can't be guessed.

What is hashed is then ``HMAC-SHA-256(pepper, password)``. Each pepper has a version, which a
stored hash names (``keyid``): a new one is used for new hashes while old ones still verify.
"""

import binascii
import hashlib
import hmac
import re
from base64 import b64decode
from collections.abc import Mapping

from workload.settings import KvEntry, SettingsFault
from workload.vault.client import VaultApi

_VERSION = re.compile(r"[1-9]\d{0,7}", re.ASCII)
_MIN_KEY_BYTES, _MAX_KEY_BYTES = 32, 64
_MAX_VERSIONS = 32
_CURRENT = "current"


class Peppers:
    """The peppers by version, and which of them new hashes get."""

    def __init__(self, keys: Mapping[int, bytes], current: int) -> None:
        if not 0 < len(keys) <= _MAX_VERSIONS:
            raise SettingsFault(f"there must be 1 to {_MAX_VERSIONS} peppers")
        for version, key in keys.items():
            if not _VERSION.fullmatch(str(version)):
                raise SettingsFault(f"{version!r} is no version of a pepper: 1 to 99999999")
            if not _MIN_KEY_BYTES <= len(key) <= _MAX_KEY_BYTES:
                raise SettingsFault(
                    f"pepper {version} must have {_MIN_KEY_BYTES} to {_MAX_KEY_BYTES} bytes"
                )
        if len(set(keys.values())) != len(keys):
            raise SettingsFault("two versions of the pepper are the same key")
        if current not in keys:
            raise SettingsFault(f"the current pepper is version {current}, which is not there")
        self._keys = dict(keys)
        self.current = current

    def __contains__(self, version: int) -> bool:
        return version in self._keys

    def __repr__(self) -> str:
        """Show the versions, and no key."""
        return f"Peppers(versions={sorted(self._keys)}, current={self.current})"

    def apply(self, version: int, password: bytes) -> bytes:
        """Return the 32 bytes that are hashed in a password's place."""
        return hmac.digest(self._keys[version], password, hashlib.sha256)


def peppers_of(fields: Mapping[str, object], where: str) -> Peppers:
    """Read an entry's fields: a version's base64 each, and ``current``. Raises ``SettingsFault``.

    The message names a field, never its value.
    """
    keys: dict[int, bytes] = {}
    for name, value in fields.items():
        if name == _CURRENT:
            continue
        key = _key(value)
        if not _VERSION.fullmatch(name) or key is None:
            raise SettingsFault(f"{where}, field {name!r}: a version's number with base64 is due")
        keys[int(name)] = key
    current = str(fields.get(_CURRENT))
    if not _VERSION.fullmatch(current):
        raise SettingsFault(f"{where}, field 'current' must name the version for new hashes")
    try:
        return Peppers(keys, int(current))
    except SettingsFault as fault:
        raise SettingsFault(f"{where}: {fault}") from None


async def read_peppers(vault: VaultApi, entry: KvEntry) -> Peppers:
    """Read the peppers from Vault's KV v2. Raises ``Fault``."""
    return peppers_of(await vault.read_kv(entry), f"{entry.mount}/{entry.path}")


def _key(value: object) -> bytes | None:
    if not isinstance(value, str):
        return None
    try:
        return b64decode(value.strip(), validate=True)
    except (binascii.Error, ValueError):
        return None
