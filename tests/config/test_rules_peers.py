"""Peers and clients by name: what looks like an IP address must be one."""

from collections.abc import Callable

import pytest

from sidecar.config import parse_config
from tests.config.documents import MINIMAL, problems

SDS = "listen: {sds: {address: 'unix:/run/sds'}}\n"


def bundle(peer: str) -> str:
    return f"{MINIMAL}{SDS}trust_bundles: [{{name: t, peers: ['{peer}']}}]\n"


def route(client: str) -> str:
    return MINIMAL.replace("path_prefix: /}", f"path_prefix: /, clients: ['{client}']}}")


GOOD = ["10.0.0.7", "2001:db8::7", "::1", "db.internal", "a", "1a.example", "spiffe://d/s",
        "spiffe://d/10.0.0.300"]  # fmt: skip
BAD = [
    ("10.0.0.300", "10.0.0.300 is neither an IP address nor a DNS name"),
    ("10.0.0.07", "is neither an IP address nor a DNS name"),
    ("127.1", "is neither an IP address nor a DNS name"),
    ("1:2", "1:2 is neither an IP address nor a DNS name"),
    ("2001:db8:::7", "is neither an IP address nor a DNS name"),
    ("::ffff:10.0.0.7", "is an IPv4 address in IPv6's form: write 10.0.0.7"),
    ("2001:DB8::7", "must be"),
    ("fe80::1%eth0", "must be"),
    ("[::1]", "must be"),
    ("10.0.0.0/24", "must be"),
]


@pytest.mark.parametrize("make", [bundle, route])
@pytest.mark.parametrize("name", GOOD)
def test_good(make: Callable[[str], str], name: str) -> None:
    parse_config(make(name), "test.yaml")


@pytest.mark.parametrize("make", [bundle, route])
@pytest.mark.parametrize(("name", "why"), BAD)
def test_refused(make: Callable[[str], str], name: str, why: str) -> None:
    found = problems(make(name))
    assert any(why in each and ("peers[0]" in each or "clients[0]" in each) for each in found), (
        found
    )
