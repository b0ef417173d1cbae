"""Checks the peers of a TCP listener by mutual TLS, in front of a server that does not.

grpcio's TLS knows neither CRLs nor SPIFFE IDs, and would keep a connection whose peer was revoked;
the small HTTP server knows no TLS. Here the handshake is made by ``ssl``, the peer is checked, and
only then are its bytes forwarded to the server, which listens on a socket in a folder that only
this user may enter and whose name is removed. Each connection is judged again by the rules of the
handshake when the trust changes, and every ``JUDGE_SECONDS``: a peer that would not be let in now
is cut off.

Strangers can connect, so what they hold is bounded: a handshake has ``HANDSHAKE_SECONDS``, and of
too many at once the oldest of the busiest address is given up. They take no place of a peer that
has been checked.
"""

import asyncio
import contextlib
import socket
import ssl
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from sidecar.common.errors import Fault
from sidecar.common.faults import report_to_loop
from sidecar.transport.inner_server import InnerServer
from sidecar.transport.pipe import SocketPipe
from sidecar.transport.ports import JOINS
from sidecar.transport.sockets import ListenFault, accept, open_listeners

HANDSHAKE_SECONDS = 10.0
JUDGE_SECONDS = 5.0
_MOST_HANDSHAKES = 64
_BACKLOG = 128


class TlsPeer(NamedTuple):
    """Who made a connection: the name by which it was admitted, and its chain (PEM, leaf first)."""

    name: str
    chain: Sequence[bytes]


class PeerCheck(Protocol):
    """Says who may connect; ``sidecar.transport.remote_peers`` implements it."""

    @property
    def context(self) -> ssl.SSLContext:
        """The context of handshakes: one that fails admits nobody."""

    def peer_of(self, connection: ssl.SSLObject) -> TlsPeer:
        """Return whom a handshake has admitted."""

    def refusal(self, peer: TlsPeer) -> str:
        """Return why a peer would not be admitted now; empty if it would."""


class _Connection(NamedTuple):
    pipe: SocketPipe
    peer: TlsPeer
    host: str


class TlsGuard:
    """Listens on ``host:port``, and forwards the connections of peers that are admitted.

    ``on_refused`` and ``on_cut_off`` get the peer (an address, or a name) and the reason;
    ``setting`` is the listener's name in the configuration, for messages.
    """

    def __init__(
        self,
        address: str,
        peers: PeerCheck,
        on_refused: Callable[[str, str], None],
        on_cut_off: Callable[[str, str], None],
        max_connections: int,
        *,
        setting: str,
    ) -> None:
        self._setting = setting
        self._address = address
        self._peers = peers
        self._on_refused = on_refused
        self._on_cut_off = on_cut_off
        self._max_handshakes = max(1, min(_MOST_HANDSHAKES, max_connections // 4))
        self._max_peers = max_connections - self._max_handshakes
        self._inner = InnerServer(address)
        self._accepting: dict[asyncio.Task[None], socket.socket] = {}
        self._handshakes: dict[asyncio.Task[None], str] = {}
        """Of each the address, in the order of their beginning."""
        self._connections: dict[SocketPipe, _Connection] = {}
        self._trust_changed = asyncio.Event()
        self.bound_address = address

    @property
    def inner_address(self) -> str:
        """The address on which the inner server must listen, as grpcio writes it."""
        return self._inner.address

    def prepare(self) -> None:
        """Make the folder of the inner server's socket. Raises ``ListenFault``."""
        try:
            self._inner.folder = Path(tempfile.mkdtemp(prefix="septem-tls-"))
            # The umask for sockets takes the right to enter from it, which root does not need.
            self._inner.folder.chmod(0o700)
        except OSError as exc:
            raise ListenFault(
                f"{self._setting} needs a temporary directory for a socket, and none can be made: "
                f"{exc.strerror}; set TMPDIR to a directory that may be written"
            ) from exc

    def start(self) -> None:
        """Start listening, after the inner server. Raises ``ListenFault``."""
        self._inner.take()
        for listener in open_listeners(self._address, joins=JOINS.get()):
            listener.listen(_BACKLOG)
            port = listener.getsockname()[1]
            self.bound_address = f"{self._address.rpartition(':')[0]}:{port}"
            task = asyncio.create_task(self._accept(listener))
            self._accepting[task] = listener

    async def stop(self) -> None:
        """Accept no new connections; existing ones remain until the inner server ends them."""
        tasks = (*self._accepting, *self._handshakes)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for listener in self._accepting.values():
            listener.close()
        self._accepting.clear()

    def close(self) -> None:
        """Close all connections, and remove the folder, after the inner server has stopped."""
        for pipe in tuple(self._connections):
            pipe.end()
        self._inner.release()
        self._inner.remove_folder()

    def trust_changed(self) -> None:
        """Have every connection judged again now."""
        self._trust_changed.set()

    async def judge(self) -> None:
        """Judge the connections when the trust changes and every ``JUDGE_SECONDS``, for ever."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(JUDGE_SECONDS):
                    await self._trust_changed.wait()
            self._trust_changed.clear()
            for connection in tuple(self._connections.values()):
                if reason := self._peers.refusal(connection.peer):
                    connection.pipe.abort()
                    self._on_cut_off(f"{connection.peer.name} at {connection.host}", reason)
                await asyncio.sleep(0)  # a verification takes a fraction of a millisecond

    async def _accept(self, listener: socket.socket) -> None:
        while True:
            connection, where = await accept(listener)
            if len(self._handshakes) >= self._max_handshakes:
                self._give_up_one()
            task = asyncio.create_task(self._take(connection, str(where[0])))
            self._handshakes[task] = str(where[0])
            task.add_done_callback(self._handshake_over)

    def _give_up_one(self) -> None:
        """End the oldest handshake of the address that has most of them."""
        busiest = Counter(self._handshakes.values()).most_common(1)[0][0]
        oldest = next(task for task, host in self._handshakes.items() if host == busiest)
        del self._handshakes[oldest]
        oldest.cancel()

    def _handshake_over(self, task: asyncio.Task[None]) -> None:
        self._handshakes.pop(task, None)
        if not task.cancelled() and isinstance(exc := task.exception(), Exception):
            report_to_loop(exc)

    async def _take(self, connection: socket.socket, host: str) -> None:
        """Make the handshake, check the peer, and connect it with the inner server."""
        pipe = SocketPipe(self._forget)
        try:
            peer = await self._handshake(pipe, connection)
            refusal = self._peers.refusal(peer)
            if not refusal and len(self._connections) >= self._max_peers:
                refusal = f"there are {self._max_peers} connections already"
            if refusal:
                self._on_refused(host, refusal)
                pipe.abort()
                return
            self._connections[pipe] = _Connection(pipe, peer, host)
            await self._connect(pipe)
        except (OSError, Fault) as exc:  # ssl.SSLError and TimeoutError are OSErrors
            self._on_refused(host, str(exc) or type(exc).__name__)
            pipe.abort()
        except BaseException:
            pipe.abort()
            raise
        finally:
            if pipe.sides[0].is_gone:
                connection.close()

    async def _handshake(self, pipe: SocketPipe, connection: socket.socket) -> TlsPeer:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_accepted_socket(
            lambda: pipe.sides[0],
            connection,
            ssl=self._peers.context,
            ssl_handshake_timeout=HANDSHAKE_SECONDS,
        )
        return self._peers.peer_of(transport.get_extra_info("ssl_object"))

    async def _connect(self, pipe: SocketPipe) -> None:
        loop = asyncio.get_running_loop()
        inner = await self._inner.connect()
        try:
            await loop.connect_accepted_socket(lambda: pipe.sides[1], inner)
        except BaseException:
            inner.close()
            raise

    def _forget(self, pipe: SocketPipe) -> None:
        self._connections.pop(pipe, None)
