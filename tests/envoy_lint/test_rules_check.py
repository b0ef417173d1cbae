"""Mistakes about the filter that asks the sidecar: each is found, and nothing else."""

import pytest

from tests.envoy_lint.broken import (
    ACME,
    AUTHZ,
    EXTENSIONS,
    Broken,
    allow,
    before_the_check,
    check,
    drop,
    filters,
    manager,
    put,
    routes,
    rules_of,
)

ROWS = [
    Broken("fail-open", "failure_mode_allow", put(True, check, "failure_mode_allow")),
    Broken("fail-open", "a BoolValue", put({"value": True}, check, "failure_mode_allow")),
    Broken("fail-open", "answers 200", put({"code": "OK"}, check, "status_on_error")),
    Broken("fail-open", "answers 204 by number", put({"code": 204}, check, "status_on_error")),
    Broken("check-sometimes", "half of them", put(
        {"default_value": {"numerator": 50}}, check, "filter_enabled")),
    Broken("check-sometimes", "of ten thousand", put(
        {"default_value": {"numerator": 100, "denominator": "TEN_THOUSAND"}},
        check, "filter_enabled")),
    Broken("check-sometimes", "a runtime key", put(
        {"default_value": {"numerator": 100}, "runtime_key": "authz.on"}, check, "filter_enabled")),
    Broken("check-sometimes", "metadata of anybody", put(
        {"filter": "mine", "path": [{"key": "x"}]}, check, "filter_enabled_metadata")),
    Broken("check-sometimes", "off by default", lambda r: filters(r)[-2].update(disabled=True),
           frozenset({"mutations-unvalidated"})),
    Broken("check-sometimes", "metadata that a client's header sets", before_the_check(
        "header_to_metadata.v3.Config", request_rules=[{"header": "x-skip", "on_header_present": {
            "metadata_namespace": "septem.decision_cache", "key": "repeated", "value": "1"}}]),
        file="edge-cached"),
    Broken("fail-open", "of another ext_authz", lambda root: filters(root).insert(-1, {
        "name": "other", "typed_config": {**check(root), "failure_mode_allow": True}})),
    Broken("check-service", "HTTP", put({"server_uri": {}}, check, "http_service")),
    Broken("check-service", "Google's client", put(
        {"google_grpc": {"target_uri": "127.0.0.1:9100"}, "timeout": "0.5s"},
        check, "grpc_service")),
    Broken("check-service", "no version", drop(check, "transport_api_version")),
    Broken("check-timeout", "none", drop(check, "grpc_service", "timeout")),
    Broken("check-timeout", "no end", put("0s", check, "grpc_service", "timeout")),
    Broken("check-timeout", "a minute", put("60s", check, "grpc_service", "timeout")),
    Broken("check-timeout", "a route's own", put(
        {AUTHZ: {"@type": f"{EXTENSIONS}.ext_authz.v3.ExtAuthzPerRoute", "check_settings": {
            "grpc_service": {"envoy_grpc": {"cluster_name": "sidecar_authz"}}}}},
        routes, -1, "typed_per_filter_config")),
    Broken("challenge-timeout", "half a second", put(
        "0.5s", lambda r: check(r, "http"), "grpc_service", "timeout"), sidecar=ACME),
    Broken("method-withheld", "not allowed", allow(
        "authorization", "origin", "access-control-request-method", "cookie", "grpc-timeout",
        "sec-websocket-protocol", "x-module-signature", "x-request-id")),
    Broken("method-withheld", "a pattern for others", put(
        {"patterns": [{"safe_regex": {"regex": "[a-z-]+"}}]}, check, "allowed_headers")),
    Broken("request-id-withheld", "not allowed", allow(
        ":method", "authorization", "origin", "access-control-request-method", "cookie",
        "grpc-timeout", "sec-websocket-protocol", "x-module-signature")),
    Broken("request-id-withheld", "disallowed", put(
        {"patterns": [{"exact": "x-request-id"}]}, check, "disallowed_headers")),
    Broken("request-id-withheld", "none is made", put(False, manager, "generate_request_id")),
    Broken("method-withheld", "disallowed in capitals", put(
        {"patterns": [{"exact": ":METHOD", "ignore_case": True}]}, check, "disallowed_headers")),
    Broken("method-withheld", "disallowed", put(
        {"patterns": [{"prefix": ":"}]}, check, "disallowed_headers")),
    Broken("mutations-refused", "all", put(
        {"disallow_all": True}, check, "decoder_header_mutation_rules")),
    Broken("mutations-refused", "some", put(
        {"allow_expression": {"regex": "x-foo"}}, check, "decoder_header_mutation_rules")),
    Broken("mutations-unvalidated", "not set", drop(check, "validate_mutations")),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.rule}-{row.mistake}")
def test_a_mistake_is_found_and_nothing_else(row: Broken) -> None:
    found = rules_of(row)
    assert row.rule in found
    assert found - {row.rule} <= row.also
