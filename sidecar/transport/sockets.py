"""Addresses and sockets, as every listener here understands them."""

from pathlib import Path

from sidecar.errors import Fault


class ListenFault(Fault):
    """An address can't be listened on."""


def split_address(address: str) -> tuple[str, int]:
    """Split ``host:port``, with the brackets of an IPv6 literal taken off."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def remove_stale_socket(path: Path) -> None:
    """Remove what a process that was killed left behind; anything but a socket stays."""
    if path.is_socket():
        path.unlink()
