"""Landlock (landlock(7)): irrevocably restricts what this thread may open and reach.

A ruleset names the kinds of access it *handles*; of those, only what a rule allows remains.
What a kernel's Landlock can handle depends on its ABI version: files from 1 on, TCP from 4,
abstract Unix sockets and signals from 6. It never covers UDP, ``connect`` to a Unix socket with
a path, or ``chmod``: see ``seccomp``. A process in a Landlock domain can't trace or read the
memory of one outside, whatever the users of the two are.
"""

import ctypes
import errno
import os
from collections.abc import Iterable
from pathlib import Path

from sidecar.runtime.hardening.kernel import syscall

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
"""The same numbers on every architecture."""
_VERSION_FLAG = 1
_RULE_PATH_BENEATH = 1
_READ = 1 << 2 | 1 << 3
"""Read files, list folders."""
_FS_BITS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""How many kinds of file access each version handles; later versions as many as the last one."""
_NET_BITS = 0b11
"""Bind and connect TCP, from version 4 on."""
_SCOPES = 0b11
"""Abstract Unix sockets and signals, from version 6 on."""
_NET_SINCE, _SCOPES_SINCE = 4, 6


class _Ruleset(ctypes.Structure):
    _fields_ = (
        ("handled_access_fs", ctypes.c_uint64),
        ("handled_access_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def abi_version() -> int:
    """Return the version of the kernel's Landlock; 0 where it is missing or disabled."""
    try:
        return syscall(_CREATE_RULESET, None, 0, _VERSION_FLAG)
    except OSError as exc:
        if exc.errno in {errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM}:
            return 0
        raise


def restrict_self(readable: Iterable[Path]) -> int:
    """Restrict this thread to reading below ``readable``; return the version that is in force.

    Threads that are started later inherit it, existing ones do not. Needs
    ``PR_SET_NO_NEW_PRIVS``. Bound sockets keep working. Raises ``OSError`` where the kernel has
    no Landlock or refuses.
    """
    version = abi_version()
    if not version:
        raise OSError(errno.EOPNOTSUPP, "the kernel has no Landlock, or it is disabled")
    files = (1 << _FS_BITS.get(version, _FS_BITS[5])) - 1
    attributes = _Ruleset(
        files,
        _NET_BITS if version >= _NET_SINCE else 0,
        _SCOPES if version >= _SCOPES_SINCE else 0,
    )
    # An older kernel refuses a longer structure than it knows, unless the rest of it is zero.
    size = ctypes.sizeof(attributes)
    ruleset = syscall(_CREATE_RULESET, ctypes.byref(attributes), size, 0)
    try:
        for path in readable:
            _allow(ruleset, path)
        syscall(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)
    return version


def _allow(ruleset: int, path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # what can't be opened need not be allowed
    try:
        rule = _PathBeneath(_READ, descriptor)
        syscall(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(descriptor)
