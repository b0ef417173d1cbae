"""A command whose output is sealed: its archive gets an end only if the command succeeds.

Behind a pipe nobody knows whether the content is whole: a dump that fails half way ends its
output as one that succeeds does.
"""

import subprocess
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from workload.backups.errors import BackupFault

_ENOUGH_SECONDS = 5.0


class CommandOutput:
    """The output of a command as a source of bytes. Raises ``BackupFault``."""

    def __init__(self, command: Sequence[str]) -> None:
        self._name = command[0]
        try:
            self._process = subprocess.Popen(  # noqa: S603 - the operator's own command line
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, bufsize=0
            )
        except OSError as exc:
            raise BackupFault(f"{self._name} can't be started: {exc.strerror}") from None

    def readinto(self, buffer: memoryview, /) -> int:
        """Read output; 0 at its end, if the command has ended with status 0."""
        output = self._process.stdout
        got: int | None = output.readinto(buffer) if output is not None else 0  # type: ignore[attr-defined]
        if got:
            return got
        status = self._process.wait()
        if status:
            how = f"was ended by signal {-status}" if status < 0 else f"failed with status {status}"
            raise BackupFault(f"{self._name} {how}: its output was not sealed")
        return 0

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the command if it runs still."""
        if self._process.stdout is not None:
            self._process.stdout.close()
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_ENOUGH_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
