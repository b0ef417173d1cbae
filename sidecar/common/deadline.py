"""An end for a whole exchange over HTTP, whatever the other side does.

A time-out of ``requests`` is one read's: who sends a byte now and then, or one "100 Continue"
after the other, keeps a thread for as long as it likes, a TLS handshake included. So every
exchange is watched: when its time is over its socket is shut down under it, and the read that
waits there ends. (Looking a name up is the system's resolver's, and has the system's time-out.)
"""

import contextlib
import os
import socket
import threading
from types import TracebackType
from typing import Any, Self

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

_local = threading.local()


class Exchange:
    """One exchange of this thread, which ends after ``seconds``.

    ``expired`` tells afterwards whether it was ended: what had been read until then is cut off,
    even where it looks whole.
    """

    def __init__(self, seconds: float) -> None:
        self.expired = False
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._timer = threading.Timer(seconds, self._expire)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        """Begin."""
        _local.exchange = self
        self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End: from now on nothing is shut down."""
        _local.exchange = None
        self._timer.cancel()
        self._hold(None)

    def watch(self, descriptor: int) -> None:
        """Take note of the socket in use; raises ``TimeoutError`` when the time is over.

        It is held by a descriptor of our own: another thread must never meet one that was
        closed and given to somebody else.
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
    """Have the exchange of this thread, where there is one, end with this connection's socket."""
    exchange: Exchange | None = getattr(_local, "exchange", None)
    if exchange is not None and connection.sock is not None:
        exchange.watch(connection.sock.fileno())


class _Watched(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        made = super()._new_conn()
        exchange: Exchange | None = getattr(_local, "exchange", None)
        if exchange is not None:  # before TLS begins
            exchange.watch(made.fileno())
        return made

    def request(self, *arguments: Any, **options: Any) -> None:
        watch(self)  # one that was kept open
        super().request(*arguments, **options)


class _WatchedTls(_Watched, HTTPSConnection):
    pass


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Watched


class _TlsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _WatchedTls


POOLS: dict[str, Any] = {"http": _Pool, "https": _TlsPool}
"""The pools of watched connections, for a ``PoolManager``."""
