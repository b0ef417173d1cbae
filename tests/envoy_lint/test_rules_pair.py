"""Mistakes about both files together: each is found, and nothing else."""

import pytest

from tests.envoy_lint.broken import (
    AUTHZ,
    COOKIES,
    EXTENSIONS,
    LOGIN,
    PROOFS,
    SIDECAR,
    WORKERS,
    Broken,
    _config,
    allow,
    at,
    check,
    cluster,
    drop,
    endpoint,
    listener,
    put,
    routes,
    rules_of,
    tls,
)

ROWS = [
    Broken("check-address", "workers", lambda _r: None, sidecar=WORKERS),
    Broken("check-address", "two of three", put(
        [at(9110), at(9111)], lambda r: cluster(r)["load_assignment"]["endpoints"][0],
        "lb_endpoints"), sidecar=WORKERS),
    Broken("check-address", "another port", put(
        [at(9199)], lambda r: cluster(r)["load_assignment"]["endpoints"][0], "lb_endpoints"),
        sidecar=SIDECAR),
    Broken("endpoint-twice", "one port", lambda r: endpoint(r).append(at(9100))),
    Broken("secrets-address", "another port", put(
        [at(9199)], lambda r: cluster(r, "sidecar_sds")["load_assignment"]["endpoints"][0],
        "lb_endpoints"), sidecar=SIDECAR),
    Broken("secret-unknown", "misspelt", put("egde", tls, "common_tls_context",
        "tls_certificate_sds_secret_configs", 0, "name"), sidecar=SIDECAR),
    Broken("header-withheld", "cookies", allow(":method", "x-request-id", "authorization", "origin",
        "access-control-request-method"), sidecar=COOKIES),
    Broken("header-withheld", "the token", allow(":method", "x-request-id", "cookie", "origin",
        "access-control-request-method"), sidecar=SIDECAR),
    Broken("header-withheld", "proofs", allow(":method", "x-request-id", "authorization", "cookie",
        "origin", "access-control-request-method"), sidecar=PROOFS),
    Broken("body-withheld", "no bodies", drop(check, "with_request_body"), sidecar=LOGIN),
    Broken("body-withheld", "parts of them", put(
        True, check, "with_request_body", "allow_partial_message"), sidecar=LOGIN),
    Broken("body-withheld", "parts of them, on a route", put(
        {AUTHZ: {"@type": f"{EXTENSIONS}.ext_authz.v3.ExtAuthzPerRoute", "check_settings": {
            "with_request_body": {"max_request_bytes": 9, "allow_partial_message": True}}}},
        routes, -1, "typed_per_filter_config"), sidecar=LOGIN),
    Broken("on-demand-absent", "by name", lambda _r: None, frozenset({"api"}),
           file="edge-on-demand", sidecar=SIDECAR),
    Broken("port-taken", "the Checks'", put(
        9100, lambda r: listener(r)["address"]["socket_address"], "port_value"), sidecar=SIDECAR),
    Broken("port-taken", "the Checks', by another address of a listener", put(
        [{"address": {"socket_address": {"address": "127.0.0.1", "port_value": 9100}}}],
        listener, "additional_addresses"), sidecar=SIDECAR),
    Broken("port-taken", "the probes', on every address", put(
        9104, lambda r: listener(r)["address"]["socket_address"], "port_value"),
        sidecar=SIDECAR.replace("  # probes:\n  #   address: 0.0.0.0",
                                "  probes:\n    address: 127.0.0.1")),
    Broken("reports-unreached", "another port", put(
        [at(9199)], lambda r: cluster(r, "sidecar_reports")["load_assignment"]["endpoints"][0],
        "lb_endpoints"),
        sidecar=_config({"  # reports:\n  #   address": "  reports:\n    address",
                         "\nheaders:\n": "\nheaders:\n  reports: {}\n"})),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.rule}-{row.mistake}")
def test_a_mistake_is_found_and_nothing_else(row: Broken) -> None:
    found = rules_of(row)
    assert row.rule in found
    assert found - {row.rule} <= row.also
