"""Who waits for a worker's statistics."""

import asyncio


class AwaitedReports:
    """A future for each request whose reply is awaited; callers of one request share it."""

    def __init__(self) -> None:
        self._waiting: dict[int, asyncio.Future[None]] = {}

    def future(self, number: int) -> "asyncio.Future[None]":
        """Return what is done when request ``number`` is answered, or the worker ends."""
        future = self._waiting.get(number)
        if future is None or future.done():
            future = self._waiting[number] = asyncio.get_running_loop().create_future()
        return future

    def answered(self, newest: int) -> None:
        """Wake those that wait for a request up to ``newest``."""
        for asked in [asked for asked in self._waiting if asked <= newest]:
            future = self._waiting.pop(asked)
            if not future.done():
                future.set_result(None)

    def end(self) -> None:
        """Wake all: the worker has ended."""
        for future in self._waiting.values():
            if not future.done():
                future.set_result(None)
