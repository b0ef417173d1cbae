"""What the ruleset handles on each version of the kernel's Landlock, and when there is none."""

import ctypes
import errno
import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.runtime.hardening import landlock
from sidecar.runtime.hardening.landlock import abi_version, restrict_self


class Kernel:
    """Answers Landlock's three calls as a kernel of one version does."""

    def __init__(self, version: int) -> None:
        self.version = version
        self.handled: tuple[int, int, int] | None = None
        self.rules = 0
        self.restricted = False

    def syscall(self, number: int, *arguments: object) -> int:
        if number == 444 and arguments[0] is None:
            return self.version
        if number == 444:
            values = ctypes.cast(arguments[0], ctypes.POINTER(ctypes.c_uint64))  # type: ignore[arg-type]
            self.handled = values[0], values[1], values[2]
            return os.open(os.devnull, os.O_RDONLY)
        if number == 445:
            self.rules += 1
        else:
            self.restricted = True
        return 0


def bits(count: int) -> int:
    return (1 << count) - 1


@pytest.fixture
def descriptors() -> Iterator[None]:
    gc.collect()  # or what earlier tests left to it is closed meanwhile
    before = len(list(Path("/proc/self/fd").iterdir()))
    yield
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.usefixtures("descriptors")
@pytest.mark.parametrize(
    ("version", "handled"),
    [
        (1, (bits(13), 0, 0)),
        (2, (bits(14), 0, 0)),
        (3, (bits(15), 0, 0)),
        (4, (bits(15), 0b11, 0)),
        (5, (bits(16), 0b11, 0)),
        (6, (bits(16), 0b11, 0b11)),
        (99, (bits(16), 0b11, 0b11)),
    ],
)
def test_each_version_handles_what_it_knows(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: int, handled: tuple[int, int, int]
) -> None:
    kernel = Kernel(version)
    monkeypatch.setattr(landlock, "syscall", kernel.syscall)
    assert restrict_self([tmp_path, tmp_path / "not there"]) == version
    assert (kernel.handled, kernel.rules, kernel.restricted) == (handled, 1, True)


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM])
def test_a_kernel_without_landlock_is_version_0_and_restricts_nothing(
    monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(landlock, "syscall", refuse)
    assert abi_version() == 0
    with pytest.raises(OSError, match="has no Landlock, or it is disabled"):
        restrict_self([])


def test_any_other_error_is_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(landlock, "syscall", refuse)
    with pytest.raises(OSError, match="Invalid argument"):
        abi_version()
