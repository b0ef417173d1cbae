"""Reads a file that is compressed with zstd, by the command of that name."""

import shutil
import subprocess
from io import RawIOBase
from pathlib import Path
from typing import Any

from sidecar.common.errors import Fault


class ZstdReader(RawIOBase):
    """What the command ``zstd`` makes of a file: Python 3.11 has no reader of its own."""

    def __init__(self, path: Path) -> None:
        command = shutil.which("zstd")
        if path == Path("-") or command is None:
            raise Fault(
                f"{path} is compressed with zstd: "
                + ("decompress it before: zstd -dc FILE | sidecar replay -" if path == Path("-")
                   else "install the command zstd, or decompress it before")
            )  # fmt: skip
        self._process = subprocess.Popen(  # noqa: S603 - zstd, without a shell
            [command, "-dcq", "--", str(path.absolute())],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def readable(self) -> bool:
        """Return true (``io``)."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read some bytes (``io``). Raises ``OSError`` for what is no whole file of zstd's."""
        if self._process.stdout is None:
            return 0
        data = self._process.stdout.read(len(buffer))
        buffer[: len(data)] = data
        if not data and self._process.wait():
            raise OSError(0, "zstd can't decompress it")
        return len(data)

    def close(self) -> None:
        """End the command."""
        if not self.closed:
            self._process.kill()
            if self._process.stdout is not None:
                self._process.stdout.close()
            self._process.wait()
        super().close()
