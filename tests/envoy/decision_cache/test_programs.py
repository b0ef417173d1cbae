"""The module's C programs under the sanitizers: streams, leases, tables, races, fuzzing."""

import json
import shutil
from pathlib import Path

import pytest

from tests.envoy.decision_cache.programs import (
    AARCH64,
    AARCH64_EMULATOR,
    ADDRESS,
    CORE,
    FAKES,
    THREAD,
    build,
    run,
)

CORPUS = Path(__file__).parents[2] / "fuzz" / "corpus" / "decision_cache"
WRAPPED = ("-Wl,--wrap=mmap,--wrap=munmap",)
FUZZED = ("-g", "-O1", "-fsanitize=fuzzer-no-link,address,undefined", "-fno-sanitize-recover=all")


@pytest.mark.parametrize("name", ["test_lease", "test_filter", "test_table"])
def test_it_holds_under_the_address_sanitizer(tmp_path: Path, name: str) -> None:
    run(build(tmp_path, name, (*CORE, *FAKES), ADDRESS))


@pytest.mark.parametrize("name", ["test_filter", "test_table"])
def test_it_holds_on_aarch64(tmp_path: Path, name: str) -> None:
    """Emulated (Debian's qemu-user), so without sanitizers; where it is not there, skipped.

    ``test_lease`` counts open descriptors, and qemu 7.2 keeps those of a message that had more
    than its reader has space for.
    """
    if shutil.which(AARCH64_EMULATOR) is None:
        pytest.skip(f"there is no {AARCH64_EMULATOR} here (Debian: apt-get install qemu-user)")
    program = build(tmp_path, name, (*CORE, *FAKES), ("-O2", "-static"), compiler=AARCH64)
    run(Path(AARCH64_EMULATOR), str(program), seconds=300)


def test_it_holds_under_the_thread_sanitizer(tmp_path: Path) -> None:
    program = build(tmp_path, "race", (*CORE, *FAKES), THREAD, linked=WRAPPED)
    counted = json.loads(run(program))
    assert counted["lines"] == counted["repeated"] == counted["spent"]


def test_a_few_seconds_of_fuzzing(tmp_path: Path) -> None:
    """``make fuzz`` goes on for ten minutes."""
    parts = (*CORE, *FAKES)
    program = build(
        tmp_path, "fuzz", parts, FUZZED, linked=("-fsanitize=fuzzer",), compiler="clang"
    )
    found = tmp_path / "found"
    found.mkdir()
    limits = ("-max_total_time=4", "-max_len=16384", "-timeout=5", f"-artifact_prefix={tmp_path}/")
    run(program, *limits, str(found), str(CORPUS))
    # It reaches what a valid payload leads to, and not the refusals alone.
    assert len(list(found.iterdir())) > 5


def test_a_cached_token_is_small_and_a_million_stay_within_their_bounds(tmp_path: Path) -> None:
    figures = json.loads(run(build(tmp_path, "figures", ("table", "payload"), ("-O2",))))
    assert figures["bytes_per_cached_token"] <= 300
    assert figures["grown"] <= figures["bound"] * 1.25
