"""A first key for a token issuer of a development set-up: its public half goes into Vault."""

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from jwt.algorithms import ECAlgorithm

from sidecar.common.errors import Fault
from sidecar.config import model
from sidecar.tokens.algorithms import ES256
from sidecar.tokens.jwk import thumbprint
from sidecar.tokens.mint import read_private_key
from sidecar.vault.client import VaultClient
from sidecar.vault_setup.entries import kv_step, left_step
from sidecar.vault_setup.private_files import is_there, write_private
from sidecar.vault_setup.step import Existing, SetupStep, shell

_MAX_PEM_BYTES = 16_384


def key_steps(config: model.Config, folder: Path | None) -> Iterator[SetupStep]:
    """Yield the step of each issuer's entry of keys in KV.

    With ``folder`` a first key is made for it, whose private half goes to a file there, for who
    plays the issuer. Without it the entry is left to the issuer.
    """
    seen = set[tuple[str, str]]()
    for at, issuer in enumerate(config.tokens.issuers):
        keys = issuer.keys
        if not isinstance(keys, model.VaultKvKeys) or (keys.mount, keys.path) in seen:
            continue
        seen.add((keys.mount, keys.path))
        setting = f"tokens.issuers[{at}].keys"
        if folder is None or ES256.name not in issuer.algorithms:
            yield left_step(keys.mount, keys.path, (keys.field,), setting)
        else:
            yield FirstKey(keys, setting, folder / f"issuer-{at}.pem")


class FirstKey:
    """An ES256 key: the public half as a JWK in KV, the private one in a file with mode 0600."""

    is_left = False

    def __init__(self, place: model.VaultKvKeys, setting: str, path: Path) -> None:
        self._place, self._path = place, path
        self.settings = (setting,)

    @property
    def name(self) -> str:
        """Return the entry's name, and the file's."""
        return f"entry {self._place.mount}/{self._place.path}, its private key in {self._path}"

    @property
    def command(self) -> str:
        """Return a line for a shell, which stores the public half in PEM."""
        file, place = shlex.quote(str(self._path)), self._place
        make = f"openssl ecparam -name prime256v1 -genkey -noout -out {file}"
        put = shell("bao", "kv", "put", f"-mount={place.mount}", place.path, f"{place.field}=-")
        return f"(umask 077; {make}); openssl ec -in {file} -pubout 2>/dev/null | {put}"

    async def look(self, vault: VaultClient) -> Existing | None:
        """Look whether the entry has a key. Raises ``VaultFault``."""
        place = self._place
        entry = left_step(place.mount, place.path, (place.field,), self.settings[0])
        return await entry.look(vault)

    async def make(self, vault: VaultClient) -> str:
        """Make the key, or take that of the file, and store its public half. Raises ``Fault``."""
        kept = is_there(self._path)
        private = read_private_key(_read(self._path), str(self._path)) if kept else _new_key()
        if not kept:
            pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            write_private(self._path, pem.decode(), replace=False)
        place, jwk = self._place, public_jwk(private.public_key())
        content = {place.field: json.dumps(jwk)}
        setting, data = self.settings[0], (lambda: content)
        await kv_step(place.mount, place.path, setting, command="", content=data).make(vault)
        return f"kid {jwk['kid']}" + (", of the key that was in the file" if kept else "")


def public_jwk(key: ec.EllipticCurvePublicKey) -> dict[str, Any]:
    """Return a public key as a JWK that says what it is for (RFC 7517 §4)."""
    jwk: dict[str, Any] = ECAlgorithm.to_jwk(key, as_dict=True)
    return {**jwk, "kid": thumbprint(key), "use": "sig", "alg": ES256.name}


def _new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_PEM_BYTES + 1)
    except OSError as exc:
        raise Fault(f"{path} can't be read: {exc.strerror}") from exc
    if len(raw) > _MAX_PEM_BYTES or not raw.isascii():
        raise Fault(f"{path} is no PEM private key")
    return raw.decode("ascii")
