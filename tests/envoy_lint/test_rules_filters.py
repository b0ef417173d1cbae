"""Mistakes about the other HTTP filters and the names they handle: each is found, alone."""

import pytest

from tests.envoy_lint.broken import (
    BOUND,
    CLIENTS,
    EXTENSIONS,
    Broken,
    before_the_check,
    drop,
    filters,
    names_second,
    put,
    routes,
    rules_of,
    second_host,
)

ROWS = [
    *(
        Broken("filter-before-check", kind, before_the_check(kind))
        for kind in ("cors.v3.Cors", "lua.v3.Lua", "jwt_authn.v3.JwtAuthentication",
                     "ext_proc.v3.ExternalProcessor", "fault.v3.HTTPFault",
                     "health_check.v3.HealthCheck", "cache.v3.CacheConfig")
    ),
    Broken("filter-unknown", "somebody's", before_the_check("mine.v3.Mine"),
           frozenset({"api"})),
    Broken("filter-unknown", "a module", before_the_check(
        "dynamic_modules.v3.DynamicModuleFilter", filter_name="mine")),
    Broken("bucket-by-header", "an API key", before_the_check(
        "local_ratelimit.v3.LocalRateLimit", stat_prefix="x", rate_limits=[
            {"actions": [{"request_headers": {"header_name": "X-Api-Key",
                                              "descriptor_key": "k"}}]}])),
    Broken("names-first", "second", names_second,
           frozenset({"security-headers"})),
    Broken("names-reach-application", "one is kept", lambda r: filters(r).pop(1)),
    Broken("names-set-elsewhere", "a route", put(
        [{"header": {"key": "X-Tenant-Id", "value": "a"}}],
        routes, -1, "request_headers_to_add")),
    Broken("names-set-elsewhere", "a filter behind", lambda r: filters(r).insert(-1, {
        "name": "mine", "typed_config": {
            "@type": f"{EXTENSIONS}.header_mutation.v3.HeaderMutation",
            "mutations": {"request_mutations": [
                {"append": {"header": {"key": "x-roles", "value": "root"}}}]}}})),
    Broken("names-set-elsewhere", "a route removes", put(
        ["x-user-id"], routes, -1, "request_headers_to_remove")),
    Broken("names-set-elsewhere", "a script behind", lambda r: filters(r).insert(-1, {
        "name": "mine", "typed_config": {
            "@type": f"{EXTENSIONS}.lua.v3.Lua", "default_source_code": {"inline_string":
                "function envoy_on_request(h) h:headers():replace('X-Tenant-ID', 'a') end"}}})),
    Broken("names-set-elsewhere", "claims behind", lambda r: filters(r).insert(-1, {
        "name": "mine", "typed_config": {
            "@type": f"{EXTENSIONS}.jwt_authn.v3.JwtAuthentication", "providers": {"p": {
                "claim_to_headers": [{"header_name": "x-roles", "claim_name": "r"}]}}}})),
    Broken("upgrade-connection", "the first route is gone", drop(routes, 0)),
    Broken("host-of-two-readings", "a second host", second_host),
    Broken("client-certificate-withheld", "a route with clients", lambda _r: None, sidecar=CLIENTS),
    Broken("client-certificate-withheld", "a token bound to one", lambda _r: None, sidecar=BOUND),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.rule}-{row.mistake}")
def test_a_mistake_is_found_and_nothing_else(row: Broken) -> None:
    found = rules_of(row)
    assert row.rule in found
    assert found - {row.rule} <= row.also
