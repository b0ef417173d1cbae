"""Files that are none: for libraries that take a private key only by its path.

``ssl.SSLContext.load_cert_chain`` wants paths. A ``memfd`` is a file in anonymous memory: it
has no name in any file system, nobody else's process can open it (``/proc/self/fd`` is only
ours), and it is gone with its descriptor. Sealed, it can't be written to any more. As with all
memory of a process, swap must be off or encrypted.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


@contextmanager
def in_memory(content: bytes) -> Iterator[str]:
    """Yield a path that has this content for the length of the block. Linux only."""
    descriptor = os.memfd_create("septem", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        written = 0
        while written < len(content):
            written += os.write(descriptor, content[written:])
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
