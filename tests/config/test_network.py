"""What is on this machine, and what crosses a network unencrypted."""

import ipaddress

import pytest

from sidecar.config.network import (
    host_and_port,
    in_the_clear,
    is_every_host,
    is_loopback,
    reachable,
    share_a_port,
)


@pytest.mark.parametrize(
    ("address", "here"),
    [
        ("127.0.0.1:9100", True),
        ("127.255.255.254:1", True),
        ("localhost:9100", True),
        ("[::1]:9100", True),
        ("unix:/run/septem.sock", True),
        ("0.0.0.0:9100", False),
        ("[::]:9100", False),
        ("10.0.0.1:9100", False),
        ("128.0.0.1:9100", False),
        ("localhost.example:9100", False),
        ("127.0.0.1.example:9100", False),
        ("2130706433:9100", False),
    ],
)
def test_loopback(address: str, here: bool) -> None:
    assert is_loopback(address) is here


@pytest.mark.parametrize(
    ("url", "clear"),
    [
        ("http://vault.internal:8200", True),
        ("http://vault.internal", True),
        ("http://10.0.0.1/v1", True),
        ("http://localhost.example/", True),
        ("http://", True),
        ("https://vault.internal:8200", False),
        ("http://127.0.0.1:8200/v1", False),
        ("http://127.0.0.1", False),
        ("http://localhost", False),
        ("http://[::1]:8200", False),
        ("unix:/run/vault.sock", False),
    ],
)
def test_what_crosses_a_network_in_the_clear(url: str, clear: bool) -> None:
    assert in_the_clear(url) is clear


@pytest.mark.parametrize(
    ("host", "every"),
    [
        (str(ipaddress.IPv4Address(0)), True),
        ("::", True),
        ("0::0", True),
        ("0.0.0.1", False),
        ("127.0.0.1", False),
        ("::1", False),
        ("localhost", False),
        ("", False),
    ],
)
def test_every_host(host: str, every: bool) -> None:
    assert is_every_host(host) is every


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("192.0.2.1:53", ("192.0.2.1", 53)),
        ("ns1.example:5353", ("ns1.example", 5353)),
        ("[2001:db8::1]:53", ("2001:db8::1", 53)),
    ],
)
def test_host_and_port(address: str, parts: tuple[str, int]) -> None:
    assert host_and_port(address) == parts


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        ("127.0.0.1:1", "127.0.0.1:1", True),
        ("127.0.0.1:1", "localhost:1", True),
        ("0.0.0.0:1", "127.0.0.1:1", True),
        ("127.0.0.1:1", "[::]:1", True),
        ("127.0.0.1:1", "127.0.0.1:2", False),
        ("0.0.0.0:1", "127.0.0.1:2", False),
        ("127.0.0.1:1", "127.0.0.2:1", False),
        ("unix:/a:1", "0.0.0.0:1", False),
        ("0.0.0.0:1", "unix:/a:1", False),
    ],
)
def test_two_listeners_of_one_port(one: str, other: str, shared: bool) -> None:
    assert share_a_port(one, other) is shared


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("0.0.0.0:1", "127.0.0.1:1"),
        ("localhost:1", "127.0.0.1:1"),
        ("[::]:1", "[::1]:1"),
        ("10.0.0.1:1", "10.0.0.1:1"),
        ("[::2]:1", "[::2]:1"),
        ("unix:/0.0.0.0:1", "unix:/0.0.0.0:1"),
    ],
)
def test_where_a_listener_can_be_reached(address: str, place: str) -> None:
    assert reachable(address) == place
