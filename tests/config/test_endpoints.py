"""Where the workers listen."""

import pytest

from sidecar.config.endpoints import check_endpoints
from sidecar.config.model import AuthzListen

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
