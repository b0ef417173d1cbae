"""A port is one listener's, is shared for a while, and then the newest has every connection."""

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from sidecar.transport import ports
from sidecar.transport.sockets import ListenFault, open_listeners


@pytest.fixture
def held() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def listen(held: ExitStack, address: str = "127.0.0.1:0", *, joins: bool = False) -> socket.socket:
    (listener,) = open_listeners(address, joins=joins)
    held.enter_context(listener)
    listener.listen(64)
    return listener


def address_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()
    return f"{host}:{port}"


def connect(held: ExitStack, listener: socket.socket, count: int) -> None:
    for _ in range(count):
        held.enter_context(socket.create_connection(listener.getsockname()))


def waiting(listener: socket.socket) -> int:
    """Accept all connections that wait; return how many there were."""
    count = 0
    while True:
        try:
            accepted, _ = listener.accept()
        except BlockingIOError:
            return count
        accepted.close()
        count += 1


@pytest.mark.parametrize("joins", [False, True])
def test_a_port_that_is_not_shared_has_one_listener(held: ExitStack, joins: bool) -> None:
    first = listen(held)
    with pytest.raises(ListenFault, match="in use"):
        listen(held, address_of(first), joins=joins)


def test_nobody_joins_a_shared_port_unasked(held: ExitStack) -> None:
    first = listen(held)
    ports.share_socket(first, shared=True)
    with pytest.raises(ListenFault, match="in use"):
        listen(held, address_of(first))


def test_the_newest_has_every_new_connection_and_the_first_keeps_what_has_reached_it(
    held: ExitStack,
) -> None:
    first = listen(held)
    connect(held, first, 3)
    ports.share_socket(first, shared=True)
    second = listen(held, address_of(first), joins=True)
    ports.take_new_connections([second])
    connect(held, first, 20)
    assert (waiting(first), waiting(second)) == (3, 20)
    first.close()
    connect(held, second, 5)
    assert waiting(second) == 5
    # And once more: what has taken over is taken over.
    ports.share_socket(second, shared=False)
    ports.share_socket(second, shared=True)
    third = listen(held, address_of(second), joins=True)
    ports.take_new_connections([third])
    connect(held, third, 20)
    assert (waiting(second), waiting(third)) == (0, 20)


def test_afterwards_a_stranger_is_refused_again(held: ExitStack) -> None:
    first = listen(held)
    ports.share_socket(first, shared=True)
    second = listen(held, address_of(first), joins=True)
    first.close()
    ports.share_socket(second, shared=False)
    with pytest.raises(ListenFault, match="in use"):
        listen(held, address_of(second))


def test_the_listeners_of_a_process_are_found_and_taken_over_from(held: ExitStack) -> None:
    first = listen(held)
    held.enter_context(socket.socket())  # it does not listen
    held.enter_context(socket.socket(socket.AF_UNIX))
    connect(held, first, 1)
    before = ports.marks()
    inode = {each.getsockname()[1] for each in ports.listening()}
    assert first.getsockname()[1] in inode
    ports.share(shared=True)
    second = listen(held, address_of(first), joins=True)
    assert len(ports.marks()) == len(before) + 1
    ports.take_over(before)
    connect(held, first, 8)
    assert (waiting(first), waiting(second)) == (1, 8)
    ports.share(shared=False, besides=before)
    assert first.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT) == 1
    assert second.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT) == 0
    ports.share(shared=False)
    assert first.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT) == 0


def test_looking_for_listeners_opens_nothing(held: ExitStack, tmp_path: Path) -> None:
    """A name of a socket (O_PATH) is no socket, and its duplicate was left open."""
    listen(held)
    path = tmp_path / "s"
    unix = held.enter_context(socket.socket(socket.AF_UNIX))
    unix.bind(str(path))
    held.callback(os.close, os.open(path, os.O_PATH))
    before = len(list(Path("/proc/self/fd").iterdir()))
    assert len(list(ports.listening())) >= 1
    ports.share(shared=True)
    ports.share(shared=False)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_where_there_is_nothing_to_take_over_nothing_changes(held: ExitStack) -> None:
    alone = listen(held, joins=True)
    ports.take_new_connections([alone])
    connect(held, alone, 4)
    assert waiting(alone) == 4


def test_a_listener_whose_sharing_ended_before_it_listened_takes_nothing_over(
    held: ExitStack,
) -> None:
    """A worker that was killed at the end of an overlapping restart binds, and then is told."""
    (late,) = open_listeners("127.0.0.1:0", joins=True)
    held.enter_context(late)
    ports.share_socket(late, shared=False)
    late.listen(64)
    ports.take_new_connections([late])
    connect(held, late, 4)
    assert waiting(late) == 4


def test_a_unix_socket_is_left_as_it_is(held: ExitStack) -> None:
    unix = held.enter_context(socket.socket(socket.AF_UNIX))
    ports.share_socket(unix, shared=True)
    ports.take_new_connections([unix])
    assert unix.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT) == 0
