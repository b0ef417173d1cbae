"""One data key: what is derived of it, how much a writer seals, and how it is wiped."""

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from workload.encryption.data_key import KEY_BYTES, MAX_READERS, MAX_VALUES_PER_WRITER, FieldKey
from workload.encryption.errors import FieldKeysAway
from workload.encryption.sealed import HEADER_BYTES

VECTORS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent / "wycheproof_aes_256_gcm.json").read_text()
)["tests"]


def key(material: bytes = b"k" * 32, **options: int) -> FieldKey:
    return FieldKey(1, bytearray(material), **options)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: f"{vector['tcId']}")
def test_the_cipher_is_what_wycheproof_says_it_is(vector: dict[str, Any]) -> None:
    """The tests of Wycheproof for keys of 256 and nonces of 96 bits, forged tags among them."""
    part = {name: bytes.fromhex(vector[name]) for name in ("key", "iv", "aad", "msg", "ct", "tag")}
    aead, sealed = AESGCM(part["key"]), part["ct"] + part["tag"]
    if vector["result"] == "valid":
        assert aead.encrypt(part["iv"], part["msg"], part["aad"]) == sealed
        assert aead.decrypt(part["iv"], sealed, part["aad"]) == part["msg"]
    else:
        with pytest.raises(InvalidTag):
            aead.decrypt(part["iv"], sealed, part["aad"])


def test_the_vectors_are_all_there() -> None:
    results = [vector["result"] for vector in VECTORS]
    assert (results.count("valid"), results.count("invalid")) == (39, 27)


def test_a_writers_key_and_an_indexs_are_hkdf_and_differ() -> None:
    def expanded(info: bytes) -> bytes:
        return HKDFExpand(SHA256(), KEY_BYTES, info).derive(b"k" * 32)

    writer = b"w" * 16
    sealed = AESGCM(expanded(b"septem field encryption 1: seal\0" + writer))
    assert (
        key().reader(writer).decrypt(b"n" * 12, sealed.encrypt(b"n" * 12, b"x", b""), b"") == b"x"
    )
    assert key().index_key(b"c") == expanded(b"septem field encryption 1: blind index\0c")
    assert key().index_key(b"c") != key().index_key(b"d")


def test_a_writer_seals_so_many_values_and_no_more() -> None:
    assert MAX_VALUES_PER_WRITER == 2**32
    made = key(max_values=3)
    headers = [made.writer().header for _ in range(9)]
    assert [headers.count(header) for header in dict.fromkeys(headers)] == [3, 3, 3]
    assert all(len(header) == HEADER_BYTES for header in headers)


def test_threads_share_a_writer_and_its_bound() -> None:
    made, headers, lock = key(max_values=100), [], threading.Lock()

    def seal() -> None:
        mine = [made.writer().header for _ in range(500)]
        with lock:
            headers.extend(mine)

    threads = [threading.Thread(target=seal) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(headers.count(header) for header in set(headers)) <= 100


def test_two_processes_of_one_key_are_two_writers() -> None:
    assert key().writer().header != key().writer().header


def test_a_forked_process_draws_a_writer_of_its_own() -> None:
    made = key()
    header = made.writer().header
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, made.writer().header)
        os._exit(0)
    os.close(writing)
    theirs = os.read(reading, 100)
    os.waitpid(child, 0)
    os.close(reading)
    assert len(theirs) == HEADER_BYTES
    assert theirs != header == made.writer().header


def test_the_derived_keys_that_are_kept_are_bounded() -> None:
    made = key()
    for number in range(MAX_READERS + 20):
        made.reader(number.to_bytes(16, "big"))
        made.index_key(number.to_bytes(16, "big"))
    assert len(made._readers) == len(made._index_keys) == MAX_READERS
    first = made.reader(bytes(16))
    assert made.reader(bytes(16)) is first


def test_a_key_is_wiped_and_then_no_key() -> None:
    material = bytearray(b"k" * 32)
    made = FieldKey(1, material)
    made.writer()
    made.index_key(b"c")
    assert made.is_of(bytearray(b"k" * 32))
    made.wipe()
    assert material == bytearray(32)
    assert not made.is_of(bytearray(32))
    for use in (made.writer, lambda: made.reader(b"w" * 16), lambda: made.index_key(b"c")):
        with pytest.raises(FieldKeysAway, match="wiped"):
            use()


def test_a_key_that_nobody_holds_is_wiped() -> None:
    material = bytearray(b"k" * 32)
    made = FieldKey(1, material)
    del made
    assert material == bytearray(32)


def test_a_key_is_not_shown_and_has_one_length() -> None:
    assert repr(key(b"secret--" * 4)) == "FieldKey(version=1)"
    with pytest.raises(ValueError, match="32 bytes"):
        key(b"short")
