"""Whoever we call may be slow in every way there is: an exchange has an end all the same."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from sidecar.common.http_client import WHOLE_SHARE, make_session
from tests.support.authorities import Ca, pem

READ_SECONDS = 0.4
PAUSE_SECONDS = 0.05
Speak = Callable[[socket.socket], None]


def drip(peer: socket.socket, data: bytes) -> None:
    for number in range(len(data)):
        peer.sendall(data[number : number + 1])
        time.sleep(PAUSE_SECONDS)


def slow_body(peer: socket.socket) -> None:
    peer.recv(65_536)
    peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    drip(peer, b"x" * 100_000)


def slow_body_without_length(peer: socket.socket) -> None:
    """Its end is the connection's: cut off, it looks whole."""
    peer.recv(65_536)
    peer.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
    drip(peer, b"x" * 100_000)


def slow_chunks(peer: socket.socket) -> None:
    peer.recv(65_536)
    peer.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    drip(peer, b"1\r\nx\r\n" * 10_000)


def slow_head(peer: socket.socket) -> None:
    peer.recv(65_536)
    drip(peer, b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 60_000)


def continues_for_ever(peer: socket.socket) -> None:
    peer.recv(65_536)
    while True:
        peer.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        time.sleep(PAUSE_SECONDS)


def slow_handshake(peer: socket.socket) -> None:
    """The beginning of a TLS record of 16 KB."""
    peer.recv(65_536)
    drip(peer, b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc" + b"\x00" * 16_000)


@contextmanager
def serving(
    speak: Speak, address: str | tuple[str, int] = ("127.0.0.1", 0)
) -> Iterator[socket.socket]:
    """A server that speaks with each who comes, until it can't."""
    unix = isinstance(address, str)
    listener = socket.socket(socket.AF_UNIX if unix else socket.AF_INET)
    listener.bind(address)
    listener.listen()

    def run() -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            with peer:
                try:
                    speak(peer)
                except OSError:
                    continue

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield listener
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def continues_at_once(peer: socket.socket) -> None:
    peer.recv(65_536)
    while True:
        peer.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)


def hints_for_ever(peer: socket.socket) -> None:
    """Another interim status than 100, with a header of its own."""
    peer.recv(65_536)
    while True:
        peer.sendall(b"HTTP/1.1 100 Continue\r\nLink: </a>\r\n\r\n" * 100)


def long_headers(peer: socket.socket) -> None:
    """Fewer and shorter than http.client's own bounds."""
    peer.recv(65_536)
    peer.sendall(b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: %s\r\n" % (n, b"x" * 60_000)
                                                   for n in range(90)) + b"\r\n")  # fmt: skip


def endless_header(peer: socket.socket) -> None:
    peer.recv(65_536)
    peer.sendall(b"HTTP/1.1 200 OK\r\nX: ")
    while True:
        peer.sendall(b"x" * 65_536)


LONG: list[tuple[str, Speak]] = [
    ("continues as fast as they come", continues_at_once),
    ("interim responses with headers", hints_for_ever),
    ("long headers", long_headers),
    ("a header without an end", endless_header),
]


@pytest.mark.parametrize("speak", [s[1] for s in LONG], ids=[s[0] for s in LONG])
def test_a_head_without_an_end_is_given_up_at_once(speak: Speak) -> None:
    with serving(speak) as listener, make_session() as session:
        began = time.monotonic()
        with pytest.raises(requests.exceptions.RequestException):
            session.get(f"http://127.0.0.1:{listener.getsockname()[1]}/", timeout=60)
        assert time.monotonic() - began < 30, "long before the deadline of 150 s"


def continue_then_answer(peer: socket.socket) -> None:
    peer.recv(65_536)
    peer.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 3)
    peer.sendall(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 2\r\n\r\nok")


def sends_elsewhere(peer: socket.socket) -> None:
    peer.recv(65_536)
    port = peer.getsockname()[1]
    peer.sendall(f"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{port}/\r\n"
                 "Content-Length: 0\r\n\r\n".encode())  # fmt: skip


def test_a_few_interim_responses_are_fine_and_no_cookie_is_kept() -> None:
    with serving(continue_then_answer) as listener, make_session() as session:
        answer = session.get(f"http://127.0.0.1:{listener.getsockname()[1]}/", timeout=10)
        assert answer.text == "ok"
        assert list(session.cookies) == []


def test_a_redirect_is_not_followed_even_where_a_caller_forgot_to_say_so() -> None:
    with serving(sends_elsewhere) as listener, make_session() as session:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        for allowed in (True, False):
            answer = session.get(url, timeout=10, allow_redirects=allowed)
            assert (answer.status_code, answer.history) == (302, [])


def test_the_time_of_a_name_look_up_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """No resolver can be interrupted; but what it says too late is of no use any more."""
    look_up, connected = socket.getaddrinfo, []

    def slow_look_up(*arguments: Any, **more: Any) -> Any:
        time.sleep(3 * READ_SECONDS)
        return look_up("127.0.0.1", *arguments[1:], **more)

    monkeypatch.setattr(socket, "getaddrinfo", slow_look_up)
    with serving(lambda peer: connected.append(peer.recv(65_536))) as listener:
        url = f"http://resolver.internal:{listener.getsockname()[1]}/"
        with make_session() as session, pytest.raises(requests.exceptions.RequestException):
            session.get(url, timeout=READ_SECONDS)
    assert not any(connected), "nothing was sent"


SLOW: list[tuple[str, Speak]] = [
    ("a body", slow_body),
    ("a body without a length", slow_body_without_length),
    ("chunks", slow_chunks),
    ("a head", slow_head),
    ("continues", continues_for_ever),
]


@pytest.mark.parametrize("speak", [s[1] for s in SLOW], ids=[s[0] for s in SLOW])
def test_an_exchange_ends_however_its_bytes_come(speak: Speak) -> None:
    """Each read is in time; the whole would take from minutes to for ever."""
    session = make_session()
    with serving(speak) as server:
        began = time.monotonic()
        with pytest.raises(requests.exceptions.Timeout, match="too long in total"):
            session.get(f"http://127.0.0.1:{server.getsockname()[1]}/", timeout=READ_SECONDS)
        assert time.monotonic() - began >= READ_SECONDS * WHOLE_SHARE * 0.9
    session.close()


def test_a_handshake_ends() -> None:
    session = make_session()
    with serving(slow_handshake) as server, pytest.raises(requests.exceptions.RequestException):
        session.get(f"https://127.0.0.1:{server.getsockname()[1]}/", timeout=READ_SECONDS)
    session.close()


def test_over_tls_too(tmp_path: Path) -> None:
    ca = Ca("outbound")
    material = ca.material(dns_names=("localhost",))
    (tmp_path / "ca.pem").write_text(pem(ca.certificate))
    (tmp_path / "server.pem").write_bytes(material.key_pem + material.chain_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")

    def speak(peer: socket.socket) -> None:
        with context.wrap_socket(peer, server_side=True) as wrapped:
            slow_body(wrapped)

    session = make_session(ca_file=str(tmp_path / "ca.pem"))
    with serving(speak) as server:
        url = f"https://localhost:{server.getsockname()[1]}/"
        with pytest.raises(requests.exceptions.Timeout, match="too long in total"):
            session.get(url, timeout=READ_SECONDS)
    session.close()


def test_over_a_unix_socket_too(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    session = make_session(unix_socket=path)
    with serving(slow_body, path), pytest.raises(requests.exceptions.Timeout):
        session.get("http://localhost/", timeout=READ_SECONDS)
    session.close()


def answers(peer: socket.socket) -> None:
    while peer.recv(65_536):
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


def then_slow() -> Speak:
    """An answer at once, then on the same connection a slow one."""

    def speak(peer: socket.socket) -> None:
        peer.recv(65_536)
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        slow_body(peer)

    return speak


def test_a_connection_that_was_kept_open_is_watched_too() -> None:
    session = make_session()
    with serving(then_slow()) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        assert session.get(url, timeout=READ_SECONDS).content == b"ok"
        with pytest.raises(requests.exceptions.Timeout):
            session.get(url, timeout=READ_SECONDS)
    session.close()


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_a_thousand_exchanges_leave_no_thread_and_no_descriptor() -> None:
    session = make_session()
    with serving(answers) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        session.get(url, timeout=5)
        threads, files = threading.active_count(), open_descriptors()
        for _ in range(1000):
            assert session.get(url, timeout=5).content == b"ok"
        deadline = time.monotonic() + 5
        while threading.active_count() > threads and time.monotonic() < deadline:
            time.sleep(0.01)
        assert threading.active_count() <= threads
        assert open_descriptors() <= files
    session.close()


def test_what_fails_in_time_fails_as_it_did() -> None:
    session = make_session()
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}/"
        with pytest.raises(requests.exceptions.ConnectionError):
            session.get(url, timeout=5)
    with serving(lambda peer: peer.close()) as server:
        url = f"https://127.0.0.1:{server.getsockname()[1]}/"
        with pytest.raises((requests.exceptions.ConnectionError, ssl.SSLError)):
            session.get(url, timeout=5)
    session.close()
