"""Keys are derived from the data key, which is wiped; they are the label's alone."""

import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.workload.backups.archives_in_hand import WRAPPED, data_key, label
from workload.backups.archive_key import ArchiveKey
from workload.backups.errors import ArchiveAltered
from workload.backups.header import ArchiveHeader


def _by_hand(key: bytes, encoded: bytes) -> tuple[bytes, bytes]:
    """HKDF-Expand to 32 bytes is one HMAC (RFC 5869 §2.3): written once more, by the document."""
    header = hmac.new(key, b"septem backup 1: header\0\x01", "sha256").digest()
    said = b"septem backup 1: body\0" + hashlib.sha256(encoded).digest() + b"\x01"
    return hmac.new(header, encoded, "sha256").digest(), hmac.new(key, said, "sha256").digest()


def test_the_derivation_is_that_of_the_documentation() -> None:
    encoded = label().encode()
    key = ArchiveKey(data_key(), encoded)
    mac, body = _by_hand(bytes(data_key()), encoded)
    assert key.mac == mac
    sealed = key.aead.encrypt(bytes(12), b"content", None)
    assert AESGCM(body).decrypt(bytes(12), sealed, None) == b"content"


@pytest.mark.parametrize("size", [32, 31])
def test_the_data_key_is_wiped_where_it_was_used(size: int) -> None:
    key = data_key()[:size]
    if size == 32:
        assert "…" in repr(ArchiveKey(key, label().encode()))
        assert key == bytes(32)
    else:
        with pytest.raises(ValueError, match="32 bytes"):
            ArchiveKey(key, label().encode())


def test_a_header_is_verified_by_its_own_key_alone() -> None:
    made = ArchiveKey(data_key(), label().encode())
    header = ArchiveHeader(label(), made.mac, WRAPPED)
    assert ArchiveKey.verified(data_key(), header).mac == made.mac
    for other in (
        header._replace(label=label(2)),
        header._replace(label=label(name="orderz")),
        header._replace(mac=bytes(32)),
    ):
        wiped = data_key()
        with pytest.raises(ArchiveAltered, match="bytes 0 to 511"):
            ArchiveKey.verified(wiped, other)
        assert wiped == bytes(32)
    with pytest.raises(ArchiveAltered, match="another archive's"):
        ArchiveKey.verified(data_key(2), header)
