"""Defects of ours: each is counted, each kind is logged once, and whatever met it goes on.

A queue, a timer, a callback and a poll must outlive every exception of a single call. So they
catch what comes, hand it to a ``FaultReporter``, and take the next. What slips through all of
them ends at the event loop's exception handler, which ``watch_loop`` makes report here too.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, NamedTuple

REPEAT_SECONDS = 60.0
"""A kind of defect is logged again after this long, with how often it came meanwhile."""
MAX_KINDS = 256
_OURS = "defect"
_Kind = tuple[str, str, int]


class _Said(NamedTuple):
    """When a kind of defect was logged, and how many of it have come since."""

    at: float
    more: int


class FaultReporter:
    """Counts every defect with ``count``, and logs each kind of it once in ``REPEAT_SECONDS``.

    Two defects are of one kind when an exception of one class was raised at one line. So what a
    stranger can provoke a thousand times a second fills no log. ``clock`` is in seconds.
    """

    def __init__(
        self, count: Callable[[], None], clock: Callable[[], float], log: logging.Logger
    ) -> None:
        self._count = count
        self._clock = clock
        self._log = log
        self._said: dict[_Kind, _Said] = {}

    def __call__(self, exc: BaseException) -> None:
        """Count one defect, and log it if it is the first of its kind for a while."""
        self._count()
        kind, now = _kind_of(exc), self._clock()
        said = self._said.get(kind)
        if said is not None and now - said.at < REPEAT_SECONDS:
            self._said[kind] = said._replace(more=said.more + 1)
            return
        if len(self._said) >= MAX_KINDS:
            self._said.clear()
        self._said[kind] = _Said(now, 0)
        more = f" ({said.more} more of this kind before)" if said is not None and said.more else ""
        self._log.error("a defect of ours%s", more, exc_info=exc)


def watch_loop(loop: asyncio.AbstractEventLoop, report: Callable[[BaseException], None]) -> None:
    """Report what ends at the loop: exceptions of callbacks, and of tasks that nobody awaits.

    What the system says of a socket is no defect (``OSError``: a peer has hung up, there is no
    descriptor left), unless ``report_to_loop`` was given it.
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
    """Hand a defect to the running loop's exception handler, where nobody nearer counts it."""
    asyncio.get_running_loop().call_exception_handler(
        {"message": "a defect of ours", "exception": exc, _OURS: True}
    )


def tell_each(callbacks: Iterable[Callable[..., object]], *arguments: object) -> None:
    """Call each of them, whatever another one raises; what they raise goes to the loop."""
    for callback in tuple(callbacks):
        try:
            callback(*arguments)
        except Exception as exc:  # noqa: BLE001 - one listener's defect is not the others'
            report_to_loop(exc)


def _kind_of(exc: BaseException) -> _Kind:
    """Return the class of an exception, and the file and line that raised it."""
    innermost: TracebackType | None = exc.__traceback__
    while innermost is not None and innermost.tb_next is not None:
        innermost = innermost.tb_next
    if innermost is None:
        return (type(exc).__name__, "", 0)
    return (type(exc).__name__, innermost.tb_frame.f_code.co_filename, innermost.tb_lineno)
