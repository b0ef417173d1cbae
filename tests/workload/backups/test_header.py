"""The header: one way to write it, and each byte that is another is refused."""

import dataclasses

import pytest

from tests.workload.backups.archives_in_hand import CREATED, WRAPPED, label
from workload.backups.errors import ArchiveAltered, BackupFault
from workload.backups.header import (
    HEADER_BYTES,
    LABEL_BYTES,
    ArchiveHeader,
    encode_key_sector,
    is_wrapped,
    read_header,
)

MAC = bytes(range(32))


def test_the_layout_is_that_of_the_documentation() -> None:
    made = dataclasses.replace(label(7, "dö", "t-1"), mount="kv/transit", key="nightly")
    raw = ArchiveHeader(made, MAC, WRAPPED).encode()
    texts = "dö".encode() + b"t-1" + b"kv/transit" + b"nightly"
    assert raw[:11] == b"SEPTEMBK\x01\x01\x0a"
    assert raw[11:27] == b"\x07" * 16
    assert raw[27:35] == CREATED.to_bytes(8, "big")
    assert raw[35:39] == bytes((3, 3, 10, 7))
    assert raw[39:480] == texts.ljust(441, b"\0")
    assert raw[480:512] == MAC
    assert raw[512:514] == len(WRAPPED).to_bytes(2, "big")
    assert raw[514:1024] == WRAPPED.encode().ljust(510, b"\0")
    assert read_header(raw) == ArchiveHeader(made, MAC, WRAPPED)
    assert read_header(raw).key_version == 3


def test_the_longest_label_has_room() -> None:
    long = dataclasses.replace(
        label(), name="n" * 120, tenant="t" * 120, mount="m" * 90, key="k" * 90
    )
    assert len(long.encode()) == LABEL_BYTES
    assert read_header(ArchiveHeader(long, MAC, WRAPPED).encode()).label == long


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "n" * 121),
        ("name", "é" * 61),
        ("name", "a\nb"),
        ("name", "a\x1b[2J"),
        ("name", "a\u202eb"),
        ("name", "a\udc80"),
        ("tenant", "t" * 121),
        ("tenant", "\0"),
        ("mount", ""),
        ("mount", "a//b"),
        ("mount", "../secret"),
        ("mount", "a/.."),
        ("mount", "m" * 91),
        ("key", ""),
        ("key", ".."),
        ("key", "a/b"),
        ("key", "a\n"),
        ("key", "k" * 91),
        ("created", -1),
        ("created", 253_402_300_800),
        ("archive_id", b"short"),
        ("chunk_log2", 9),
        ("chunk_log2", 21),
    ],
)
def test_what_no_label_can_hold_is_refused(field: str, value: object) -> None:
    with pytest.raises(BackupFault):
        dataclasses.replace(label(), **{field: value})  # type: ignore[arg-type]


ALTERED: dict[str, tuple[int, bytes, str]] = {
    "another file": (0, b"PK\x03\x04", "no sealed archive"),
    "another version": (8, b"\x02", "format 2 with suite 1"),
    "another suite": (9, b"\x00", "format 1 with suite 0"),
    "a chunk too small": (10, b"\x09", "bytes 10 to 479"),
    "a chunk too large": (10, b"\x15", "bytes 10 to 479"),
    "a time past the calendar": (27, b"\xff" * 8, "bytes 10 to 479"),
    "a length past the label": (35, b"\xff\xff\xff\xff", "bytes 10 to 479"),
    "no name": (35, b"\x00", "bytes 10 to 479"),
    "a name that is no UTF-8": (39, b"\xff", "bytes 10 to 479"),
    "a name with a control character": (39, b"\x1b", "bytes 10 to 479"),
    "something behind the texts": (479, b"\x01", "bytes 10 to 479"),
    "a wrapped key of no length": (512, b"\x00\x00", "bytes 512 to 1023"),
    "a wrapped key past the sector": (512, b"\xff\xff", "bytes 512 to 1023"),
    "a wrapped key that is shorter": (513, bytes([len(WRAPPED) - 4]), "bytes 512 to 1023"),
    "another service's key": (514, b"other", "bytes 512 to 1023"),
    "version zero": (521, b"0", "bytes 512 to 1023"),
    "a byte that is not ASCII": (530, b"\xe9", "bytes 512 to 1023"),
    "something behind the wrapped key": (1023, b"\x01", "bytes 512 to 1023"),
}


@pytest.mark.parametrize(("at", "content", "said"), ALTERED.values(), ids=ALTERED)
def test_what_is_no_header_is_refused(at: int, content: bytes, said: str) -> None:
    raw = bytearray(ArchiveHeader(label(), MAC, WRAPPED).encode())
    raw[at : at + len(content)] = content
    with pytest.raises(ArchiveAltered, match=said):
        read_header(bytes(raw))


@pytest.mark.parametrize("size", [0, 1, 8, 480, HEADER_BYTES - 1])
def test_a_header_that_was_cut_says_where(size: int) -> None:
    raw = ArchiveHeader(label(), MAC, WRAPPED).encode()[:size]
    with pytest.raises(ArchiveAltered, match=f"ends at byte {size}, inside its header"):
        read_header(raw)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "vault:v0:" + "A" * 80,
        "vault:v01:" + "A" * 80,
        "vault:v1:" + "A" * 39,
        "vault:v1:" + "A" * 81,  # no whole bytes
        "vault:v1:" + "A" * 41 + "B==",  # base64 with bits that no byte has
        "vault:v1:" + "A" * 404,
        "vault:v1:" + "A" * 80 + "\n",
        "vault:v1:" + "-" * 80,
    ],
)
def test_what_transit_never_wrapped_is_no_key(text: str) -> None:
    assert not is_wrapped(text)
    with pytest.raises(BackupFault, match="no wrapped key"):
        encode_key_sector(text)


def test_a_key_wrapped_by_rsa_has_room() -> None:
    long = "vault:v999999999:" + "A" * 342 + "=="
    assert is_wrapped(long)
    assert len(encode_key_sector(long)) == 512
