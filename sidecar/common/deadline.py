"""A deadline for a whole HTTP exchange, which the other side can't extend.

A time-out of ``requests`` limits one read: a server that sends a byte now and then, or one "100
Continue" after the other, blocks a thread for as long as it likes, TLS handshake included. So
every exchange is watched: at its deadline its socket is shut down, which ends the blocked read.
The time of a name look-up counts; the look-up itself is the system resolver's, which nobody can
interrupt: when it returns after the deadline, nothing is sent any more.
"""

import contextlib
import os
import socket
import threading
from types import TracebackType
from typing import Any, Self

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from sidecar.common.response_head import BoundedResponse

_local = threading.local()


class Exchange:
    """One exchange of this thread, which ends after ``seconds``.

    ``expired`` is true afterwards if the deadline ended it: the content that was read is then cut
    off, even if it looks complete.
    """

    def __init__(self, seconds: float) -> None:
        self.expired = False
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._timer = threading.Timer(seconds, self._expire)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        """Start the deadline."""
        _local.exchange = self
        self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the deadline."""
        _local.exchange = None
        self._timer.cancel()
        self._hold(None)

    def watch(self, descriptor: int) -> None:
        """Register the socket in use; raise ``TimeoutError`` after the deadline.

        A duplicate of its descriptor is kept: the timer thread must never shut down a descriptor
        that was closed and reused.
        """
        self._hold(socket.socket(fileno=os.dup(descriptor)))
        if self.expired:
            raise TimeoutError("the exchange takes too long")

    def _hold(self, taken: socket.socket | None) -> None:
        with self._lock:
            if self._socket is not None:
                self._socket.close()
            self._socket = taken

    def _expire(self) -> None:
        with self._lock:
            self.expired = True
            if self._socket is not None:
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)


def watch(connection: HTTPConnection) -> None:
    """Register this connection's socket with the exchange of this thread, if there is one."""
    exchange: Exchange | None = getattr(_local, "exchange", None)
    if exchange is not None and connection.sock is not None:
        exchange.watch(connection.sock.fileno())


class _Watched(HTTPConnection):
    response_class = BoundedResponse

    def _new_conn(self) -> socket.socket:
        made = super()._new_conn()
        exchange: Exchange | None = getattr(_local, "exchange", None)
        if exchange is not None:  # before TLS begins
            try:
                exchange.watch(made.fileno())
            except TimeoutError:
                made.close()
                raise
        return made

    def request(self, *arguments: Any, **options: Any) -> None:
        watch(self)  # a kept-alive connection
        super().request(*arguments, **options)


class _WatchedTls(_Watched, HTTPSConnection):
    pass


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Watched


class _TlsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _WatchedTls


POOLS: dict[str, Any] = {"http": _Pool, "https": _TlsPool}
"""The pools of watched connections, for a ``PoolManager``."""
