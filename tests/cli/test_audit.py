"""``sidecar audit verify``: what it prints, and its exit codes."""

import gzip
import json
from pathlib import Path

import pytest

from sidecar.cli.main import main
from sidecar.observability.audit.checkpoint import ORIGIN
from tests.observability.audit.signed_trail import SignedTrail, Signer


@pytest.fixture
def trail() -> SignedTrail:
    return SignedTrail()


def write(path: Path, lines: list[bytes]) -> str:
    path.write_bytes(b"".join(lines))
    return str(path)


def test_files_are_read_in_the_order_in_which_they_were_written(
    trail: SignedTrail, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = tmp_path / "audit.jsonl.2.gz"
    old.write_bytes(gzip.compress(b"".join(trail.lines(30))))
    middle = write(tmp_path / "audit.jsonl.1", trail.lines(30))
    new = write(tmp_path / "audit.jsonl", trail.lines(30))
    lock = write(tmp_path / "audit.jsonl.lock", [])
    key = ["--key", Signer().key.vkey]
    assert main(["audit", "verify", new, middle, str(old), lock, *key]) == 0
    said = capsys.readouterr().out
    assert "trail 0123456789abcdef: lines 1 to 99" in said
    assert "9 checkpoints fit; signed up to line 98" in said
    assert said.splitlines()[-1].startswith("the trail holds: 99 lines")
    assert main(["audit", "verify", new, str(old), *key]) == 1
    said = capsys.readouterr().out
    assert f"{new}:1: missing: lines 34 to 66 are missing" in said
    assert "THE TRAIL DOES NOT HOLD: 1 problem in" in said


def test_what_was_found_as_json(
    trail: SignedTrail, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = trail.lines(30)
    del lines[4]
    path = write(tmp_path / "audit.jsonl", lines)
    assert main(["audit", "verify", path, "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert (said["whole"], said["problems"], said["signatures_checked"]) == (False, 1, False)
    (found,) = said["findings"]
    assert found == {
        "kind": "missing", "text": "line 5 is missing before this one", "file": path,
        "line": 5, "last_line": 5, "time": "2026-11-26T03:00:06.000+00:00",
        "decision_id": "d6", "after_decision_id": "d4", "seq": 6,
    }  # fmt: skip


def test_checkpoints_that_were_kept_elsewhere(
    trail: SignedTrail, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "audit.jsonl", trail.lines(50)[:30])
    kept = tmp_path / "kept"
    kept.write_text("".join(trail.notes))
    (tmp_path / "key.pem").write_bytes(Signer().pem)
    key = ["--key", str(tmp_path / "key.pem")]
    assert main(["audit", "verify", path, *key]) == 0
    assert main(["audit", "verify", path, *key, "--checkpoint", str(kept)]) == 1
    assert f"{kept}:33: cut: the checkpoint of 2026-" in capsys.readouterr().out


def test_a_live_file_must_be_signed_lately(
    trail: SignedTrail, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "audit.jsonl", trail.lines(50))
    key = ["--key", Signer().key.vkey]
    assert main(["audit", "verify", path, *key]) == 0
    assert main(["audit", "verify", path, *key, "--live"]) == 1
    assert "stale: the newest checkpoint is of 2026-" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["absent.jsonl"], "No such file"),
        (["audit.jsonl", "--key", "absent.pem"], "is no vkey"),
        (["audit.jsonl", "--key", f"{ORIGIN}a+00+AA"], "no vkey of an Ed25519 key"),
        (["audit.jsonl", "--checkpoint", "audit.jsonl"], "holds no checkpoint"),
        (["audit.jsonl", "--checkpoint", "absent"], "No such file"),
        (["broken.gz"], "gzip"),
        (["audit.jsonl.lock"], "none of these files has lines"),
    ],
)
def test_what_can_t_be_read_has_an_exit_code_of_its_own(
    trail: SignedTrail,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    arguments: list[str],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "audit.jsonl", [line for line in trail.lines(9) if b"note" not in line])
    write(tmp_path / "audit.jsonl.lock", [])
    write(tmp_path / "broken.gz", [b"no zip"])
    assert main(["audit", "verify", *arguments]) == 2
    assert words in capsys.readouterr().err
    assert main(["audit", "verify", *arguments, "--json"]) == 2
    assert words in json.loads(capsys.readouterr().err)["error"]


def test_what_a_doctored_file_says_is_printed_so_that_no_terminal_obeys(
    trail: SignedTrail, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = trail.lines(9)
    lines[4] = lines[4].replace(b'"d5"', b'"\x1b]0;d"')
    path = write(tmp_path / "audit.jsonl", lines)
    assert main(["audit", "verify", path]) == 1
    said = capsys.readouterr().out
    assert "altered" in said
    assert "\x1b" not in said
