"""Each server runs behind the edge and tells what it is told."""

from collections.abc import Iterator

import pytest

from tests.applications.edge import START, Edge
from tests.applications.servers import NAMES, Applications

pytestmark = pytest.mark.real
CONFIG = f"{START}routes: [{{name: all, path_prefix: /, auth: optional}}]\n"


@pytest.fixture(scope="module")
def edge(applications: Applications, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    running = [found for name in NAMES if (found := applications.find(name))]
    with Edge(CONFIG, running, tmp_path_factory.mktemp("edge")) as started:
        yield started
    assert started.faults == []


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
