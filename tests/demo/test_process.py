"""What the demo's and the tests' programs are started with."""

import socket
from pathlib import Path

import pytest

from demo.process import ManagedProcess, ProcessFault, free_ports, free_run
from tests.support.waiting import wait_until


def test_no_connection_and_nobody_who_binds_port_0_is_given_a_free_port_meanwhile() -> None:
    """Else a program finds the port taken that was free a moment ago."""
    kernels = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
    ports = free_ports(50)
    assert len(set(ports)) == 50
    assert 1024 <= min(ports) <= max(ports) < int(kernels[0])


def test_a_port_that_is_taken_is_not_among_them(monkeypatch: pytest.MonkeyPatch) -> None:
    taken, free = free_ports(2)
    drawn = iter((taken, taken, free))
    monkeypatch.setattr("demo.process._FIRST_PORT", 0)
    monkeypatch.setattr("demo.process.secrets.randbelow", lambda _ports: next(drawn))
    with socket.create_server(("127.0.0.1", taken)):
        assert free_ports(1) == [free]


def test_where_none_can_be_had_it_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    (taken,) = free_ports(1)
    monkeypatch.setattr("demo.process._FIRST_PORT", taken)
    monkeypatch.setattr("demo.process._PORTS", 1)
    with (
        socket.create_server(("127.0.0.1", taken)),
        pytest.raises(ProcessFault, match="in use"),
    ):
        free_ports(1)


def test_ports_in_a_row_are_free() -> None:
    first = free_run(3)
    for port in range(first, first + 3):
        socket.create_server(("127.0.0.1", port)).close()


def test_every_line_is_handed_on_also_those_that_are_not_kept() -> None:
    said: list[str] = []
    with ManagedProcess("seq", ["seq", "1000"], on_line=said.append) as process:
        process.wait(20)
        wait_until(lambda: len(said) == 1000)
    assert said == [str(number) for number in range(1, 1001)]
    assert len(process.lines) < 1000
