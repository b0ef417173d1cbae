"""Checkpoints: C2SP's signed notes, which other tools for them read and make."""

import base64
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sidecar.observability.audit.chain import Head
from sidecar.observability.audit.checkpoint import (
    ORIGIN,
    Cause,
    Checkpoint,
    CheckpointKeyFault,
    NoteKey,
    Verdict,
    make_note,
    read_given_keys,
    read_note,
    read_vkey,
    split_notes,
)
from tests.observability.audit.signed_trail import START, TRAIL, Signer

HEAD = Head(TRAIL, 17, b"0a" * 32)
NOTE = Signer().note(HEAD, START)


def test_a_checkpoint_reads_as_the_specification_says() -> None:
    text, signatures = NOTE.split("\n\n")
    assert text.split("\n") == [
        "septem-sidecar/audit-hash-chain/audit",
        "17",
        "CgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgo=",
        "trail 0123456789abcdef",
        "time 2026-11-26T03:00:00.000+00:00",
        "cause interval",
    ]
    assert signatures.startswith("— septem-sidecar/audit-hash-chain/audit ")
    assert signatures.endswith("\n")
    assert NOTE.count("\n") == 8


def test_a_key_and_a_signature_of_another_implementation() -> None:
    """The example of Go's package ``sumdb/note``, which the specification was written after."""
    key = read_vkey("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    assert (key.name, key.key_id.hex()) == ("PeterNeumann", "c74f20a3")
    text = (
        b"If you think cryptography is the answer to your problem,\n"
        b"then you don't know what your problem is.\n"
    )
    value = "ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
    signature = base64.b64decode("x08go/" + value)
    assert signature[:4] == key.key_id
    assert key.verifies(signature[4:], text)
    assert not key.verifies(signature[4:], text.upper())


def test_what_a_note_says_and_who_signed_it() -> None:
    note = read_note(NOTE)
    assert note is not None
    assert note.checkpoint == Checkpoint(
        f"{ORIGIN}audit", HEAD, "2026-11-26T03:00:00.000+00:00", Cause.INTERVAL
    )
    assert note.judge([Signer(seed=2).key, Signer().key]) is Verdict.SIGNED
    assert note.judge([Signer(seed=2).key]) is Verdict.KEY_UNKNOWN
    assert note.judge([Signer(name=f"{ORIGIN}other").key]) is Verdict.KEY_UNKNOWN
    assert note.judge([NoteKey("", Signer().key.public)]) is Verdict.SIGNED
    other = read_note(NOTE.replace("17", "18"))
    assert other is not None
    assert other.judge([Signer().key]) is Verdict.FORGED


def test_a_key_signs_only_what_has_its_name_as_origin() -> None:
    other = Signer(seed=2, name=f"{ORIGIN}other")
    checkpoint = Checkpoint(f"{ORIGIN}audit", HEAD, "2026-11-26T03:00:00.000+00:00", "stop")
    note = read_note(make_note(checkpoint, other.key, other._private.sign(checkpoint.text)))
    assert note is not None
    assert note.judge([other.key]) is Verdict.KEY_UNKNOWN


def test_signatures_of_others_beside_ours_are_ignored() -> None:
    witness = Signer(seed=3, name="witness.example/w").note(HEAD, START).split("\n\n")[1]
    for signatures in (f"{NOTE}{witness}", f"{NOTE}— witness.example/w AAAAAAAAAAA=\n"):
        note = read_note(signatures)
        assert note is not None
        assert note.judge([Signer().key]) is Verdict.SIGNED
    alone = read_note(f"{NOTE.split('— ', maxsplit=1)[0]}{witness}")
    assert alone is not None
    assert alone.judge([Signer().key]) is Verdict.KEY_UNKNOWN


@pytest.mark.parametrize(
    "spoilt",
    [
        "",
        "\n\n",
        NOTE[:-1],
        NOTE.split("\n\n", maxsplit=1)[0],
        NOTE.split("— ", maxsplit=1)[0],
        NOTE.replace("— ", "- "),
        NOTE.replace("\n17\n", "\n017\n"),
        NOTE.replace("\n17\n", "\n-17\n"),
        NOTE.replace("\n17\n", "\n" + "9" * 19 + "\n"),
        NOTE.replace("CgoK", "Cgo"),
        NOTE.replace("CgoK", "Cg!K"),
        NOTE.replace(ORIGIN, "other/"),
        NOTE.replace("trail ", "trial "),
        NOTE.replace("cause interval", "cause interval\ncause interval"),
        NOTE.replace("\n\n", "\n"),
        f"{NOTE}— w AA\n",
        NOTE + "x" * 5000,
        NOTE.replace("\n", "\r\n"),
    ],
)
def test_what_is_no_checkpoint(spoilt: str) -> None:
    assert read_note(NOTE) is not None
    assert read_note(spoilt) is None


def test_a_file_of_notes_is_split() -> None:
    notes = [Signer().note(Head(TRAIL, n, b"0a" * 32), START) for n in range(1, 4)]
    assert list(split_notes("".join(notes))) == notes
    assert list(split_notes("x\n" + notes[0])) == ["x\n", notes[0]]
    assert not list(split_notes(""))


def test_keys_are_given_as_texts_and_files(tmp_path: Path) -> None:
    signer = Signer()
    (tmp_path / "vkey").write_text(f"{signer.key.vkey}\n{Signer(seed=2).key.vkey}\n")
    (tmp_path / "pem").write_bytes(signer.pem)
    assert read_given_keys(signer.key.vkey) == [signer.key]
    assert read_given_keys(str(tmp_path / "vkey")) == [signer.key, Signer(seed=2).key]
    assert read_given_keys(str(tmp_path / "pem")) == [NoteKey("", signer.key.public)]


def test_what_is_no_key(tmp_path: Path) -> None:
    vkey = Signer().key.vkey
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    pem = other.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    files = {
        "ec": (pem, "another key"),
        "cut": (pem[:60], "no public key"),
        "empty": (b"", "no vkey"),
        "binary": (b"\xff\0", "no text"),
    }
    for name, (content, why) in files.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(CheckpointKeyFault, match=why):
            read_given_keys(str(tmp_path / name))
    with pytest.raises(CheckpointKeyFault, match="No such file"):
        read_given_keys(str(tmp_path / "absent"))
    name, key_id, encoded = vkey.split("+", 2)
    for text in (f"{name}+{key_id}", f"{name}+{key_id}+AAAA", f"{name}+{key_id}+!{encoded}"):
        with pytest.raises(CheckpointKeyFault, match="no vkey"):
            read_vkey(text)
    with pytest.raises(CheckpointKeyFault, match="is it cut"):
        read_vkey(f"{name}x+{key_id}+{encoded}")
