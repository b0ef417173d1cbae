"""A registry behind the edge reads the bytes that were judged, whatever stands beside them."""

from collections.abc import Iterator
from functools import partial

import pytest

from sidecar.module_signing.install import CHANGE_READING
from tests.applications.edge import START, Edge, keep_back
from tests.applications.servers import Applications

pytestmark = pytest.mark.real
INSTALL = "/api/v1/modules/install"
CONFIG = f"""\
{START}modules: {{owner_roles: [owner]}}
routes:
  - {{name: install, path_prefix: {INSTALL}, methods: [POST], module: unsigned_by_owner}}
  - {{name: api, path_prefix: /api}}
"""
NOTHING: tuple[str, ...] = ()
BESIDE = [
    ("content-encoding", "gzip"),
    ("content-transfer-encoding", "base64"),
    ("content-range", "bytes 0-9/10"),
    ("content-type", "multipart/form-data; boundary=x"),
    ("content-type", "text/javascript; charset=utf-16"),
    ("content.encoding", "gzip"),
]


@pytest.fixture(scope="module", params=[NOTHING, CHANGE_READING], ids=["as shipped", "kept back"])
def kept_back(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """The headers that Envoy does not send to the sidecar."""
    names: tuple[str, ...] = request.param
    return names


@pytest.fixture(scope="module")
def edge(
    kept_back: tuple[str, ...],
    applications: Applications,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Edge]:
    running = [found for name in ("node", "php") if (found := applications.find(name))]
    folder = tmp_path_factory.mktemp("bundles")
    with Edge(CONFIG, running, folder, change=partial(keep_back, names=kept_back)) as started:
        yield started
    assert started.faults == []


@pytest.mark.parametrize("beside", BESIDE, ids=[f"{n}: {v}" for n, v in BESIDE])
@pytest.mark.parametrize("application", ["node", "php"])
def test_refused_or_not_there(
    application: str,
    beside: tuple[str, str],
    applications: Applications,
    edge: Edge,
    kept_back: tuple[str, ...],
) -> None:
    applications.get(application)
    name, value = beside
    headers = [edge.token(roles=["owner"]), beside]
    reply = edge.ask(application, INSTALL, headers, method="POST", body="export default 1;")
    if name in CHANGE_READING and not kept_back:
        assert (reply.status, reply.reason) == (415, "module_encoded")
        return
    assert reply.status == 200
    arrived = reply.names & {name.replace(".", "-"), "content-encoding"}
    assert arrived <= {"content-type"}
    assert value not in reply.body


@pytest.mark.parametrize("path", ["/api/v1/modules/INSTALL", "/api/v1/modules/install.js"])
def test_no_other_spelling_installs(path: str, applications: Applications, edge: Edge) -> None:
    applications.get("node")
    token = edge.token(roles=["owner"])
    reply = edge.ask("node", path, [token], method="POST", body="export default 1;")
    assert (reply.status, reply.reason) == (400, "path_ambiguous")
