"""The seccomp filters (and the umask) of a unit, put on by libseccomp before a program runs.

    python unit_filters.py UNIT PROGRAM ARGUMENT...

What systemd does is in its src/shared/seccomp-util.c; names of sets are expanded by
``systemd-analyze syscall-filter``, so that the sets are those of the installed systemd.
"""

import ctypes
import errno
import functools
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.support.unit_file import Unit, read_unit, words

_ALLOW, _ERRNO = 0x7FFF_0000, 0x0005_0000
_EQUAL, _AT_LEAST, _MASKED_EQUAL = 4, 5, 7
_NEW_PRIVILEGES = 38
_WRITE_EXECUTE, _EXECUTE = 0x2 | 0x4, 0x4
_SHM_EXEC = 0o100000
_NAMESPACES = (
    0x0002_0000, 0x0200_0000, 0x0400_0000, 0x0800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000,
)  # fmt: skip
_SET_IDS = (0o4000, 0o2000)
_REALTIME = (1, 2, 6)
_FAMILIES = 46
"""More than Linux has."""


class _Comparison(ctypes.Structure):
    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operation", ctypes.c_int),
        ("first", ctypes.c_uint64),
        ("second", ctypes.c_uint64),
    )


Rule = tuple[str, int, int, int, int]
"""A call that is refused with an error number where an argument compares so with a value."""


@functools.cache
def _library() -> Any:
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    return library


def allowed_calls(unit: Unit) -> set[str]:
    """Return the names that ``SystemCallFilter=`` leaves, in the order of its lines."""
    found = _set("@default")
    for value in unit["Service", "SystemCallFilter"]:
        names = set().union(*(_set(word) for word in value.removeprefix("~").split()))
        found = found - names if value.startswith("~") else found | names
    return found


@functools.cache
def _set(name: str) -> set[str]:
    if not name.startswith("@"):
        return {name}
    command = ["systemd-analyze", "syscall-filter", name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    listed = [line.strip() for line in done.stdout.splitlines()[1:]]
    return set().union(*(_set(each) for each in listed if each and not each.startswith("#")))


def refusals(unit: Unit) -> Iterator[Rule]:
    """Yield what the other directives refuse."""
    denied = errno.EPERM
    allowed = {getattr(socket, name) for name in words(unit, "RestrictAddressFamilies")}
    if allowed:
        others = set(range(_FAMILIES)) - allowed
        yield from (("socket", errno.EAFNOSUPPORT, 0, _EQUAL, each) for each in sorted(others))
        yield "socket", errno.EAFNOSUPPORT, 0, _AT_LEAST, _FAMILIES
    if _is_on(unit, "MemoryDenyWriteExecute"):
        yield "mmap", denied, 2, _MASKED_EQUAL, _WRITE_EXECUTE
        yield "mprotect", denied, 2, _MASKED_EQUAL, _EXECUTE
        yield "pkey_mprotect", denied, 2, _MASKED_EQUAL, _EXECUTE
        yield "shmat", denied, 2, _MASKED_EQUAL, _SHM_EXEC
    if _is_on(unit, "RestrictNamespaces"):
        yield "clone3", errno.ENOSYS, 1, _AT_LEAST, 0
        yield "setns", denied, 1, _AT_LEAST, 0
        yield from (("unshare", denied, 0, _MASKED_EQUAL, flag) for flag in _NAMESPACES)
        yield from (("clone", denied, 0, _MASKED_EQUAL, flag) for flag in _NAMESPACES)
    if _is_on(unit, "RestrictSUIDSGID"):
        for bit in _SET_IDS:
            yield "chmod", denied, 1, _MASKED_EQUAL, bit
            yield "fchmod", denied, 1, _MASKED_EQUAL, bit
            yield "fchmodat", denied, 2, _MASKED_EQUAL, bit
    if _is_on(unit, "RestrictRealtime"):
        yield from (("sched_setscheduler", denied, 1, _EQUAL, each) for each in _REALTIME)


def _is_on(unit: Unit, name: str) -> bool:
    return unit.get(("Service", name), [""])[-1] == "true"


def load(unit: Unit) -> None:
    """Load both filters into this process, for good."""
    names = sorted(allowed_calls(unit))
    rules = list(refusals(unit))
    library = _library()
    _checked(ctypes.CDLL(None).prctl(_NEW_PRIVILEGES, 1, 0, 0, 0))
    refusing = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(_ALLOW)))
    for name, number, argument, operation, value in rules:
        second = value if operation == _MASKED_EQUAL else 0
        comparison = _Comparison(argument, operation, value, second)
        _checked(
            library.seccomp_rule_add_array(
                refusing, ctypes.c_uint32(_ERRNO | number), _number(name), 1,
                ctypes.byref(comparison),
            )
        )  # fmt: skip
    allowing = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(_ERRNO | errno.EPERM)))
    for name in names:
        if (number := _number(name)) >= 0:  # others are of another architecture
            _checked(
                library.seccomp_rule_add_array(allowing, ctypes.c_uint32(_ALLOW), number, 0, None)
            )
    _checked(library.seccomp_load(refusing))
    _checked(library.seccomp_load(allowing))


def _number(name: str) -> int:
    return int(_library().seccomp_syscall_resolve_name(name.encode()))


def _checked(result: int) -> None:
    if result < 0:
        raise OSError(-result, os.strerror(-result))


if __name__ == "__main__":
    started = read_unit(Path(sys.argv[1]))
    os.umask(int(words(started, "UMask")[-1], 8))
    load(started)
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 - the program under test
