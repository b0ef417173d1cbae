"""A unit's restrictions without a service manager: bubblewrap's mounts, no capability, filters.

``CARRIED_OUT`` and ``NOT_CARRIED_OUT`` name every directive that restricts: a new one in the unit
must be put into one of them. Needs root, to be another user and to mount /proc as the unit has it.
"""

import resource
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support import unit_filters
from tests.support.bubblewrap import CODE, folders_above, read_only_root
from tests.support.unit_file import Unit, words

CARRIED_OUT = frozenset({
    "NoNewPrivileges", "CapabilityBoundingSet", "AmbientCapabilities", "ProtectSystem",
    "ProtectHome", "PrivateTmp", "PrivateDevices", "PrivateMounts", "PrivateIPC",
    "ProtectHostname", "ProtectProc", "ProcSubset", "RestrictAddressFamilies",
    "RestrictNamespaces", "RestrictRealtime", "RestrictSUIDSGID", "MemoryDenyWriteExecute",
    "SystemCallErrorNumber", "SystemCallFilter", "UMask", "LimitCORE", "LimitNOFILE", "User",
    "Group", "RuntimeDirectory", "RuntimeDirectoryMode", "LogsDirectory", "LogsDirectoryMode",
})  # fmt: skip
NOT_CARRIED_OUT: Mapping[str, str] = {
    "RuntimeDirectoryPreserve": "is about the next start",
    "DevicePolicy": "a program of the control group (BPF), which systemd loads",
    "IPAddressDeny": "a program of the control group (BPF), which systemd loads",
    "IPAddressAllow": "a program of the control group (BPF), which systemd loads",
    "MemorySwapMax": "a limit of the control group",
    "TasksMax": "a limit of the control group",
    "OOMPolicy": "what systemd does after the kernel has ended a process",
    "RemoveIPC": "what systemd removes when the unit has ended",
    "KeyringMode": "a keyring that systemd makes; the calls to it are refused",
    "ProtectClock": "its calls are refused by SystemCallFilter=, its device by PrivateDevices=",
    "ProtectControlGroups": "/sys/fs/cgroup is read-only by ProtectSystem=strict here",
    "ProtectKernelLogs": "its calls are refused by SystemCallFilter=, its files not there",
    "ProtectKernelModules": "its calls are refused by SystemCallFilter=",
    "ProtectKernelTunables": "/proc/sys is not there by ProcSubset=pid, /sys is read-only",
    "LockPersonality": "one call less; nothing here makes it",
    "SystemCallArchitectures": "libseccomp's filter ends calls of other architectures itself",
}
MISSING = [name for name in ("bwrap", "setpriv", "systemd-analyze", "prlimit")
           if shutil.which(name) is None]  # fmt: skip
"""Programs that are needed and not here: Debian's bubblewrap, util-linux, systemd."""


def sandbox(
    unit: Unit,
    identity: tuple[int, Sequence[int]],
    writable: Mapping[str, Path],
    readable: Mapping[str, Path],
    *,
    unit_path: Path | None,
) -> list[str]:
    """Return the command before a program: ``identity`` is its user and its groups.

    ``writable`` and ``readable`` are folders and files by where the program sees them. With
    ``unit_path`` its filters are loaded too.
    """
    uid, groups = identity
    # A container's root may not raise its own limit; systemd may.
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    nofile = min(int(words(unit, "LimitNOFILE")[-1]), limit)
    options = f"subset={words(unit, 'ProcSubset')[-1]},hidepid={words(unit, 'ProtectProc')[-1]}"
    proc = "/mnt"  # in a mount namespace of its own
    shell = f'mount -t proc -o {options} proc {proc} && exec "$@"'
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", shell, "sh"]
    command += ["prlimit", f"--nofile={nofile}", "--core=0"]
    command += ["bwrap", "--die-with-parent", "--unshare-ipc", "--unshare-uts"]
    # First: the project may be below it.
    command += ["--perms", "1777", "--tmpfs", "/tmp"]  # noqa: S108
    command += folders_above(*CODE, *readable, *writable, "/opt/septem-sidecar/bin")
    command += read_only_root(set(writable) | set(readable))
    command += ["--bind", proc, "/proc", "--dev", "/dev"]
    for at in CODE:
        command += ["--ro-bind", at, at]
    for at, path in readable.items():
        command += ["--ro-bind", str(path), at]
    for at, path in writable.items():
        command += ["--bind", str(path), at]
    command += ["--symlink", str(Path(sys.prefix) / "bin"), "/opt/septem-sidecar/bin"]
    command += ["setpriv", f"--reuid={uid}", f"--regid={groups[0]}"]
    command += [f"--groups={','.join(map(str, groups))}", "--bounding-set=-all", "--inh-caps=-all"]
    if unit_path is not None:
        command += [sys.executable, unit_filters.__file__, str(unit_path)]
    return command
