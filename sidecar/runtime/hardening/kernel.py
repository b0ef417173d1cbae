"""Calls into the kernel that Python has no name for: prctl(2) and plain system calls.

The PyPI bindings of Landlock and libseccomp were weighed: pre-releases with few users, or a
shared library that a slim image does not have. What is needed here is four calls.
"""

import ctypes
import os

PR_SET_DUMPABLE = 4
PR_SET_NO_NEW_PRIVS = 38
PR_SET_SECCOMP = 22
PR_SET_CHILD_SUBREAPER = 36

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def prctl(option: int, *arguments: int) -> int:
    """Set or read one attribute of this process. Raises ``OSError``."""
    padded = (*arguments, 0, 0, 0, 0)[:4]
    return _checked(_libc.prctl(ctypes.c_int(option), *map(ctypes.c_ulong, padded)))


def syscall(number: int, *arguments: object) -> int:
    """Make a system call; integers are passed as longs, all else as ctypes has it.

    Raises ``OSError``.
    """
    passed = (ctypes.c_long(a) if isinstance(a, int) else a for a in arguments)
    return _checked(_libc.syscall(ctypes.c_long(number), *passed))


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return int(result)
