"""Each server runs behind the edge and tells what it is told."""

import pytest

from tests.applications.edge import Edge
from tests.applications.servers import NAMES, Applications

pytestmark = pytest.mark.real


@pytest.mark.parametrize("name", NAMES)
def test_it_is_told_the_request_and_whose_it_is(
    name: str, applications: Applications, edge: Edge
) -> None:
    applications.get(name)
    reply = edge.ask(name, "/a/b?c=d", [edge.token()])
    assert reply.status == 200, reply.body
    assert (reply.told["method"], reply.told["path"]) == ("GET", "/a/b")
    assert reply.told["host"] == f"{name}.example"
    assert {"x-tenant-id", "x-user-id", "x-roles"} <= reply.names
