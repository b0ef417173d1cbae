"""System calls that a worker does not need, refused by the kernel (seccomp(2)).

A worker has its listener and its channel; it needs no other socket, starts no program, and has
no business with other processes. Refused calls fail with EPERM. This is a deny-list and not an
allow-list: an interpreter and its libraries change what they use, and a worker that crashes
after an update would protect nobody. ``landlock`` restricts files.
"""

import ctypes
import errno
import os
import platform
import struct
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from sidecar.runtime.hardening.kernel import PR_SET_SECCOMP, prctl

_MODE_FILTER = 2
_REFUSE = 0x0005_0000 | errno.EPERM
_UNKNOWN = 0x0005_0000 | errno.ENOSYS
"""Makes the C library use ``clone`` instead of ``clone3``, whose flags a filter can't read."""
_ALLOW = 0x7FFF_0000
_LOAD, _IF_EQUAL, _IF_AT_LEAST, _IF_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER_AT, _ARCH_AT, _FIRST_ARGUMENT_AT = 0, 4, 16
_CLONE_THREAD = 0x0001_0000
_X32_BIT = 0x4000_0000
_MAX_32_BITS = 2**32
_INSTRUCTION = struct.Struct("=HBBI")
_instruction = _INSTRUCTION.pack
_REFUSED = _instruction(_RETURN, 0, 0, _REFUSE)
_ALLOWED = _instruction(_RETURN, 0, 0, _ALLOW)


class _Architecture(NamedTuple):
    column: int
    audit_arch: int
    clone: int
    clone3: int
    tgkill: int
    prlimit64: int


_ARCHITECTURES = {
    "x86_64": _Architecture(0, 0xC000_003E, 56, 435, 234, 302),
    "aarch64": _Architecture(1, 0xC000_00B7, 220, 435, 131, 261),
}
REFUSED: Mapping[str, tuple[int, int | None]] = {
    # starting another program or process
    "execve": (59, 221),
    "execveat": (322, 281),
    "fork": (57, None),
    "vfork": (58, None),
    # inspecting another process, or signalling it
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424),
    "kcmp": (312, 272),
    "kill": (62, 129),
    "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    # opening other sockets
    "socket": (41, 198),
    "connect": (42, 203),
    "bind": (49, 200),
    # changing a file's owner or mode
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, None),
    "fchown": (93, 55),
    "lchown": (94, None),
    "fchownat": (260, 54),
    "truncate": (76, 45),
    "utime": (132, None),
    "utimes": (235, None),
    "futimesat": (261, None),
    "utimensat": (280, 88),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "setxattrat": (463, 463),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "removexattrat": (466, 466),
    "file_setattr": (469, 469),
    "mknod": (133, None),
    "mknodat": (259, 33),
    # changing the process's identity
    "setuid": (105, 146),
    "setgid": (106, 144),
    "setreuid": (113, 145),
    "setregid": (114, 143),
    "setresuid": (117, 147),
    "setresgid": (119, 149),
    "setgroups": (116, 159),
    "setfsuid": (122, 151),
    "setfsgid": (123, 152),
    "capset": (126, 91),
    # affecting the scheduling of other processes of the user
    "setpriority": (141, 140),
    "sched_setaffinity": (203, 122),
    "sched_setscheduler": (144, 119),
    "sched_setattr": (314, 274),
    "sched_setparam": (142, 118),
    "ioprio_set": (251, 30),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    # sharing memory or messages by name
    "shmget": (29, 194),
    "shmat": (30, 196),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    # doing any of these in a way that this filter can't see
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    # administering the kernel
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "setns": (308, 268),
    "unshare": (272, 97),
    "open_by_handle_at": (304, 265),
    "name_to_handle_at": (303, 264),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "open_tree_attr": (467, 467),
    "mount_setattr": (442, 442),
    "personality": (135, 92),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "syslog": (103, 116),
}
"""The refused calls, with their numbers on x86_64 and aarch64."""


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def refuse_calls() -> None:
    """Refuse the calls in ``REFUSED`` to this thread and everything it starts from now on.

    Also refused: new processes (threads are not), signals to others, and others' limits.
    Needs ``PR_SET_NO_NEW_PRIVS``. Raises ``OSError`` where the kernel or the architecture
    does not support it.
    """
    _install(build_filter(_machine(), os.getpid()))


def refuse_rings() -> None:
    """Refuse io_uring to this thread and everything it starts from now on.

    libuv opens a ring for each event loop, and a filter does not see calls through a ring: so
    call this before the loop is created, and ``refuse_calls`` when everything is open. Raises
    ``OSError``.
    """
    _install(build_filter(_machine(), os.getpid(), ("io_uring_setup",)))


def _install(code: bytes) -> None:
    buffer = ctypes.create_string_buffer(code, len(code))
    program = _Program(len(code) // _INSTRUCTION.size, ctypes.cast(buffer, ctypes.c_char_p))
    prctl(PR_SET_SECCOMP, _MODE_FILTER, ctypes.addressof(program))


def _machine() -> str:
    """Return the architecture of this process; a 32-bit process has other call numbers."""
    return platform.machine() if sys.maxsize > _MAX_32_BITS else "a 32-bit process"


def build_filter(machine: str, pid: int, calls: Collection[str] = REFUSED) -> bytes:
    """Return the filter as classic BPF; raise ``OSError`` for an unsupported architecture.

    ``calls`` are the names in ``REFUSED`` to refuse; all of them add the rules of ``refuse_calls``.
    """
    system = _ARCHITECTURES.get(machine)
    if system is None:
        raise OSError(errno.EOPNOTSUPP, f"no system call numbers are known for {machine}")
    refused = [REFUSED[name][system.column] for name in calls]
    rules = _rules(system, pid) if calls is REFUSED else ()
    return b"".join((*_head(system, refused), *rules, _ALLOWED))


def _head(system: _Architecture, refused: Iterable[int | None]) -> Iterator[bytes]:
    """Refuse calls of another architecture, and the calls with these numbers."""
    yield _instruction(_LOAD, 0, 0, _ARCH_AT)
    yield _instruction(_IF_EQUAL, 1, 0, system.audit_arch)
    yield _REFUSED
    yield _instruction(_LOAD, 0, 0, _NUMBER_AT)
    if system.column == 0:
        yield _instruction(_IF_AT_LEAST, 0, 1, _X32_BIT)
        yield _REFUSED
    for number in refused:
        if number is not None:
            yield from _for(number, _REFUSED)


def _rules(system: _Architecture, pid: int) -> Iterator[bytes]:
    """Restrict calls by their first argument: threads, and limits and signals of this process."""
    first = _instruction(_LOAD, 0, 0, _FIRST_ARGUMENT_AT)
    is_ours = _instruction(_IF_EQUAL, 1, 0, pid)
    yield from _for(system.clone3, _instruction(_RETURN, 0, 0, _UNKNOWN))
    is_thread = _instruction(_IF_ANY_BIT, 1, 0, _CLONE_THREAD)
    yield from _for(system.clone, first, is_thread, _REFUSED, _ALLOWED)
    yield from _for(system.tgkill, first, is_ours, _REFUSED, _ALLOWED)
    is_self = _instruction(_IF_EQUAL, 2, 0, 0)
    yield from _for(system.prlimit64, first, is_self, is_ours, _REFUSED, _ALLOWED)


def _for(number: int, *then: bytes) -> Iterator[bytes]:
    """Run ``then`` for one call; skip it for all others."""
    yield _instruction(_IF_EQUAL, 0, len(then), number)
    yield from then
