"""A seal is HMAC-SHA256 of tenant and time; its key's file is its owner's alone."""

import hashlib
import hmac
from pathlib import Path

import pytest

from tests.support.tenancy_world import A, B
from workload.tenancy.seal import SealKey, SealKeyUnreadable, new_key, read_key, write_key

KEY = SealKey("k1", bytes(range(32)))


def test_the_pads_make_the_same_hmac() -> None:
    kid, issued, digest = KEY.seal(A, 1700000000.9).split(".")
    said = f"septem-tenant-v1\n{kid}\n{issued}\n{A}".encode()
    inner, outer = KEY.pads()
    by_pads = hashlib.sha256(outer + hashlib.sha256(inner + said).digest()).hexdigest()
    assert (kid, issued, digest) == ("k1", "1700000000", by_pads)
    assert digest == hmac.digest(KEY.key, said, "sha256").hex()
    assert len({KEY.seal(A, 1), KEY.seal(B, 1), KEY.seal(A, 2), new_key().seal(A, 1)}) == 4


def test_a_key_is_written_once_for_its_owner_and_never_shown(tmp_path: Path) -> None:
    path = tmp_path / "key"
    key = new_key()
    write_key(path, key)
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_key(path) == key
    assert key.key.hex() not in repr(key)
    with pytest.raises(FileExistsError):
        write_key(path, key)


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"",
        b"\xff",
        b"septem-tenant-key:k:" + b"0" * 63,
        KEY.line().encode() + b"\n",
        b"x" * 999,
    ],
)
def test_what_is_no_key_is_refused_without_a_word_of_it(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SealKeyUnreadable) as fault:
        read_key(path)
    assert KEY.key.hex() not in str(fault.value)
