"""Where the workers listen."""

from pathlib import Path

import pytest

from sidecar.config.decision_cache import DecisionCacheSettings
from sidecar.config.endpoints import check_endpoints, unix_sockets
from sidecar.config.model import AdminListen, AuthzListen, Listen, SdsListen
from sidecar.config.reports import ReportsListen

ROWS = [
    ("127.0.0.1:9100", 1, ["127.0.0.1:9100"]),
    ("127.0.0.1:9110", 3, ["127.0.0.1:9110", "127.0.0.1:9111", "127.0.0.1:9112"]),
    ("[::1]:9110", 2, ["[::1]:9110", "[::1]:9111"]),
    ("unix:/run/septem/authz.sock", 1, ["unix:/run/septem/authz.sock"]),
    (
        "unix:/run/septem/authz.sock",
        2,
        ["unix:/run/septem/authz-0.sock", "unix:/run/septem/authz-1.sock"],
    ),
    ("unix:/run/authz", 2, ["unix:/run/authz-0", "unix:/run/authz-1"]),
]


@pytest.mark.parametrize(("address", "workers", "endpoints"), ROWS)
def test_an_endpoint_for_each_worker(address: str, workers: int, endpoints: list[str]) -> None:
    assert list(check_endpoints(AuthzListen(address=address, workers=workers))) == endpoints


def test_every_unix_socket_that_is_opened_has_its_path() -> None:
    assert unix_sockets(Listen()) == ()
    listen = Listen(
        authz=AuthzListen(
            address="unix:/run/a", workers=2, decision_cache=DecisionCacheSettings(socket="/run/c")
        ),
        sds=SdsListen(address="unix:/run/s"),
        admin=AdminListen(address="127.0.0.1:9102"),
        reports=ReportsListen(address="unix:/run/r"),
    )
    assert unix_sockets(listen) == tuple(
        map(Path, ("/run/a-0", "/run/a-1", "/run/s", "/run/r", "/run/c"))
    )
