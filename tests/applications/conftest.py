"""The applications of these tests, each started once, and one edge before them all."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.applications.edge import START, Edge
from tests.applications.servers import NAMES, Applications

CONFIG = f"""\
{START}
routes:
  - {{name: public, path_prefix: /public, auth: none}}
  - {{name: kept, path_prefix: /kept, auth: none, keep_overrides: [x-forwarded-host]}}
  - {{name: all, path_prefix: /, auth: required}}
"""
UNCHECKED = "/unchecked"
"""Below this path nobody asks the sidecar: what is removed there, Envoy removes alone."""
NO_CHECK = {
    "envoy.filters.http.ext_authz": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute",
        "disabled": True,
    }
}


@pytest.fixture(scope="session")
def applications(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Applications]:
    """Every server, started when a test first asks for it."""
    with Applications(tmp_path_factory.mktemp("applications")) as running:
        yield running


@pytest.fixture(scope="session")
def edge(applications: Applications, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """The shipped edge, and beside its routes one without a Check."""
    running = [found for name in NAMES if (found := applications.find(name))]
    folder = tmp_path_factory.mktemp("edge")
    with Edge(CONFIG, running, folder, change=without_check) as started:
        yield started
    assert started.faults == []


def without_check(manager: Any) -> None:
    """Give every virtual host a route without a Check, behind the one that refuses."""
    for host in manager["route_config"]["virtual_hosts"]:
        route = {
            "match": {"prefix": UNCHECKED},
            "route": {"cluster": host["routes"][-1]["route"]["cluster"], "timeout": "30s"},
            "typed_per_filter_config": NO_CHECK,
        }
        host["routes"].insert(1, route)
