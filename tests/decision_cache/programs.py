"""Builds and runs the C programs of this folder, with what the machine's compilers can do."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[2] / "envoy" / "decision_cache"
PROGRAMS = Path(__file__).parent / "c"
CORE = ("config", "route", "request", "payload", "table", "audit", "lease", "filter", "module")
FAKES = ("fake_envoy", "fake_sidecar")
FLAGS = ("-std=c11", "-Wall", "-Wextra", "-Wno-override-init", "-Wno-initializer-overrides")
ADDRESS = ("-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
THREAD = ("-g", "-O1", "-fsanitize=thread", "-pthread")
SUPPRESSED = PROGRAMS / "thread.supp"


def include(core: Path = SOURCES) -> tuple[str, ...]:
    """Return the flags that find the headers."""
    return (f"-I{core}", f"-I{PROGRAMS}")


def files(names: Sequence[str], core: Path = SOURCES) -> list[str]:
    """Return the sources of these names, the module's own or the tests'."""
    return [str((core if name in CORE else PROGRAMS) / f"{name}.c") for name in names]


@cache
def why_not(compiler: str, *flags: str) -> str:
    """Say why a compiler can't build with these flags; empty if it can."""
    if shutil.which(compiler) is None:
        return f"there is no {compiler} here (tools/get-c-tools)"
    source = "int main(void) { return 0; }\n"
    if any("fuzzer" in flag for flag in flags):
        source = "int LLVMFuzzerTestOneInput(const char *d, long n) { return d == 0 && n < 0; }\n"
    command = [compiler, *flags, "-x", "c", "-", "-o", os.devnull]
    done = subprocess.run(command, input=source, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else f"{compiler} can't link {' '.join(flags)} here"


def build(
    folder: Path,
    name: str,
    others: Sequence[str],
    flags: Sequence[str] = (),
    compiler: str = "gcc",
) -> Path:
    """Compile and link a program of this folder, or skip the test."""
    if reason := why_not(compiler, *(flag for flag in flags if not flag.startswith("-Wl"))):
        pytest.skip(reason)
    program = folder / name
    command = [compiler, *FLAGS, "-Werror", *flags, *include(), *files((name, *others))]
    done = subprocess.run(
        [*command, "-o", str(program)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return program


def run(program: Path, *arguments: str, stdin: bytes = b"", seconds: float = 120) -> bytes:
    """Run a program to its good end, and return what it printed."""
    environment = {**os.environ, "TSAN_OPTIONS": f"suppressions={SUPPRESSED}"}
    done = subprocess.run(
        [str(program), *arguments],
        input=stdin,
        capture_output=True,
        env=environment,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-4000:]
    return done.stdout
