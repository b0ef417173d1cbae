"""The data key of one archive, and what is derived from it.

HKDF-Expand with SHA-256 (RFC 5869 section 2.3; a data key is random, so nothing is to be
extracted) makes a key for the HMAC of the label and one for the chunks. The chunks' key is
derived with the label too: chunks open below the label they were sealed with, and no other.
The HMAC commits to the data key, which AES-GCM alone does not: no archive opens under two keys.
"""

import hashlib
import hmac

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from workload.backups.errors import ArchiveAltered
from workload.backups.header import ArchiveHeader

KEY_BYTES = 32
_HEADER = b"septem backup 1: header\x00"
_BODY = b"septem backup 1: body\x00"


class ArchiveKey:
    """Derives from a data key of 32 bytes, and overwrites it.

    ``take`` is for sealing and ``verified`` for opening. The derived keys are objects of Python
    and OpenSSL: they live until this object is dropped, and OpenSSL clears what it frees.
    """

    def __init__(self, data_key: bytearray, label: bytes) -> None:
        """Take the data key over: it is all zeros when this returns."""
        if len(data_key) != KEY_BYTES:
            raise ValueError("a data key has 32 bytes")
        try:
            header_key = hmac.digest(data_key, _HEADER + b"\x01", "sha256")
            self.mac = hmac.digest(header_key, label, "sha256")
            """The HMAC of the label."""
            said = _BODY + hashlib.sha256(label).digest() + b"\x01"
            self.aead = AESGCM(hmac.digest(data_key, said, "sha256"))
            """The cipher of the chunks."""
        finally:
            data_key[:] = bytes(len(data_key))

    def __repr__(self) -> str:
        """Show nothing."""
        return "ArchiveKey(…)"

    @classmethod
    def verified(cls, data_key: bytearray, header: ArchiveHeader) -> "ArchiveKey":
        """Return the key of an archive whose header is authentic. Raises ``ArchiveAltered``."""
        key = cls(data_key, header.label.encode())
        if not hmac.compare_digest(key.mac, header.mac):
            raise ArchiveAltered(
                "the header (bytes 0 to 511) is not the one that was sealed with this key: it was "
                "altered, or the key's sector is another archive's"
            )
        return key
