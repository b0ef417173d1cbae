"""Chunks open in their order, whole, and nowhere else."""

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from workload.backups.chunks import ChunkOpener, ChunkSealer, nonce_of
from workload.backups.errors import ArchiveAltered, BackupFault

KEY = AESGCM(bytes(32))
SIZE = 1024


def _sealed(*chunks: bytes) -> list[bytes]:
    sealer = ChunkSealer(KEY)
    return [sealer.seal(each, last=at == len(chunks) - 1) for at, each in enumerate(chunks)]


def test_a_nonce_is_the_number_and_whether_it_is_the_last() -> None:
    assert nonce_of(0, last=False) == bytes(12)
    assert nonce_of(258, last=True) == bytes(9) + b"\x01\x02\x01"
    assert len({nonce_of(at, last=last) for at in range(300) for last in (True, False)}) == 600


def test_a_chunk_is_aes_gcm_under_its_nonce() -> None:
    first, last = _sealed(b"a" * SIZE, b"b")
    assert KEY.decrypt(bytes(12), first, None) == b"a" * SIZE
    assert KEY.decrypt(bytes(10) + b"\x01\x01", last, None) == b"b"


def test_nothing_is_sealed_behind_the_last_chunk() -> None:
    sealer = ChunkSealer(KEY)
    sealer.seal(b"", last=True)
    with pytest.raises(ValueError, match="last"):
        sealer.seal(b"", last=True)


def test_a_key_seals_so_many_chunks_and_no_more() -> None:
    sealer = ChunkSealer(KEY, max_chunks=2)
    sealer.seal(b"", last=False)
    sealer.seal(b"", last=False)
    with pytest.raises(BackupFault, match="2 chunks at most"):
        sealer.seal(b"", last=True)


def test_what_is_wrong_is_said_with_its_bytes() -> None:
    chunks = _sealed(b"a" * SIZE, b"b" * SIZE, b"c")
    cases: list[tuple[list[bytes], str]] = [
        ([chunks[0], b""], "ends at byte 2064, before chunk 1"),
        ([chunks[0]], "ends at byte 2064, after chunk 0, which is not its last"),
        ([chunks[0], chunks[1], chunks[2] + b"x"], r"chunk 2 \(bytes 3104 to 3121\).*added"),
        ([chunks[0], chunks[1], chunks[2][:-1]], r"chunk 2 \(bytes 3104 to 3119\).*cut inside"),
        ([chunks[1]], r"chunk 0 \(bytes 1024 to 2063\).*altered, or belongs elsewhere"),
        ([chunks[0], chunks[0]], r"chunk 1 \(bytes 2064 to 3103\)"),
        ([chunks[0], b"x" * 15], "chunk 1 .*cut inside"),
    ]
    for pieces, said in cases:
        opener = ChunkOpener(KEY, SIZE)
        for each in pieces[:-1]:
            opener.open(each, at_end=False)
        with pytest.raises(ArchiveAltered, match=said):
            opener.open(pieces[-1], at_end=True)


def test_a_last_chunk_that_is_full_has_nothing_behind_it() -> None:
    (only,) = _sealed(b"a" * SIZE)
    with pytest.raises(ArchiveAltered, match="chunk 0 is the last one, and there is more from"):
        ChunkOpener(KEY, SIZE).open(only, at_end=False)


def test_only_an_empty_content_ends_with_an_empty_chunk() -> None:
    assert ChunkOpener(KEY, SIZE).open(_sealed(b"")[0], at_end=True) == b""
    first, empty = _sealed(b"a" * SIZE, b"")
    opener = ChunkOpener(KEY, SIZE)
    opener.open(first, at_end=False)
    with pytest.raises(ArchiveAltered, match="is empty"):
        opener.open(empty, at_end=True)
