"""Where a configuration has its listeners, routes and clusters, in each of its forms."""

from typing import Any

import pytest

from sidecar.envoy_lint.document import EnvoyDocument, address_of
from sidecar.envoy_lint.node import Node
from tests.envoy_lint.broken import document


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ({"socket_address": {"address": "127.0.0.1", "port_value": 9100}}, "127.0.0.1:9100"),
        ({"socketAddress": {"address": "::1", "portValue": "9100"}}, "[::1]:9100"),
        ({"pipe": {"path": "/run/a.sock"}}, "unix:/run/a.sock"),
        ({"socket_address": {"address": "127.0.0.1"}}, ""),
        ({"envoy_internal_address": {}}, ""),
        (None, ""),
    ],
)
def test_an_address_is_written_as_the_sidecar_writes_it(address: Any, text: str) -> None:
    assert address_of(Node(address)) == text


def test_what_the_edge_has() -> None:
    edge = EnvoyDocument(Node(document()))
    assert [each.name for each in edge.checked] == ["http", "edge"]
    assert [each.is_secure for each in edge.checked] == [False, True]
    assert set(edge.check_clusters) == {"sidecar_authz"}
    assert set(edge.secret_clusters) == {"sidecar_sds"}


def test_secrets_of_ads_come_from_its_cluster() -> None:
    edge = EnvoyDocument(Node(document("edge-on-demand")))
    assert set(edge.secret_clusters) == {"sidecar_sds"}
