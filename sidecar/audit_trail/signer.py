"""Signs checkpoints with an Ed25519 key of Vault's transit engine, which never leaves it.

The sidecar may sign with the key and read its public half; it can't read or export the private
one. Each version of the key has a vkey of its own.
"""

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

from sidecar.common.errors import Fault
from sidecar.observability.audit.checkpoint import ORIGIN, Checkpoint, NoteKey, make_note
from sidecar.vault.answers import TransitKey

_KIND = "ed25519"
_PUBLIC_BYTES = 32

T = TypeVar("T")


class SignatureFault(Fault):
    """Vault's signature or key is not what checkpoints need."""


class Transit(Protocol):
    """The calls to Vault that signing needs; ``VaultClient`` answers them."""

    async def read_transit_key(self, mount: str, name: str) -> TransitKey:
        """Return the public halves of a key."""

    async def perform(self, operation: str, path: str, function: Callable[[Any], T]) -> T:
        """Run a function with hvac's client."""


class CheckpointSigner:
    """Signs with one key of transit. ``name`` is that of the key in notes."""

    def __init__(self, vault: Transit, mount: str, key: str) -> None:
        self._vault = vault
        self._mount = mount
        self._key = key
        self.name = f"{ORIGIN}{key}"
        self._public: Mapping[int, NoteKey] = {}

    async def sign(self, checkpoint: Checkpoint) -> str:
        """Return the checkpoint as a signed note. Raises ``VaultFault``, ``SignatureFault``.

        The signature is verified before anybody else has to.
        """
        text = checkpoint.text
        version, signature = _read_signature(await self._ask(text))
        if version not in self._public:
            self._public = await read_keys(self._vault, self._mount, self._key)
        key = self._public.get(version)
        if key is None or not key.verifies(signature, text):
            raise SignatureFault(
                f"transit key {self._mount}/{self._key}: its signature does not verify with its "
                f"public key of version {version}"
            )
        return make_note(checkpoint, key, signature)

    async def _ask(self, text: bytes) -> str:
        encoded = base64.b64encode(text).decode()

        def sign(client: Any) -> str:
            answer = client.secrets.transit.sign_data(
                self._key, hash_input=encoded, mount_point=self._mount
            )
            return str(answer["data"]["signature"])

        return await self._vault.perform("transit_sign", f"{self._mount}/sign/{self._key}", sign)


async def read_keys(vault: Transit, mount: str, key: str) -> dict[int, NoteKey]:
    """Return the public keys of all versions. Raises ``VaultFault``, ``SignatureFault``."""
    read = await vault.read_transit_key(mount, key)
    if read.kind != _KIND:
        raise SignatureFault(
            f"transit key {mount}/{key} is of type {read.kind}; checkpoints need one of type "
            f"{_KIND}: vault write {mount}/keys/{key} type={_KIND}"
        )
    return {
        version: NoteKey(f"{ORIGIN}{key}", _public(text, f"{mount}/{key}"))
        for version, text in read.public_pems.items()
    }


def _public(text: str, where: str) -> bytes:
    raw = _decode(text)
    if len(raw) != _PUBLIC_BYTES:
        raise SignatureFault(f"transit key {where}: Vault gives a public key that can't be read")
    return raw


def _read_signature(answer: str) -> tuple[int, bytes]:
    """Read ``vault:v1:<base64>``."""
    match answer.split(":"):
        case ["vault", version, encoded] if version[1:].isdigit():
            return int(version[1:]), _decode(encoded)
    raise SignatureFault("Vault's answer to transit/sign can't be read")


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
