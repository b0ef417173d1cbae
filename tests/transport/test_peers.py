"""Who a peer is, which peers are allowed, and who descends from this process."""

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from sidecar.transport import peers
from sidecar.transport.peers import (
    Peer,
    PeerRule,
    describe_peer,
    make_rule,
    may_descend_from,
    read_peer,
)

RULES = [
    ("our user", make_rule((), ()), Peer(1, os.geteuid(), frozenset({7})), True),
    ("our group", make_rule((), ()), Peer(1, 4_000_000, frozenset({7, os.getegid()})), True),
    ("neither", make_rule((), ()), Peer(1, 4_000_000, frozenset({4_000_000})), False),
    ("a named user", make_rule((101,), ()), Peer(1, 101, frozenset()), True),
    ("a member of a named group", make_rule((), (102,)), Peer(1, 5, frozenset({5, 102})), True),
    ("we ourselves, not named", make_rule((101,), ()), Peer(1, os.geteuid(), frozenset()), False),
    ("root, not named", make_rule((101,), (102,)), Peer(1, 0, frozenset({0})), False),
]


@pytest.mark.parametrize(
    ("rule", "peer", "allowed"), [r[1:] for r in RULES], ids=[r[0] for r in RULES]
)
def test_rules(rule: PeerRule, peer: Peer, allowed: bool) -> None:
    assert rule.allows(peer) is allowed


def test_a_peer_is_who_the_kernel_says() -> None:
    one, other = socket.socketpair()
    with one, other:
        peer = read_peer(one)
    assert (peer.pid, peer.uid) == (os.getpid(), os.geteuid())
    assert peer.groups == {os.getegid(), *os.getgroups()}


def test_what_is_no_unix_socket_has_no_peer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        peer = read_peer(listener)
    assert not make_rule((), ()).allows(peer)


async def test_what_left_its_connection_to_another_and_ended_counts_as_a_child() -> None:
    """Its PID tells nothing any more: who can't be known is not let in."""
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", "pass")
    await child.wait()
    assert may_descend_from(child.pid, os.getpid())


PARENTS = [
    ("of another PID namespace", 0, False),
    ("the first process", 1, False),
    ("we ourselves", os.getpid(), False),
    ("our parent", os.getppid(), False),
]


@pytest.mark.parametrize(("pid", "is_child"), [r[1:] for r in PARENTS], ids=[r[0] for r in PARENTS])
def test_processes_that_are_no_children(pid: int, is_child: bool) -> None:
    assert may_descend_from(pid, os.getpid()) is is_child


def test_a_line_of_ancestors_without_an_end_counts_as_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not may_descend_from(os.getpid(), ancestor=-1)
    monkeypatch.setattr(peers, "_MAX_GENERATIONS", 1)
    assert may_descend_from(os.getpid(), ancestor=-1)


def test_another_users_process_whose_parents_are_hidden_is_none_of_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """/proc with hidepid; root is never refused a signal, so that is played here."""
    monkeypatch.setattr(peers, "_parent_of", lambda _pid: None)
    assert may_descend_from(os.getpid(), os.getpid()), "one of our user, and nothing can be told"

    def refuse(_pid: int, _number: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuse)
    assert not may_descend_from(os.getpid(), os.getpid())


ORPHAN = """
import os, subprocess, sys
from sidecar.runtime.hardening.process import adopt_orphans
from sidecar.transport.peers import may_descend_from
if sys.argv[1:]:
    assert not adopt_orphans().missing
grandchild = "import os; print(os.getpid(), flush=True); os.read(0, 1)"
child = (
    "import subprocess, sys;"
    f"p = subprocess.Popen([sys.executable, '-c', {grandchild!r}], stdout=subprocess.PIPE);"
    "print(p.stdout.readline().decode(), end='', flush=True)"
)
held, let_go = os.pipe()
done = subprocess.run([sys.executable, "-c", child], stdin=held, stdout=subprocess.PIPE, check=True)
print(may_descend_from(int(done.stdout), os.getpid()))
os.write(let_go, b"x")
"""


@pytest.mark.parametrize("adopting", [True, False])
def test_one_that_lost_its_parent_is_still_ours(adopting: bool) -> None:
    command = [sys.executable, "-c", ORPHAN, *(["adopt"] if adopting else [])]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=True,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.stdout.strip() == str(adopting)


def test_a_log_says_who_has_connected() -> None:
    one, other = socket.socketpair()
    with one, other:
        assert describe_peer(one) == f"user {os.geteuid()}, process {os.getpid()}"
    families = [(socket.AF_INET, "127.0.0.1", "127.0.0.1"), (socket.AF_INET6, "::1", "[::1]")]
    for family, host, shown in families:
        with socket.create_server((host, 0), family=family) as listener:
            there = socket.create_connection(listener.getsockname()[:2])
            with there, listener.accept()[0] as here:
                assert describe_peer(here) == f"{shown}:{there.getsockname()[1]}"
        assert describe_peer(here) == "unknown", "it is closed"
    assert describe_peer(None) == "unknown"
