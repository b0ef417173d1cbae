"""Data keys of Vault's transit engine: made, wrapped and unwrapped there.

``context`` is what a derived KEK is derived with: a wrapped key opens with the context that it
was wrapped with, and no other. A KEK that is not derived takes an empty one.
"""

import base64
import binascii
import re
from typing import Any

from workload.vault.client import VaultApi
from workload.vault.errors import VaultCallFault, VaultInvalid

_WRAPPED = re.compile(r"vault:v[1-9][0-9]{0,8}:[A-Za-z0-9+/]{40,400}={0,2}", re.ASCII)
_KEK = re.compile(r"(?!\.+$)[A-Za-z0-9_.-]{1,600}", re.ASCII)
_KEY_BYTES = 32
_UNBOUND_CONTEXT = b"another scope than any"


class Transit:
    """One transit mount. Every method raises ``VaultCallFault``, no other."""

    def __init__(self, api: VaultApi, mount: str = "transit") -> None:
        self._api = api
        self._mount = mount

    async def new_data_key(self, kek: str, context: bytes) -> tuple[bytearray, str]:
        """Return a new key of 256 bits, and the same wrapped.

        Raises ``VaultCallFault`` where the KEK does not bind a key to its context: Vault
        ignores a context silently where the KEK was made without ``derived=true``.
        """
        key, wrapped = await self._new(kek, context)
        try:
            await self.unwrap(kek, wrapped, _UNBOUND_CONTEXT)
        except VaultInvalid:
            return key, wrapped
        raise VaultCallFault(
            f"{self._mount}/keys/{kek} does not bind data keys to their scopes; make another KEK "
            "with type=aes256-gcm96 derived=true"
        )

    async def new_unbound_data_key(self, kek: str) -> tuple[bytearray, str]:
        """Return a new key of 256 bits, and the same wrapped, by a KEK that is not derived.

        For a caller that binds the key to what it seals itself; it may not be able to decrypt.
        """
        return await self._new(kek, b"")

    async def unwrap(self, kek: str, wrapped: str, context: bytes) -> bytearray:
        """Return the key that was wrapped."""
        path = self._path("decrypt", kek)
        return _key(await self._data(path, _request(wrapped, context, path)), path)

    async def rewrap(self, kek: str, wrapped: str, context: bytes) -> str:
        """Return a key wrapped under the newest version of its KEK; the key stays in Vault."""
        path = self._path("rewrap", kek)
        return _wrapped(await self._data(path, _request(wrapped, context, path)), path)

    async def _new(self, kek: str, context: bytes) -> tuple[bytearray, str]:
        path = self._path("datakey/plaintext", kek)
        data = await self._data(path, {"bits": 256, "context": _b64(context)})
        return _key(data, path), _wrapped(data, path)

    def _path(self, what: str, kek: str) -> str:
        """Return a path of the API. A KEK's name may come from a table that others write."""
        if not _KEK.fullmatch(kek):
            raise VaultCallFault(f"{self._mount}/{what}: the name of the KEK is none")
        return f"{self._mount}/{what}/{kek}"

    async def _data(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        data = (await self._api.call("POST", path, body)).get("data")
        if not isinstance(data, dict):
            raise VaultCallFault(f"{path}: the answer has no data")
        return data


def _request(wrapped: str, context: bytes, path: str) -> dict[str, Any]:
    if not _WRAPPED.fullmatch(wrapped):
        raise VaultCallFault(f"{path}: what the key store has is no key that transit wrapped")
    return {"ciphertext": wrapped, "context": _b64(context)}


def _b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _key(data: dict[str, Any], path: str) -> bytearray:
    """Read a key. The answer's texts stay in memory until Python uses it for something else."""
    text = data.get("plaintext")
    try:
        key = bytearray(
            binascii.a2b_base64(text if isinstance(text, str) else "", strict_mode=True)
        )
    except ValueError:
        key = bytearray()
    if len(key) != _KEY_BYTES:
        raise VaultCallFault(f"{path}: the answer has no key of {_KEY_BYTES} bytes")
    return key


def _wrapped(data: dict[str, Any], path: str) -> str:
    text = data.get("ciphertext")
    if not isinstance(text, str) or not _WRAPPED.fullmatch(text):
        raise VaultCallFault(f"{path}: the answer has no wrapped key")
    return text
