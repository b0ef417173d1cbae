"""``python -m examples.tenants settings.toml``: serve the application on its Unix socket."""

import os
import socket
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path

import uvicorn

from examples.tenants.application import create_application
from examples.tenants.services import open_services
from examples.tenants.settings import read_settings
from workload.errors import Fault

SOCKET_MODE = 0o660
"""The owner and its group, which Envoy is in. Who can connect is believed to be the edge."""


def listen(path: str) -> socket.socket:
    """Return the listening socket. uvicorn's own, by ``--uds``, is open to everybody (0666)."""
    with suppress(FileNotFoundError):
        Path(path).unlink()
    listener = socket.socket(socket.AF_UNIX)
    before = os.umask(0o777 & ~SOCKET_MODE)
    try:
        listener.bind(path)
    finally:
        os.umask(before)
    listener.listen(128)
    return listener


def main(arguments: list[str]) -> int:
    """Run until a signal; 2 where the settings are wrong."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m examples.tenants settings.toml\n")
        return 2
    try:
        settings = read_settings(arguments[0])
    except Fault as fault:
        sys.stderr.write(f"{fault}\n")
        return 2
    application = create_application(partial(open_services, settings))
    # proxy_headers off: what X-Forwarded-For says is not the peer.
    config = uvicorn.Config(application, proxy_headers=False, server_header=False, log_level="info")
    with listen(settings.socket) as listener:
        uvicorn.Server(config).run(sockets=[listener])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
