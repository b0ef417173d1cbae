"""What may go on, and what ends: server-sent events, downloads, uploads, websockets."""

import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Thread

import pytest

from demo.envoyproxy import shipped_config
from tests.streams.application import Script
from tests.streams.edge import (
    BEGIN_SECONDS,
    IDLE_SECONDS,
    STREAM_SECONDS,
    UPGRADE,
    UPGRADE_SECONDS,
    Reply,
    StreamsEdge,
    manager_of,
    read_reply,
    routes_of,
    running_edge,
    scale,
)

pytestmark = pytest.mark.real
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
EVENT = b"data: tick\n\n"
LATE_SECONDS = 3.0
"""Envoy waits a second (delayed_close_timeout) before it closes a connection that it has cut, and
a busy machine is late."""
Replies = dict[str, Reply]
Client = Callable[[StreamsEdge], Reply]
hung: list[bytes] = []


def events(head: bytes, seconds: float, pause: float = 0.1) -> Script:
    """Send an event now and then, for so long."""

    def script(connection: socket.socket, _: bytes) -> None:
        connection.sendall(head)
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            connection.sendall(EVENT)
            time.sleep(pause)
        connection.sendall(b"data: end\n\n")

    return script


def hang(connection: socket.socket, head: bytes) -> None:
    """Take the request, and wait until the other side gives up."""
    hung.append(head)
    while connection.recv(65_536):
        pass


def silent(connection: socket.socket, _: bytes) -> None:
    connection.sendall(HEAD + EVENT)
    connection.recv(1)


def swallow(connection: socket.socket, head: bytes) -> None:
    """Read a whole chunked body, and say how long it was."""
    body = head.partition(b"\r\n\r\n")[2]
    while b"\r\n0\r\n\r\n" not in body:
        body += connection.recv(65_536)
    size = str(body.count(b"x")).encode()
    connection.sendall(
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%s" % (len(size), size)
    )


def echo(connection: socket.socket, _: bytes) -> None:
    connection.sendall(SWITCH)
    with suppress(OSError):
        while data := connection.recv(65_536):
            connection.sendall(data)


ENDLESS = 30.0
SCRIPTS: dict[str, Script] = {
    "/open/events": events(HEAD, 2.0 * BEGIN_SECONDS + 0.5),
    "/open/endless": events(HEAD, ENDLESS),
    "/open/hang": hang,
    "/open/hang-upgrade": hang,
    "/open/silent": silent,
    "/open/upload": swallow,
    "/open/socket": events(SWITCH, ENDLESS),
    "/open/echo": echo,
    "/ending/events": events(HEAD, ENDLESS),
    "/ending/socket": events(SWITCH, ENDLESS),
    "/ending/hang": hang,
    "/maybe/events": events(HEAD, ENDLESS),
}


def upload(edge: StreamsEdge) -> Reply:
    """Send a body for longer than a response may take to begin."""
    started = time.monotonic()
    head = (("transfer-encoding", "chunked"), ("connection", "close"))
    with edge.open("/open/upload", *head, method="POST") as connection:
        for _ in range(15):
            connection.sendall(b"3\r\nxxx\r\n")
            time.sleep(0.1)
        connection.sendall(b"0\r\n\r\n")
        return read_reply(connection, started)


def endless_upload(edge: StreamsEdge) -> Reply:
    started = time.monotonic()
    with edge.open("/open/upload", ("transfer-encoding", "chunked"), method="POST") as connection:

        def dribble() -> None:
            with suppress(OSError):
                while time.monotonic() < started + ENDLESS:
                    connection.sendall(b"1\r\nx\r\n")
                    time.sleep(0.1)

        Thread(target=dribble, daemon=True).start()
        return read_reply(connection, started, lambda got: b"}" in got)


def fed_websocket(edge: StreamsEdge) -> Reply:
    """Send on a websocket, and wait for the echo, until there is none."""
    started = time.monotonic()
    received = b""
    with edge.open("/open/echo", *UPGRADE) as connection, suppress(OSError):
        while time.monotonic() < started + ENDLESS and (more := connection.recv(65_536)):
            received += more
            connection.sendall(EVENT)
            time.sleep(0.05)
    return Reply(int(received[9:12]), [], received, time.monotonic() - started)


def second_stream(edge: StreamsEdge) -> Reply:
    """Open a stream with a token that was seen a second ago: it is remembered by then."""
    token = edge.bearer(TOKEN_SECONDS + 1)
    edge.fetch("/ending/events", token, enough=lambda got: EVENT in got)
    time.sleep(1)
    return edge.fetch("/ending/events", token)


def fetch(path: str, *headers: tuple[str, str], token_seconds: float = 0) -> Client:
    """Return a client that sends one request."""

    def run(edge: StreamsEdge) -> Reply:
        token = (edge.bearer(token_seconds),) if token_seconds else ()
        return edge.fetch(path, *token, *headers)

    return run


TOKEN_SECONDS = 1.0
NOT_A_LONGER_TIME = ("99999999H", "9S", "1S,9S", "9", "-1S", "9x", "999999999S", "")
CLIENTS: dict[str, Client] = {
    "events": fetch("/open/events"),
    "endless events": fetch("/open/endless"),
    "silent events": fetch("/open/silent"),
    "hanging": fetch("/open/hang"),
    "hanging upgrade": fetch("/open/hang-upgrade", *UPGRADE),
    "slow upload": upload,
    "endless upload": endless_upload,
    "websocket": fetch("/open/socket", *UPGRADE),
    "fed websocket": fed_websocket,
    "token: events": fetch("/ending/events", token_seconds=TOKEN_SECONDS),
    "token: websocket": fetch("/ending/socket", *UPGRADE, token_seconds=TOKEN_SECONDS),
    "token: optional": fetch("/maybe/events", token_seconds=TOKEN_SECONDS),
    "token: second stream": second_stream,
    "token: hanging": fetch("/ending/hang", token_seconds=0.6),
    "token: long": fetch("/ending/socket", *UPGRADE, token_seconds=600),
    "asks for less": fetch("/ending/events", ("grpc-timeout", "1000m"), token_seconds=600),
    "asks for more": fetch("/open/socket", *UPGRADE, ("grpc-timeout", "99999999H")),
    "asks for nothing": fetch("/open/socket", *UPGRADE, ("grpc-timeout", "0S")),
    **{
        f"asks for {asked!r}": fetch(
            "/ending/events", ("grpc-timeout", asked), token_seconds=TOKEN_SECONDS
        )
        for asked in NOT_A_LONGER_TIME
    },
}


@pytest.fixture(scope="module")
def replies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Reply]]:
    """Have all clients go at once: each spends its time with waiting."""
    hung.clear()
    with (
        running_edge(tmp_path_factory.mktemp("edge"), SCRIPTS, scale) as edge,
        ThreadPoolExecutor(len(CLIENTS)) as pool,
    ):
        running = {name: pool.submit(client, edge) for name, client in CLIENTS.items()}
        yield {name: each.result(60) for name, each in running.items()}


def test_the_numbers_stand_for_those_of_the_file() -> None:
    """If a bound is added or changed in edge.yaml, it must be scaled here."""
    manager = manager_of(shipped_config())
    assert (manager["stream_idle_timeout"], manager["request_timeout"]) == ("300s", "300s")
    scaled = manager_of(config := shipped_config())
    scale(config)
    (host,), (as_shipped,) = (each["route_config"]["virtual_hosts"] for each in (scaled, manager))
    upgrade, *others = (each["route"] for each in routes_of(host))
    bounds = {"max_stream_duration": "900s", "grpc_timeout_header_max": "900s"}
    assert routes_of(as_shipped)[0]["route"]["max_stream_duration"] == bounds
    assert upgrade["max_stream_duration"]["max_stream_duration"] == f"{UPGRADE_SECONDS}s"
    for route in (upgrade, *others):
        if route["cluster"] == "application":
            assert route["timeout"] == "0s"
            assert route["retry_policy"] == {"per_try_timeout": f"{BEGIN_SECONDS}s"}
            assert set(route["max_stream_duration"]) == set(bounds)


def at_the_end(reply: Reply, seconds: float) -> bool:
    """Tell whether a stream with events in it ended at this time."""
    assert reply.body.count(EVENT) > 3
    assert b"data: end" not in reply.body
    return 0.4 * seconds < reply.seconds < seconds + LATE_SECONDS


def test_events_go_on_for_longer_than_a_response_may_take_to_begin(replies: Replies) -> None:
    reply = replies["events"]
    assert reply.status == 200
    assert reply.seconds > 2 * BEGIN_SECONDS
    assert b"data: end" in reply.body


def test_a_stream_that_is_silent_is_ended(replies: Replies) -> None:
    reply = replies["silent events"]
    assert EVENT in reply.body
    assert 0.8 * IDLE_SECONDS < reply.seconds < IDLE_SECONDS + LATE_SECONDS


@pytest.mark.parametrize("name", ["hanging", "hanging upgrade"])
def test_an_application_that_hangs_is_given_up_and_asked_once(replies: Replies, name: str) -> None:
    reply = replies[name]
    assert (reply.status, reply.document()["status"]) == (504, 504)
    assert reply.seconds > 0.8 * BEGIN_SECONDS
    path = b"/open/hang-upgrade" if "upgrade" in name else b"/open/hang"
    assert [head.split(b" ")[1] for head in hung].count(path) == 1


def test_a_slow_upload_arrives(replies: Replies) -> None:
    """The time for the response to begin starts when the request has ended."""
    reply = replies["slow upload"]
    assert (reply.status, reply.body) == (200, b"45")
    assert reply.seconds > 1.4 * BEGIN_SECONDS


def test_an_upload_that_never_ends_is_cut_off(replies: Replies) -> None:
    """``request_timeout``: it is never idle."""
    reply = replies["endless upload"]
    assert (reply.status, reply.document()["status"]) == (408, 408)
    assert reply.seconds < IDLE_SECONDS + LATE_SECONDS


@pytest.mark.parametrize("name", ["websocket", "fed websocket", "asks for more", "token: long"])
def test_a_busy_websocket_ends_after_the_longest_life_of_a_token(
    replies: Replies, name: str
) -> None:
    reply = replies[name]
    assert reply.status == 101
    assert at_the_end(reply, UPGRADE_SECONDS)


def test_no_stream_is_for_ever(replies: Replies) -> None:
    assert at_the_end(replies["endless events"], STREAM_SECONDS)


@pytest.mark.parametrize(
    "name",
    [
        "token: events",
        "token: websocket",
        "token: optional",
        *(f"asks for {asked!r}" for asked in NOT_A_LONGER_TIME),
    ],
)
def test_a_stream_ends_with_its_token(replies: Replies, name: str) -> None:
    assert at_the_end(replies[name], TOKEN_SECONDS)


def test_the_second_stream_of_a_token_ends_with_it_as_well(replies: Replies) -> None:
    """The token is remembered by then; how much of its life is left is not."""
    assert at_the_end(replies["token: second stream"], TOKEN_SECONDS)


def test_the_end_of_a_token_comes_before_an_answer_that_does_not(replies: Replies) -> None:
    reply = replies["token: hanging"]
    assert (reply.status, reply.document()["status"]) == (504, 504)


def test_a_client_can_ask_for_less(replies: Replies) -> None:
    assert at_the_end(replies["asks for less"], 1.0)


def test_a_client_that_gives_no_time_gets_none(replies: Replies) -> None:
    assert replies["asks for nothing"].status == 408
