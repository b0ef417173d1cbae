"""Policies that a reload brings are compiled beside the Checks."""

import asyncio
from collections.abc import Callable

from sidecar.runtime.check import compile_policies
from sidecar.runtime.workers.frames import Compiled, Policies
from sidecar.runtime.workers.worker_check import WorkerCheck


class PolicyCompiler:
    """Compiles policies; ``send`` sends a frame, ``on_fault`` gets an unexpected exception."""

    def __init__(
        self, send: Callable[[Compiled], None], on_fault: Callable[[Exception], None]
    ) -> None:
        self._send = send
        self._on_fault = on_fault
        self._compiling = asyncio.Lock()

    async def compile(self, check: WorkerCheck, frame: Policies) -> None:
        """Compile policies in a thread, one after the other, and say that they are."""
        problem = ""
        async with self._compiling:
            try:
                check.take_compiled(frame, await asyncio.to_thread(compile_policies, frame.config))
            except Exception as exc:  # noqa: BLE001 - the main process refuses the reload
                self._on_fault(exc)
                problem = f"the configuration can't be compiled: {type(exc).__name__}"
            self._send(Compiled(frame.number, problem))
