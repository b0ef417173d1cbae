"""Archives in hand: whatever is done to one is noticed, and nothing unauthentic is given out."""

import hashlib
import io
import os
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.workload.backups.archives_in_hand import (
    BODY,
    CHUNK,
    SEALED_CHUNK,
    WRAPPED,
    content_of,
    data_key,
    label,
    seal,
    unseal,
)
from workload.backups.archive import (
    ArchiveWriter,
    content_bytes,
    new_label,
    opened_chunks,
    read_archive_header,
    seal_archive,
    write_opened,
)
from workload.backups.errors import ArchiveAltered, ArchiveUnexpected, BackupFault
from workload.backups.header import HEADER_BYTES, ArchiveLabel

SIZES = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 500]
CONTENT = content_of(3 * CHUNK + 500)
ARCHIVE, OTHER = seal(CONTENT), seal(content_of(len(CONTENT), 2), 2)
CHUNKS = [ARCHIVE[BODY + at * SEALED_CHUNK :][:SEALED_CHUNK] for at in range(4)]
OTHERS = [OTHER[BODY + at * SEALED_CHUNK :][:SEALED_CHUNK] for at in range(4)]


@pytest.mark.parametrize("size", SIZES)
def test_what_was_sealed_comes_back(size: int) -> None:
    content = content_of(size)
    archive = seal(content)
    chunks = max(1, -(-size // CHUNK))
    assert unseal(archive) == content
    assert len(archive) == HEADER_BYTES + size + 16 * chunks
    assert content_bytes(len(archive), label()) == (chunks, size)


def test_the_format_stays_as_it_is() -> None:
    """Archives are read for years: a change of one byte is a new version of the format."""
    digest = hashlib.sha256(seal(content_of(2 * CHUNK + 10))).hexdigest()
    assert digest == "7f48837a0a01ee730e1ddd2ef0249ec3a41d46e19f91c6541b8f65def7fbfc1a"


@given(st.binary(max_size=3 * CHUNK))
def test_any_content_comes_back(content: bytes) -> None:
    assert unseal(seal(content)) == content


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("piece", [1, 700, CHUNK, 5 * CHUNK])
def test_what_is_handed_over_in_pieces_is_the_same_archive(size: int, piece: int) -> None:
    content, out = content_of(size), bytearray()
    writer = ArchiveWriter(out.extend, label(), data_key(), WRAPPED)
    for at in range(0, size, piece):
        writer.write(content[at : at + piece])
    if size:
        with pytest.raises(ArchiveAltered, match="its end is missing"):
            unseal(bytes(out))
    writer.end()
    assert bytes(out) == seal(content)


class OneByOne(io.BytesIO):
    """A pipe that gives a few bytes at a time."""

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        return super().readinto(buffer[:7])


def test_a_slow_pipe_is_read_to_its_end() -> None:
    out: list[bytes] = []
    seal_archive(OneByOne(CONTENT), out.append, label(), data_key(), WRAPPED)
    assert b"".join(out) == ARCHIVE
    source = OneByOne(ARCHIVE)
    header = read_archive_header(source)
    assert b"".join(opened_chunks(source, header, data_key())) == CONTENT


def test_a_pipe_that_would_have_to_wait_is_no_end() -> None:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.write(writing, b"the beginning")
    with (
        io.FileIO(reading) as source,
        io.FileIO(writing, "w"),
        pytest.raises(BackupFault, match="non-blocking"),
    ):
        seal_archive(source, id, label(), data_key(), WRAPPED)


ATTACKS: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing is left": (lambda: b"", "ends at byte 0, inside its header"),
    "cut in the header": (lambda: ARCHIVE[:1000], "ends at byte 1000, inside its header"),
    "cut behind the header": (lambda: ARCHIVE[:BODY], "ends at byte 1024, before chunk 0"),
    "cut inside a chunk": (lambda: ARCHIVE[: BODY + 500], r"chunk 0 \(bytes 1024 to 1523\)"),
    "cut between chunks": (
        lambda: ARCHIVE[: BODY + 2 * SEALED_CHUNK],
        "ends at byte 3104, after chunk 1, which is not its last",
    ),
    "cut inside the last tag": (lambda: ARCHIVE[:-1], "chunk 3 .*cut inside it"),
    "a byte behind it": (lambda: ARCHIVE + b"\0", "chunk 3 .*added"),
    "another archive behind it": (lambda: ARCHIVE + OTHER, r"chunk 3 \(bytes 4144 to 5183\)"),
    "a chunk behind a full last one": (
        lambda: seal(CONTENT[:CHUNK]) + CHUNKS[1],
        "chunk 0 is the last one, and there is more from byte 2064 on",
    ),
    "two chunks change places": (
        lambda: ARCHIVE[:BODY] + CHUNKS[1] + CHUNKS[0] + CHUNKS[2] + CHUNKS[3],
        r"chunk 0 \(bytes 1024 to 2063\)",
    ),
    "a chunk stands twice": (
        lambda: ARCHIVE[:BODY] + CHUNKS[0] + b"".join(CHUNKS),
        r"chunk 1 \(bytes 2064 to 3103\)",
    ),
    "a chunk is missing": (
        lambda: ARCHIVE[:BODY] + CHUNKS[0] + CHUNKS[2] + CHUNKS[3],
        r"chunk 1 \(bytes 2064 to 3103\)",
    ),
    "only the last chunk": (lambda: ARCHIVE[:BODY] + CHUNKS[3], "chunk 0"),
    "another archive's chunk at its place": (
        lambda: ARCHIVE[:BODY] + CHUNKS[0] + OTHERS[1] + CHUNKS[2] + CHUNKS[3],
        r"chunk 1 \(bytes 2064 to 3103\)",
    ),
    "another archive's body": (lambda: ARCHIVE[:BODY] + OTHER[BODY:], "chunk 0"),
    "another archive's header": (lambda: OTHER[:BODY] + ARCHIVE[BODY:], "bytes 0 to 511"),
    "another archive's label": (lambda: OTHER[:480] + ARCHIVE[480:], "bytes 0 to 511"),
    "another archive's HMAC": (
        lambda: ARCHIVE[:480] + OTHER[480:512] + ARCHIVE[512:],
        "bytes 0 to 511",
    ),
    "another name of the same length": (
        lambda: ARCHIVE.replace(b"orders", b"orderz", 1),
        "bytes 0 to 511",
    ),
    "another size of chunks": (lambda: ARCHIVE[:10] + b"\x0b" + ARCHIVE[11:], "bytes 0 to 511"),
    "the header stands twice": (lambda: ARCHIVE[:BODY] + ARCHIVE, "chunk 0"),
    "an empty chunk at the end": (lambda: ARCHIVE[:-516], "ends at byte 4144, after chunk 2"),
}


@pytest.mark.parametrize(("attack", "said"), ATTACKS.values(), ids=ATTACKS)
def test_each_attack_is_noticed_and_gives_nothing_else_out(
    attack: Callable[[], bytes], said: str
) -> None:
    got = bytearray()
    with pytest.raises(ArchiveAltered, match=said):
        unseal(attack(), got=got.extend)
    assert CONTENT.startswith(bytes(got))


def test_another_key_opens_nothing() -> None:
    with pytest.raises(ArchiveAltered, match="the key's sector is another archive's"):
        unseal(ARCHIVE, 3)


KEY_SECTOR = range(512, 1024)
"""Transit's own to notice (``test_keys``): only its form is judged without Vault."""


@given(at=st.integers(0, len(ARCHIVE) - 1), bit=st.integers(0, 7))
def test_any_bit_that_flips_is_noticed(at: int, bit: int) -> None:
    altered = bytearray(ARCHIVE)
    altered[at] ^= 1 << bit
    try:
        opened = unseal(bytes(altered))
    except ArchiveAltered:
        return
    assert at in KEY_SECTOR
    assert opened == CONTENT


@given(st.integers(0, len(ARCHIVE) - 1))
def test_any_cut_is_noticed(size: int) -> None:
    got = bytearray()
    with pytest.raises(ArchiveAltered):
        unseal(ARCHIVE[:size], got=got.extend)
    assert CONTENT.startswith(bytes(got))


@given(st.binary(min_size=1, max_size=2 * SEALED_CHUNK))
def test_anything_behind_the_end_is_noticed(more: bytes) -> None:
    with pytest.raises(ArchiveAltered):
        unseal(ARCHIVE + more)


@given(st.lists(st.sampled_from([*CHUNKS, *OTHERS]), max_size=6).filter(lambda c: c != CHUNKS))
def test_any_other_sequence_of_chunks_is_noticed(chunks: list[bytes]) -> None:
    with pytest.raises(ArchiveAltered):
        unseal(ARCHIVE[:BODY] + b"".join(chunks))


def test_what_a_caller_asks_of_the_label_comes_before_any_content() -> None:
    def refuse(_label: ArchiveLabel) -> None:
        raise ArchiveUnexpected("another one")

    source, got = io.BytesIO(ARCHIVE), bytearray()
    header = read_archive_header(source)
    with pytest.raises(ArchiveUnexpected):
        write_opened(source, got.extend, header, data_key(), refuse)
    assert not got


def test_memory_is_a_few_chunks_whatever_the_length() -> None:
    class Endless:
        left = 64 * 1024 * 1024

        def readinto(self, buffer: memoryview, /) -> int:
            got = min(self.left, len(buffer))
            self.left -= got
            return got

    made = new_label("zeros", 0.5)
    tracemalloc.start()
    size = seal_archive(Endless(), id, made, data_key(), WRAPPED)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size == 64 * 1024 * 1024
    assert peak < 8 * made.chunk_bytes


def test_each_archive_has_an_id_of_its_own() -> None:
    assert new_label("a", 1.9).archive_id != new_label("a", 1.9).archive_id
    assert new_label("a", 1.9).created == 1


@pytest.mark.parametrize(
    "size", [0, 1024, 1025, 1039, BODY + SEALED_CHUNK + 15, BODY + SEALED_CHUNK + 16]
)
def test_sizes_that_no_archive_has(size: int) -> None:
    with pytest.raises(ArchiveAltered, match=f"no archive has {size} bytes"):
        content_bytes(size, label())
