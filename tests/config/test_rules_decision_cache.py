"""The rules of listen.authz.decision_cache."""

import pytest

from sidecar.common.errors import ConfigFault
from sidecar.config import parse_config
from tests.authz.conftest import CONFIG

SOCKET = "socket: /run/septem/decision-cache.sock"
RIGHT = [SOCKET, f"{SOCKET}, ring_bytes: 65536", f"{SOCKET}, mode: '0600', peer_uids: [101]"]
WRONG = {
    f"{SOCKET}, ring_bytes: 65537": "ring_bytes: must be a power of two, such as 65536",
    f"{SOCKET}, ring_bytes: 1024": "ring_bytes",
    f"{SOCKET}, stale_milliseconds: 50": "stale_milliseconds",
    f"{SOCKET}, stale_milliseconds: 5001": "stale_milliseconds",
    f"{SOCKET}, mode: '0777'": "mode",
    f"{SOCKET}, ttl: 5": "ttl",
    "socket: run/x.sock": "socket",
    f"socket: /{'x' * 107}": "socket",
    "socket: /run/admin.sock": "socket: is also that of listen.admin",
    "{}": "socket",
}


def problems(cache: str, more: str = "") -> str:
    admin = "admin: {address: 'unix:/run/admin.sock'}"
    listen = f"listen: {{authz: {{decision_cache: {{{cache}}}{more}}}, {admin}}}\n"
    try:
        parse_config(listen + CONFIG, "test")
    except ConfigFault as fault:
        return "\n".join(map(str, fault.problems))
    return ""


@pytest.mark.parametrize("name", ["sds", "admin", "probes"])
def test_the_socket_is_no_other_listeners(name: str) -> None:
    listen = f"authz: {{decision_cache: {{{SOCKET}}}}}, {name}: {{address: 'unix:{SOCKET[8:]}'}}"
    with pytest.raises(ConfigFault) as fault:
        parse_config(f"listen: {{{listen}}}\n{CONFIG}", "test")
    assert f"socket: is also that of listen.{name}" in str(fault.value.problems[0])


@pytest.mark.parametrize("cache", RIGHT)
def test_what_fits_is_taken(cache: str) -> None:
    assert problems(cache) == ""


@pytest.mark.parametrize("cache", WRONG)
def test_what_does_not_is_named(cache: str) -> None:
    assert WRONG[cache] in problems(cache.strip("{}"))


@pytest.mark.parametrize("workers", [16, 17])
def test_there_are_words_for_sixteen_workers(workers: int) -> None:
    found = problems(SOCKET, f", workers: {workers}")
    assert ("workers: must be at most 16" in found) == (workers > 16)
