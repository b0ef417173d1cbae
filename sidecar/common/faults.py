"""Reports internal errors (bugs): each is counted, each kind is logged once, and work continues.

A queue, a timer, a callback and a poll must outlive every exception of a single call. So they
catch it, pass it to a ``FaultReporter``, and continue with the next. Exceptions that nothing
catches reach the event loop's exception handler, which ``watch_loop`` makes report here too.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, NamedTuple

REPEAT_SECONDS = 60.0
"""A kind of error is logged again after this long, with the number of its occurrences."""
MAX_KINDS = 256
_OURS = "defect"
_Kind = tuple[str, str, int]


class _Logged(NamedTuple):
    """When a kind of error was logged, and how often it occurred since."""

    at: float
    more: int


class FaultReporter:
    """Counts every error with ``count``, and logs each kind of it once in ``REPEAT_SECONDS``.

    Two errors are of one kind when an exception of one class was raised at one line. So an error
    that an attacker can provoke a thousand times a second does not fill the log. ``clock`` is in
    seconds.
    """

    def __init__(
        self, count: Callable[[], None], clock: Callable[[], float], log: logging.Logger
    ) -> None:
        self._count = count
        self._clock = clock
        self._log = log
        self._logged: dict[_Kind, _Logged] = {}

    def __call__(self, exc: BaseException) -> None:
        """Count one error, and log it if it is the first of its kind for a while."""
        self._count()
        kind, now = _kind_of(exc), self._clock()
        logged = self._logged.get(kind)
        if logged is not None and now - logged.at < REPEAT_SECONDS:
            self._logged[kind] = logged._replace(more=logged.more + 1)
            return
        if len(self._logged) >= MAX_KINDS:
            self._logged.clear()
        self._logged[kind] = _Logged(now, 0)
        more = (
            f" ({logged.more} more of this kind before)"
            if logged is not None and logged.more
            else ""
        )
        self._log.error("internal error (a bug in the sidecar)%s", more, exc_info=exc)


def watch_loop(loop: asyncio.AbstractEventLoop, report: Callable[[BaseException], None]) -> None:
    """Report exceptions that reach the loop: of callbacks, and of tasks that nobody awaits.

    System errors of sockets are not bugs (``OSError``: a peer has hung up, no descriptor is
    left), unless they were passed to ``report_to_loop``.
    """

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        exc = context.get("exception")
        is_ours = _OURS in context or not isinstance(exc, OSError)
        if isinstance(exc, Exception) and is_ours:
            report(exc)
        else:
            loop.default_exception_handler(context)

    loop.set_exception_handler(handle)


def report_to_loop(exc: Exception) -> None:
    """Pass an error to the running loop's exception handler, where no closer code counts it."""
    asyncio.get_running_loop().call_exception_handler(
        {"message": "internal error (a bug in the sidecar)", "exception": exc, _OURS: True}
    )


@contextmanager
def reported(on_fault: Callable[[Exception], None]) -> Iterator[None]:
    """End the block at an unexpected exception, which ``on_fault`` gets; go on after the block.

    For the edge of a task, a timer or a callback, off the path of a Check: it makes objects.
    """
    try:
        yield
    except Exception as exc:  # noqa: BLE001 - this is the edge
        on_fault(exc)


def call_each(callbacks: Iterable[Callable[..., object]], *arguments: object) -> None:
    """Call every callback; exceptions go to the event loop and do not stop the others."""
    for callback in tuple(callbacks):
        with reported(report_to_loop):
            callback(*arguments)


def _kind_of(exc: BaseException) -> _Kind:
    """Return the class of an exception, and the file and line that raised it."""
    innermost: TracebackType | None = exc.__traceback__
    while innermost is not None and innermost.tb_next is not None:
        innermost = innermost.tb_next
    if innermost is None:
        return (type(exc).__name__, "", 0)
    return (type(exc).__name__, innermost.tb_frame.f_code.co_filename, innermost.tb_lineno)
