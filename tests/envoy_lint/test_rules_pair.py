"""Mistakes about both files together: each is found, and nothing else."""

from typing import Any

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
    manager,
    put,
    routes,
    rules_of,
    tls,
)

CORS = _config({"\nheaders:\n": "\nheaders:\n  cors: {pages: {origins: ['https://a.example']}}\n"})
REMOVED = "response_headers_to_remove"


def route_config(root: Any) -> Any:
    return manager(root)["route_config"]


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
    Broken("cors-of-application", "nothing is removed", drop(route_config, REMOVED), sidecar=CORS),
    Broken("cors-of-application", "something else is", put(
        ["server"], route_config, REMOVED), sidecar=CORS),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.rule}-{row.mistake}")
def test_a_mistake_is_found_and_nothing_else(row: Broken) -> None:
    found = rules_of(row)
    assert row.rule in found
    assert found - {row.rule} <= row.also


@pytest.mark.parametrize(
    ("sidecar", "level"),
    [(SIDECAR, "nowhere"), (CORS, "hosts"), (CORS, "routes")],
    ids=["the sidecar has no CORS", "the hosts remove it", "every route to it removes it"],
)
def test_the_applications_cors_is_no_mistake(sidecar: str, level: str) -> None:
    def move(root: Any) -> None:
        config = route_config(root)
        names = [each.upper() for each in config.pop(REMOVED)]
        for host in config["virtual_hosts"]:
            if level == "hosts":
                host[REMOVED] = names
            for route in host["routes"]:
                if level == "routes" and "route" in route:
                    route[REMOVED] = names

    assert rules_of(Broken("", "", move, sidecar=sidecar)) == set()
