"""Mistakes about clusters, Envoy's admin port and TLS: each is found, and nothing else."""

import pytest

from tests.envoy_lint.broken import (
    Broken,
    at,
    check,
    cluster,
    drop,
    listener,
    put,
    rules_of,
    several_endpoints,
    tls,
)

ROWS = [
    Broken("cluster-http2", "the Checks'", drop(cluster, "typed_extension_protocol_options")),
    Broken("cluster-http2", "the secrets'", drop(
        lambda r: cluster(r, "sidecar_sds"), "typed_extension_protocol_options")),
    Broken("cluster-unknown", "misspelt", put(
        "sidecar_autz", check, "grpc_service", "envoy_grpc", "cluster_name")),
    Broken("cluster-in-the-clear", "Checks", put(
        [at(9100, "10.0.0.7")], lambda r: cluster(r)["load_assignment"]["endpoints"][0],
        "lb_endpoints")),
    Broken("check-breakers", "Envoy's own", drop(cluster, "circuit_breakers")),
    Broken("check-retries", "three", several_endpoints),
    Broken("admin-open", "everywhere", put(
        "10.0.0.1", lambda r: r["admin"]["address"]["socket_address"], "address")),
    Broken("tls-version", "Envoy's own", drop(
        tls, "common_tls_context", "tls_params", "tls_minimum_protocol_version")),
    Broken("tls-version", "1.0", put("TLSv1_0", tls, "common_tls_context", "tls_params",
                                     "tls_minimum_protocol_version")),
    Broken("tls-version", "1.2 with RSA", put(
        {"tls_minimum_protocol_version": "TLSv1_2", "cipher_suites": ["AES128-GCM-SHA256"]},
        tls, "common_tls_context", "tls_params")),
    Broken("tls-version", "1.2 with CBC", put(
        {"tls_minimum_protocol_version": "TLSv1_2", "cipher_suites": ["ECDHE-RSA-AES128-SHA"]},
        tls, "common_tls_context", "tls_params")),
    Broken("handshake-time", "no end", drop(
        lambda r: listener(r)["filter_chains"][0], "transport_socket_connect_timeout")),
    Broken("on-demand-resumption", "stateful", drop(tls, "disable_stateful_session_resumption"),
           file="edge-on-demand"),
    Broken("on-demand-resumption", "stateless", put(
        False, tls, "disable_stateless_session_resumption"), file="edge-on-demand"),
    Broken("on-demand-any-name", "no matcher", drop(listener, "filter_chain_matcher"),
           file="edge-on-demand"),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.rule}-{row.mistake}")
def test_a_mistake_is_found_and_nothing_else(row: Broken) -> None:
    found = rules_of(row)
    assert row.rule in found
    assert found - {row.rule} <= row.also
