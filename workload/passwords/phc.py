"""The text that a hash is stored as, in PHC string format. Pure.

    $argon2id$v=19$m=65536,t=1,p=4[,keyid=<pepper's version>]$<salt>$<digest>

Exactly this, with base64 that has one spelling, is read. ``keyid`` is that of the PHC
specification, the digits of a version of the pepper.
"""

import re
from base64 import b64decode, b64encode
from typing import NamedTuple

from workload.passwords.parameters import Argon2Parameters
from workload.settings import SettingsFault

SALT_BYTES = 16
_MIN_SALT_BYTES = 8
_B64 = r"[A-Za-z0-9+/]"
_FORM = re.compile(
    r"\$argon2id\$v=19\$m=([1-9]\d{0,9}),t=([1-9]\d{0,9}),p=([1-9]\d{0,9})"
    rf"(?:,keyid=({_B64}{{2,11}}))?\$({_B64}{{1,86}})\$({_B64}{{1,86}})",
    re.ASCII,
)
_VERSION = re.compile(rb"[1-9]\d{0,7}")


class Argon2Hash(NamedTuple):
    """One stored hash. ``pepper_version`` is ``None`` where it was made without a pepper."""

    parameters: Argon2Parameters
    salt: bytes
    digest: bytes
    pepper_version: int | None = None

    def __repr__(self) -> str:
        """Show what it costs, and neither salt nor digest."""
        return f"Argon2Hash({self.parameters}, pepper_version={self.pepper_version})"


def write_phc(held: Argon2Hash) -> str:
    """Return the text to store."""
    cost, version = held.parameters, held.pepper_version
    key = "" if version is None else f",keyid={_encode(str(version).encode())}"
    return (
        f"$argon2id$v=19$m={cost.memory_kib},t={cost.time_cost},p={cost.lanes}{key}"
        f"${_encode(held.salt)}${_encode(held.digest)}"
    )


def read_phc(text: str) -> Argon2Hash | None:
    """Read a stored text; ``None`` where it is anything else, or costs what no setting may."""
    found = _FORM.fullmatch(text)
    if found is None:
        return None
    memory, passes, lanes, key, salt_text, digest_text = found.groups()
    salt, digest = _decode(salt_text), _decode(digest_text)
    if salt is None or digest is None or len(salt) < _MIN_SALT_BYTES:
        return None
    version = None
    if key is not None:
        named = _decode(key)
        if named is None or not _VERSION.fullmatch(named):
            return None
        version = int(named)
    try:
        cost = Argon2Parameters(int(passes), int(memory), int(lanes), len(digest))
    except SettingsFault:
        return None
    return Argon2Hash(cost, salt, digest, version)


def _encode(raw: bytes) -> str:
    return b64encode(raw).rstrip(b"=").decode("ascii")


def _decode(text: str) -> bytes | None:
    """Decode base64 without padding; ``None`` where its last bits are not zero."""
    try:
        raw = b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        return None
    return raw if _encode(raw) == text else None
