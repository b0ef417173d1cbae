"""``septem backup`` against a real OpenBao: files, pipes, programs, and what ends half way."""

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest

from tests.workload.backups.archives_in_hand import content_of
from tests.workload.backups.backup_vault import MOUNT, BackupVault
from workload.cli import main

pytestmark = pytest.mark.real
MEGABYTE = 1_048_576
CONTENT = content_of(700_000)
"""Three chunks."""
Popen = subprocess.Popen[bytes]
Septem = Callable[..., tuple[int, str, str]]


@pytest.fixture
def septem(capsys: pytest.CaptureFixture[str]) -> Iterator[Septem]:
    def run(*arguments: object) -> tuple[int, str, str]:
        status = main(["backup", *map(str, arguments)])
        said = capsys.readouterr()
        return status, said.out, said.err

    before = resource.getrlimit(resource.RLIMIT_CORE)
    yield run
    resource.setrlimit(resource.RLIMIT_CORE, before)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where archives are written to: its names are what an operator sees."""
    made = tmp_path / "archives"
    made.mkdir()
    return made


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    made = tmp_path / "orders.dump"
    made.write_bytes(CONTENT)
    return made


@pytest.fixture
def archive(vault: BackupVault, septem: Septem, plain: Path, folder: Path) -> Path:
    made = folder / "orders.sealed"
    given = ("--name", "orders", "--tenant", "acme", "--input", plain, "--output", made)
    status, said, _ = septem("seal", *given, *vault.arguments("seal"))
    assert (status, said) == (
        0,
        f"{made}: 700000 bytes sealed as orders, key of {MOUNT}/{vault.key}\n",
    )
    return made


def _names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def _process(*arguments: object, stdout: int | IO[bytes] = subprocess.PIPE) -> Popen:
    command = [sys.executable, "-m", "workload.cli", "backup", *map(str, arguments)]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=stdout, stderr=subprocess.PIPE, bufsize=0
    )


def test_a_file_is_sealed_inspected_verified_and_opened(
    vault: BackupVault, septem: Septem, archive: Path, folder: Path
) -> None:
    raw = archive.read_bytes()
    assert CONTENT[:64] not in raw
    assert resource.getrlimit(resource.RLIMIT_CORE)[0] == 0, "no core file has the key"
    assert archive.stat().st_mode & 0o777 == 0o600
    status, said, _ = septem("inspect", archive, "--json")
    found = json.loads(said)
    assert (status, found["name"], found["tenant"], found["chunks"]) == (0, "orders", "acme", 3)
    assert "700000 bytes in 3 chunks" in septem("inspect", archive)[1]
    opening = vault.arguments("open")
    expected = ("--name", "orders", "--tenant", "acme", "--newer-than", "2026-01-01")
    assert septem("verify", archive, *expected, *opening) == (
        0,
        f"{archive}: 700000 bytes, whole and authentic\n",
        "",
    )
    out = folder / "orders.dump"
    assert septem("open", archive, "--output", out, *opening)[0] == 0
    assert out.read_bytes() == CONTENT


def test_pipes_of_any_length(vault: BackupVault) -> None:
    content = CONTENT * 20
    with _process("seal", "--name", "a", "--output", "-", *vault.arguments("seal")) as sealing:
        sealed, said = sealing.communicate(content)
    assert (sealing.returncode, said) == (0, b"")
    with _process("open", "--output", "-", *vault.arguments("open")) as opening:
        assert opening.communicate(sealed) == (content, b"")
    assert opening.returncode == 0
    with _process("open", "--output", "-", *vault.arguments("open")) as opening:
        got, said = opening.communicate(sealed[:-5])
    assert opening.returncode == 1
    assert b"cut inside it" in said
    assert content.startswith(got)


Fault = tuple[int, list[str], str]
FAULTS: dict[str, Fault] = {
    "another name": (1, ["--name", "people"], "a backup of orders, not of people"),
    "another tenant": (1, ["--tenant", "other"], "of tenant acme, not of tenant other"),
    "an older one": (1, ["--newer-than", "2999-01-01"], "a newer one than 2999-01-01"),
    "another key": (1, ["--key", "other"], "wrapped its key, and backup-transit/other was"),
    "a file that is there": (2, ["--output", "TAKEN"], "is there already: --overwrite"),
    "a folder that is not": (2, ["--output", "NONE/x"], "can't be written: No such file"),
    "a Vault that is not": (2, ["--vault", "http://127.0.0.1:1"], "Connect call failed"),
    "an address that is none": (2, ["--vault", "vault"], "neither https://host:port nor"),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_what_is_not_as_asked_for_writes_nothing(
    vault: BackupVault, septem: Septem, archive: Path, folder: Path, fault: Fault
) -> None:
    status, given, said = fault
    before = archive.read_bytes()
    given = [
        each.replace("TAKEN", str(archive)).replace("NONE", f"{folder}/none") for each in given
    ]
    output = ("--output", folder / "out")
    found = septem("open", archive, *output, *vault.arguments("open"), *given)
    assert (found[0], found[1]) == (status, "")
    assert said in found[2]
    assert _names(folder) == ["orders.sealed"]
    assert archive.read_bytes() == before


def test_an_altered_archive_gives_no_file(
    vault: BackupVault, septem: Septem, archive: Path, folder: Path
) -> None:
    raw = bytearray(archive.read_bytes())
    raw[-1] ^= 1
    archive.write_bytes(raw)
    status, _, said = septem("open", archive, "--output", folder / "out", *vault.arguments("open"))
    assert status == 1
    assert said.startswith("septem: chunk 2 (bytes 525344 to 701071) is not what was sealed")
    assert _names(folder) == ["orders.sealed"]


def test_a_token_that_may_only_seal_opens_nothing_and_is_not_said(
    vault: BackupVault, septem: Septem, archive: Path
) -> None:
    given = vault.arguments("seal")
    status, said, why = septem("verify", archive, *given)
    assert (status, said) == (2, "")
    assert "permission denied" in why
    token = Path(given[given.index("--vault-token-file") + 1]).read_text().strip()
    assert token not in why


def test_a_programs_output_is_sealed_if_it_succeeds(
    vault: BackupVault, septem: Septem, folder: Path
) -> None:
    seal = ("seal", "--name", "a", *vault.arguments("seal"))
    good, bad = folder / "good", folder / "bad"
    assert septem(*seal, "--output", good, "--", "sh", "-c", "printf hello")[0] == 0
    assert septem("open", good, "--output", folder / "out", *vault.arguments("open"))[0] == 0
    assert (folder / "out").read_text() == "hello"
    status, _, said = septem(*seal, "--output", bad, "--", "sh", "-c", "printf hello; exit 7")
    assert status == 2
    assert "sh failed with status 7" in said
    assert not bad.exists()
    status, _, said = septem(*seal, "--output", bad, "--input", good, "--", "true")
    assert (status, bad.exists()) == (2, False)
    assert "not both" in said


def test_the_archive_of_a_program_that_fails_never_ends_on_a_pipe_either(
    vault: BackupVault,
) -> None:
    seal = ("seal", "--name", "a", "--output", "-", *vault.arguments("seal"))
    with _process(*seal, "--", "sh", "-c", "head -c 600000 /dev/zero; exit 7") as sealing:
        sealed, _ = sealing.communicate()
    assert sealing.returncode == 2
    with _process("verify", *vault.arguments("open")) as verifying:
        _, said = verifying.communicate(sealed)
    assert verifying.returncode == 1
    assert b"it was cut, and its end is missing" in said


def _feed_and_kill(process: Popen, content: bytes) -> None:
    """Give more than a pipe holds, so that a part of it was taken, and kill."""
    assert process.stdin is not None
    with process:
        written = 0
        while written < len(content):
            written += os.write(process.stdin.fileno(), content[written:])
        process.send_signal(signal.SIGKILL)
        process.wait()


def _left_by_the_killed(folder: Path) -> set[str]:
    """Return what is left: where files must have names, that of a part, which is no archive's."""
    try:
        os.close(os.open(folder, os.O_TMPFILE | os.O_WRONLY))
    except OSError:
        return {name for name in _names(folder) if not name.startswith(".killed.")}
    return set(_names(folder))


def test_who_is_killed_half_way_leaves_nothing(vault: BackupVault, folder: Path) -> None:
    seal = ("seal", "--name", "a", "--output")
    _feed_and_kill(
        _process(*seal, folder / "killed", *vault.arguments("seal")), bytes(3 * MEGABYTE)
    )
    assert _left_by_the_killed(folder) == set()
    with _process(*seal, "-", *vault.arguments("seal")) as sealing:
        sealed, _ = sealing.communicate(bytes(3 * MEGABYTE))
    _feed_and_kill(
        _process("open", "--output", folder / "killed", *vault.arguments("open")), sealed
    )
    assert _left_by_the_killed(folder) == set()


def test_a_full_disk_behind_standard_output(vault: BackupVault) -> None:
    with (
        Path("/dev/full").open("wb") as full,
        _process(
            "seal", "--name", "a", "--output", "-", *vault.arguments("seal"), stdout=full
        ) as sealing,
    ):
        _, said = sealing.communicate(b"content")
    assert sealing.returncode == 2
    assert b"No space left on device" in said


def test_a_reader_that_goes_away(vault: BackupVault) -> None:
    with _process("seal", "--name", "a", "--output", "-", *vault.arguments("seal")) as sealing:
        assert sealing.stdout is not None
        assert sealing.stderr is not None
        sealing.stdout.close()
        sealing.stdout = None
        _, said = sealing.communicate(b"content")
    assert sealing.returncode == 2
    assert said == b"septem: the reader of the output has gone\n"


def test_archives_are_rewrapped_one_by_one(
    vault: BackupVault, septem: Septem, archive: Path, folder: Path
) -> None:
    vault.rotate()
    broken = folder / "broken"
    broken.write_bytes(b"SEPTEMBK")
    status, said, why = septem("rewrap", broken, archive, *vault.arguments("rewrap"))
    assert status == 1
    assert said == (f"{archive}: wrapped by version 1 of {MOUNT}/{vault.key}, now by version 2\n")
    assert why == f"septem: {broken}: the archive ends at byte 8, inside its header of 1024 bytes\n"
    vault.write("/config", {"min_decryption_version": 2})
    assert septem("verify", archive, *vault.arguments("open"))[0] == 0


def test_a_policy_is_one_line(septem: Septem) -> None:
    _, said, _ = septem("policy", "seal", "--mount", "kv/transit", "--key", "nightly")
    assert said == (
        "# septem backup seal, with kv/transit/nightly.\n"
        'path "kv/transit/datakey/plaintext/nightly" { capabilities = ["update"] }\n'
    )


def test_what_a_terminal_would_obey_is_not_printed(septem: Septem, tmp_path: Path) -> None:
    path = tmp_path / "a\x1b[2J"
    status, _, said = septem("inspect", path)
    assert status == 2
    assert "\x1b" not in said
