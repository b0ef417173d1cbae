"""Mistakes about requests: paths, addresses, streams: each is found, and nothing else."""

import pytest

from tests.envoy_lint.broken import (
    EXTENSIONS,
    STREAMS,
    Broken,
    check,
    drop,
    forwarded_for_kept,
    manager,
    put,
    routes,
    rules_of,
)

ROWS = [
    *(
        Broken("path-normalization", name, drop(manager, name))
        for name in ("normalize_path", "merge_slashes", "path_with_escaped_slashes_action")
    ),
    Broken("path-normalization", "kept as they are", put(
        "KEEP_UNCHANGED", manager, "path_with_escaped_slashes_action")),
    Broken("underscores", "allowed", drop(
        manager, "common_http_protocol_options", "headers_with_underscores_action")),
    Broken("client-address", "not remote", drop(manager, "use_remote_address")),
    Broken("client-address", "not added", put(True, manager, "skip_xff_append")),
    Broken("client-address", "ids", put(True, manager, "preserve_external_request_id")),
    Broken("forwarded-for", "not overwritten", forwarded_for_kept),
    *(
        Broken("slow-clients", name, drop(manager, name))
        for name in ("request_headers_timeout", "request_timeout", "max_request_headers_kb")
    ),
    Broken("slow-clients", "idle for ever", put("0s", manager, "stream_idle_timeout")),
    Broken("stream-cut", "by default", drop(routes, -1, "route", "timeout")),
    Broken("stream-cut", "after a minute", put("60s", routes, -1, "route", "timeout")),
    Broken("stream-end", "not bounded", drop(
        routes, -1, "route", "max_stream_duration", "grpc_timeout_header_max"), sidecar=STREAMS),
    Broken("stream-end", "not chosen again", drop(check, "clear_route_cache"), sidecar=STREAMS),
    Broken("route-on-trusted-name", "by tenant", put(
        {"prefix": "/", "headers": [{"name": "x-tenant-id", "present_match": True}]},
        routes, -1, "match")),
    Broken("override-unnamed", "misspelt", put(
        {"ext_authz": {"@type": f"{EXTENSIONS}.ext_authz.v3.ExtAuthzPerRoute", "disabled": True}},
        routes, -1, "typed_per_filter_config")),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.rule}-{row.mistake}")
def test_a_mistake_is_found_and_nothing_else(row: Broken) -> None:
    found = rules_of(row)
    assert row.rule in found
    assert found - {row.rule} <= row.also
