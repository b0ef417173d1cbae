"""The filter, run as the kernel would run it: which calls pass, and with which arguments."""

import errno
import os
import struct
from collections.abc import Sequence
from pathlib import Path

import pytest

from sidecar.runtime.hardening.seccomp import REFUSED, build_filter

PID = 4321
ARCHITECTURES = {"x86_64": 0xC000_003E, "aarch64": 0xC000_00B7}
ALLOW, REFUSE, UNKNOWN = 0x7FFF_0000, 0x0005_0000 | errno.EPERM, 0x0005_0000 | errno.ENOSYS
THREAD = 0x0001_0000


def run(code: bytes, number: int, arch: int, first: int = 0) -> int:
    """Run classic BPF over ``struct seccomp_data`` (seccomp(2)); return the verdict."""
    words: Sequence[int] = struct.unpack(
        "16I", struct.pack("=IIQQ", number, arch, 0, first) + bytes(40)
    )
    at, loaded = 0, 0
    while True:
        kind, yes, no, value = struct.unpack_from("=HBBI", code, at * 8)
        at += 1
        match kind:
            case 0x20:
                loaded = words[value // 4]
            case 0x15:
                at += yes if loaded == value else no
            case 0x35:
                at += yes if loaded >= value else no
            case 0x45:
                at += yes if loaded & value else no
            case 0x06:
                return int(value)


def verdict(machine: str, number: int, first: int = 0) -> int:
    return run(build_filter(machine, PID), number, ARCHITECTURES[machine], first)


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_every_listed_call_is_refused(machine: str) -> None:
    column = list(ARCHITECTURES).index(machine)
    numbers = [each[column] for each in REFUSED.values()]
    assert {verdict(machine, number) for number in numbers if number is not None} == {REFUSE}


CALLS = [
    ("x86_64", "read", 0, 0, ALLOW),
    ("aarch64", "read", 63, 0, ALLOW),
    ("x86_64", "accept4", 288, 0, ALLOW),
    ("x86_64", "a new process", 56, 17, REFUSE),
    ("x86_64", "a thread", 56, THREAD | 17, ALLOW),
    ("aarch64", "a new process", 220, 17, REFUSE),
    ("aarch64", "a thread", 220, THREAD, ALLOW),
    ("x86_64", "clone3", 435, 0, UNKNOWN),
    ("aarch64", "clone3", 435, 0, UNKNOWN),
    ("x86_64", "a signal to itself", 234, PID, ALLOW),
    ("x86_64", "a signal to another", 234, PID + 1, REFUSE),
    ("aarch64", "a signal to another", 131, 1, REFUSE),
    ("x86_64", "its own limits", 302, 0, ALLOW),
    ("x86_64", "its own limits by number", 302, PID, ALLOW),
    ("x86_64", "another's limits", 302, PID + 1, REFUSE),
    ("x86_64", "a call of x32", 0x4000_0000, 0, REFUSE),
]


@pytest.mark.parametrize(
    ("machine", "number", "first", "outcome"),
    [(c[0], *c[2:]) for c in CALLS],
    ids=[f"{c[0]}: {c[1]}" for c in CALLS],
)
def test_calls_by_number_and_first_argument(
    machine: str, number: int, first: int, outcome: int
) -> None:
    assert verdict(machine, number, first) == outcome


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_calls_of_another_architecture_are_refused(machine: str) -> None:
    code = build_filter(machine, PID)
    for arch in (0x4000_0003, *(each for each in ARCHITECTURES.values())):
        expected = ALLOW if arch == ARCHITECTURES[machine] else REFUSE
        assert run(code, 63 if machine == "aarch64" else 0, arch) == expected


def test_rings_alone_can_be_refused() -> None:
    code = build_filter("x86_64", PID, ("io_uring_setup",))
    arch = ARCHITECTURES["x86_64"]
    assert [run(code, number, arch, 17) for number in (425, 56, 59)] == [REFUSE, ALLOW, ALLOW]


def test_an_unknown_architecture_is_an_error() -> None:
    with pytest.raises(OSError, match="riscv64"):
        build_filter("riscv64", os.getpid())


@pytest.mark.parametrize(
    ("machine", "header"),
    [("x86_64", "x86_64-linux-gnu/asm/unistd_64.h"), ("aarch64", "asm-generic/unistd.h")],
)
def test_the_numbers_are_those_of_the_kernels_headers(machine: str, header: str) -> None:
    path = Path("/usr/include") / header
    if not path.is_file():
        pytest.skip("no kernel headers here")
    known = {}
    for line in path.read_text().splitlines():
        match line.removeprefix("#define __NR").removeprefix("3264").split():
            case [name, number] if number.isdecimal():
                known[name.removeprefix("_")] = int(number)
    column = ("x86_64", "aarch64").index(machine)
    wrong = {
        name: numbers[column]
        for name, numbers in REFUSED.items()
        if numbers[column] is not None and known.get(name, numbers[column]) != numbers[column]
    }
    assert wrong == {}
    assert len(known.keys() & REFUSED.keys()) > 60
    assert len(build_filter(machine, 1)) // 8 < 4096, "as many as a filter may have"
