"""Mistakes about answers: each is found, and nothing else."""

import pytest

from tests.envoy_lint.broken import (
    EXTENSIONS,
    Broken,
    filters,
    manager,
    put,
    routes,
    rules_of,
)

ROWS = [
    Broken("security-headers", "no HSTS", lambda r: filters(r)[0]["typed_config"]["mutations"]
           ["response_mutations"].pop(0)),
    Broken("denial-replaced", "a body for all", put(
        {"json_format": {"error": "x"}}, manager, "local_reply_config", "body_format")),
    Broken("denial-replaced", "by status alone", lambda r: manager(r)["local_reply_config"]
           ["mappers"].append(
               {"filter": {"status_code_filter": {}}, "body": {"inline_string": "x"}})),
    Broken("legacy-append", "append: false", put(
        [{"header": {"key": "x-a", "value": "b"}, "append": False}],
        routes, -1, "response_headers_to_add")),
    Broken("cors-twice", "a host's own", put(
        {"envoy.filters.http.cors": {"@type": f"{EXTENSIONS}.cors.v3.CorsPolicy"}},
        routes, -1, "typed_per_filter_config")),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.rule}-{row.mistake}")
def test_a_mistake_is_found_and_nothing_else(row: Broken) -> None:
    found = rules_of(row)
    assert row.rule in found
    assert found - {row.rule} <= row.also
