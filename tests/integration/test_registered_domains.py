"""A domain that the registry knows, through the real Envoy: whose token passes, from when on."""

import socket
import ssl
from collections.abc import Iterator
from http.client import HTTPSConnection

import pytest

from demo.cases import API, OTHER_TENANT, TENANT, Minter
from demo.stack import Stack
from sidecar.common.clock import wall_seconds
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real
FIRST, SECOND, LATE = "first.customer.example", "second.test", "late.example"


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Stack(on_demand={"issuer": "internal"}) as running:
        running.register({FIRST: OTHER_TENANT, SECOND: OTHER_TENANT})
        yield running


def status(stack: Stack, host: str, tenant: str, name: str = "localhost") -> int:
    """Ask for ``host`` over a handshake for ``name``, with a tenant's token."""
    context = ssl.create_default_context(cadata=stack.ca_pem)
    connection = HTTPSConnection("localhost", stack.ports.https, timeout=10, context=context)
    connection.sock = context.wrap_socket(_connected(stack.ports.https), server_hostname=name)
    token = Minter(stack.key, wall_seconds()).good(tenantId=tenant)
    try:
        connection.putrequest("GET", API, skip_host=True)
        connection.putheader("host", host)
        connection.putheader("authorization", f"Bearer {token}")
        connection.endheaders()
        response = connection.getresponse()
        assert (response.status == 403) is (b"tenant_mismatch" in response.read())
        return response.status
    finally:
        connection.close()


def _connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), 10)


def until(stack: Stack, host: str, tenant: str, expected: int) -> None:
    wait_until(
        lambda: status(stack, host, tenant) == expected,
        explain=lambda: status(stack, host, tenant),
    )


@pytest.mark.parametrize("name", ["localhost", FIRST], ids=["another's handshake", "its own"])
@pytest.mark.parametrize("host", [FIRST, SECOND, f"www.{FIRST}", FIRST.upper()])
def test_every_domain_of_a_tenant_refuses_tokens_of_others(
    stack: Stack, host: str, name: str
) -> None:
    until(stack, FIRST, TENANT, 403)
    assert status(stack, host, TENANT, name) == 403
    assert status(stack, host, OTHER_TENANT, name) == 200


def test_a_registration_decides_the_checks_after_it_and_its_end_too(stack: Stack) -> None:
    registered = {FIRST: OTHER_TENANT, SECOND: OTHER_TENANT}
    assert status(stack, LATE, TENANT) == 200, "nobody's: the token decides"
    stack.register({**registered, LATE: OTHER_TENANT})
    until(stack, LATE, TENANT, 403)
    assert status(stack, LATE, OTHER_TENANT) == 200
    stack.register(registered)
    until(stack, LATE, TENANT, 200)
