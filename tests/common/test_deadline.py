"""An exchange ends at its deadline: its socket is shut down, and that of nobody else."""

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.common.deadline import Exchange, watch
from sidecar.common.unix_http import UnixConnection
from tests.support.waiting import wait_until

LONG, SHORT = 60.0, 0.05


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair()
    one.settimeout(10)
    with one, other:
        yield one, other


Pair = tuple[socket.socket, socket.socket]


def test_a_read_that_is_blocked_ends(pair: Pair) -> None:
    with Exchange(SHORT) as exchange:
        exchange.watch(pair[0].fileno())
        began = time.monotonic()
        assert pair[0].recv(1) == b""
        assert time.monotonic() - began < 5
        assert exchange.expired


def test_what_is_in_time_is_left_alone(pair: Pair) -> None:
    with Exchange(LONG) as exchange:
        exchange.watch(pair[0].fileno())
    assert not exchange.expired
    exchange._timer.join(10)
    assert not exchange._timer.is_alive()  # no thread waits for a deadline that is over
    pair[1].sendall(b"x")
    assert pair[0].recv(1) == b"x"


def test_after_its_end_nothing_is_shut_down(pair: Pair) -> None:
    with Exchange(SHORT) as exchange:
        exchange.watch(pair[0].fileno())
    exchange._timer.join()
    pair[1].sendall(b"x")
    assert pair[0].recv(1) == b"x"


def test_only_the_last_socket_is_shut_down(pair: Pair) -> None:
    """A redirect or a retry opens another connection: the first one is back in its pool."""
    last, peer = socket.socketpair()
    last.settimeout(10)
    with last, peer, Exchange(SHORT) as exchange:
        exchange.watch(pair[0].fileno())
        exchange.watch(last.fileno())
        assert last.recv(1) == b""
        pair[1].sendall(b"x")
        assert pair[0].recv(1) == b"x"


def test_a_descriptor_that_another_has_taken_over_is_not_shut_down(pair: Pair) -> None:
    closed, far = socket.socketpair()
    with far, Exchange(SHORT) as exchange:
        exchange.watch(closed.fileno())
        number = closed.detach()
        os.dup2(pair[0].fileno(), number)  # closes it, and gives its number to another
        wait_until(lambda: exchange.expired)
        pair[1].sendall(b"x")
        with socket.socket(fileno=number) as taken:
            taken.settimeout(10)
            assert taken.recv(1) == b"x"


def test_a_socket_that_comes_after_the_deadline_is_refused(pair: Pair) -> None:
    with Exchange(SHORT) as exchange:
        wait_until(lambda: exchange.expired)
        with pytest.raises(TimeoutError, match="the exchange takes too long"):
            exchange.watch(pair[0].fileno())


def test_no_descriptor_stays_open(pair: Pair) -> None:
    def opened() -> int:
        return sum(1 for _ in Path("/proc/self/fd").iterdir())

    before = opened()
    for _ in range(20):
        with Exchange(LONG) as exchange:
            exchange.watch(pair[0].fileno())
            exchange.watch(pair[0].fileno())
    assert opened() == before


def test_a_connection_is_watched_by_its_threads_exchange_alone(pair: Pair) -> None:
    connection = UnixConnection("localhost")
    watch(connection)  # type: ignore[arg-type] # no exchange, no socket: nothing to do
    connection.sock = pair[0]
    watch(connection)  # type: ignore[arg-type] # no exchange
    with Exchange(LONG) as exchange:
        watch(connection)  # type: ignore[arg-type]
        assert exchange._socket is not None
        assert os.path.samestat(os.fstat(exchange._socket.fileno()), os.fstat(pair[0].fileno()))
    watch(connection)  # type: ignore[arg-type] # over
    assert exchange._socket is None
