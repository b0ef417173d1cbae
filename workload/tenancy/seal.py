"""The seal of a tenant: what makes ``app.tenant_id`` believable to the database. Pure.

Any role may set ``app.tenant_id``, so a policy that believes it holds back a forgotten
``WHERE`` and not an injected ``set_config``. With a seal the policy asks
``septem_tenancy.tenant_id()``, which wants ``app.tenant_seal`` too: an HMAC-SHA256 (RFC 2104)
of tenant and time by a key that applications and a table share, which the application's role
can't read. SQL that was injected has the seal of its own tenant, and can make no other.

A seal is ``<kid>.<Unix seconds>.<64 hex digits>``, over ``septem-tenant-v1``, kid, time and
tenant, each on a line. The database believes it in transactions that begin within
``WINDOW_SECONDS`` of its time.
"""

import hmac
import os
import re
import secrets
from pathlib import Path
from typing import NamedTuple

from workload.errors import Fault

WINDOW_SECONDS = 300
KEY_BYTES = 32
_BLOCK = 64
_KEY_LINE = re.compile(r"septem-tenant-key:([a-z0-9]{1,16}):([0-9a-f]{64})\n?", re.ASCII)
_MAX_FILE = 256


class SealKeyUnreadable(Fault):
    """The file of a seal's key is not what ``septem tenancy seal`` writes."""


class SealKey(NamedTuple):
    """A key with its identifier. Its representation shows no key."""

    kid: str
    key: bytes

    def __repr__(self) -> str:
        return f"SealKey({self.kid!r}, …)"

    def seal(self, tenant_id: str, now: float) -> str:
        """Return the seal of a tenant for transactions that begin about ``now``."""
        issued = int(now)
        said = f"septem-tenant-v1\n{self.kid}\n{issued}\n{tenant_id}".encode()
        return f"{self.kid}.{issued}.{hmac.new(self.key, said, 'sha256').hexdigest()}"

    def pads(self) -> tuple[bytes, bytes]:
        """Return HMAC's inner and outer block, which is all that the database has of the key."""
        block = self.key.ljust(_BLOCK, b"\0")
        return bytes(each ^ 0x36 for each in block), bytes(each ^ 0x5C for each in block)

    def line(self) -> str:
        """Return the line of its file."""
        return f"septem-tenant-key:{self.kid}:{self.key.hex()}\n"


def new_key() -> SealKey:
    """Make a key by the system's randomness."""
    return SealKey(secrets.token_hex(4), secrets.token_bytes(KEY_BYTES))


def read_key(path: str | Path) -> SealKey:
    """Read a key's file. Raises ``SealKeyUnreadable``, which shows nothing of it."""
    try:
        with Path(path).open("rb") as file:
            text = file.read(_MAX_FILE).decode("ascii")
    except (OSError, UnicodeDecodeError) as fault:
        raise SealKeyUnreadable(f"{path}: {type(fault).__name__}; is the path right?") from None
    found = _KEY_LINE.fullmatch(text)
    if found is None:
        raise SealKeyUnreadable(f"{path} holds no key; write one with septem tenancy seal")
    return SealKey(found[1], bytes.fromhex(found[2]))


def write_key(path: str | Path, key: SealKey) -> None:
    """Write a new file that its owner alone can read. Raises ``FileExistsError``."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(key.line())


def key_of(path: str | Path) -> SealKey:
    """Read a key's file, or make a key and write it where there is none. Raises ``Fault``."""
    if Path(path).exists():
        return read_key(path)
    key = new_key()
    try:
        write_key(path, key)
    except OSError as fault:
        raise SealKeyUnreadable(f"{path} can't be written: {fault.strerror}") from None
    return key
