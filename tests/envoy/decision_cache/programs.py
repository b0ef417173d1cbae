"""Builds and runs the C programs of this folder, with what the machine's compilers can do."""

import atexit
import os
import shutil
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest

SOURCES = Path(__file__).parents[3] / "envoy" / "decision_cache"
PROGRAMS = Path(__file__).parent / "c"
CORE = ("config", "route", "request", "payload", "table", "audit", "lease", "filter", "module")
FAKES = ("fake_envoy", "fake_sidecar")
FLAGS = ("-std=c11", "-Wall", "-Wextra", "-Wno-override-init", "-Wno-initializer-overrides")
ADDRESS = ("-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
THREAD = ("-g", "-O1", "-fsanitize=thread", "-pthread")
AARCH64, AARCH64_EMULATOR = "aarch64-linux-gnu-gcc", "qemu-aarch64"
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
    if "-fsanitize=fuzzer" in flags:
        source = "int LLVMFuzzerTestOneInput(const char *d, long n) { return d == 0 && n < 0; }\n"
    flags = tuple(flag for flag in flags if "--wrap" not in flag)
    command = [compiler, *flags, "-x", "c", "-", "-o", os.devnull]
    done = subprocess.run(command, input=source, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else f"{compiler} can't link {' '.join(flags)} here"


def compile_all(
    folder: Path,
    compiler: str,
    flags: Sequence[str],
    sources: Sequence[str],
    headers: Path = SOURCES,
) -> list[Path]:
    """Compile sources into a folder, as many at once as there are processors."""
    command = [compiler, *FLAGS, "-Werror", *flags, *include(headers), "-c"]

    def one(source: str) -> Path:
        made = folder / f"{Path(source).stem}.o"
        done = subprocess.run(
            [*command, source, "-o", str(made)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return made

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(one, sources))


@cache
def core_objects(compiler: str, flags: tuple[str, ...]) -> dict[str, Path]:
    """Compile the module and the fakes once for a set of flags."""
    folder = Path(mkdtemp(prefix="septem-objects-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    made = compile_all(folder, compiler, flags, files((*CORE, *FAKES)))
    return {each.stem: each for each in made}


def link(program: Path, compiler: str, flags: Sequence[str], objects: Sequence[Path]) -> Path:
    """Link a program."""
    command = [compiler, *flags, *map(str, objects), "-o", str(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return program


def build(
    folder: Path,
    name: str,
    others: Sequence[str],
    flags: tuple[str, ...] = (),
    *,
    linked: tuple[str, ...] = (),
    compiler: str = "gcc",
) -> Path:
    """Compile and link a program of this folder, or skip the test."""
    if reason := why_not(compiler, *flags, *linked):
        pytest.skip(reason)
    core = core_objects(compiler, flags)
    own = compile_all(folder, compiler, flags, files((name,)))
    objects = [*own, *(core[each] for each in others)]
    return link(folder / name, compiler, (*flags, *linked), objects)


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
