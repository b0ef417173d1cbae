"""A reload of each kind of live setting really changes what is answered."""

import logging
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

from sidecar.common.clock import wall_seconds
from sidecar.config.reloading import LIVE
from sidecar.keys.lifecycle import KeyState
from sidecar.keys.refresher import KeyView
from sidecar.runtime.reload.outcome import ReloadResult
from tests.authz.checks import Answer, check_request, read_answer
from tests.runtime.reload.conftest import Reloading
from tests.support.minting import AUDIENCE, ISSUER, Issuer

OTHER = "018f4f6e-0000-7000-8000-00000000000b"
HOST = "app.septemcore.com"


class Row(NamedTuple):
    """A change of the file, a request, and what is seen of its answer before and after."""

    what: str
    setting: str
    edits: dict[str, str]
    before: object
    after: object
    see: Callable[[Answer], object] = lambda answer: answer.status
    claims: Mapping[str, Any] = MappingProxyType({})
    request: Mapping[str, Any] = MappingProxyType({})
    state: KeyState = KeyState.ACTIVE


def reason(answer: Answer) -> str:
    return "" if answer.allowed else answer.metadata["reason"]


def header(name: str) -> Callable[[Answer], object]:
    return lambda answer: answer.response_headers.get(name)


SHELL = "csp: api}"
ROWS = [
    Row("a route's roles", "routes[].roles", {SHELL: "csp: api, roles: [owner]}"}, 200, 403),
    Row("a route's path", "routes[].path_prefix", {"/api,": "/apis,"}, 200, 403),
    Row("a route's method", "routes[].methods", {SHELL: "csp: api, methods: [POST]}"}, 200, 403),
    Row(
        "a route that goes",
        "routes[]",
        {"  - {name: api, path_prefix: /api, csp: api}\n": ""},
        200,
        403,
    ),
    Row(
        "where a token is read",
        "routes[].token_from",
        {SHELL: "csp: api, token_from: ['cookie:t']}"},
        200,
        400,
    ),
    Row(
        "the audiences of an issuer",
        "tokens.issuers[].audiences",
        {f"[{AUDIENCE}]": "[https://other.example]"},
        "",
        "audience_mismatch",
        see=reason,
    ),
    Row(
        "an issuer that goes",
        "tokens.issuers[]",
        {f"issuer: {ISSUER}": "issuer: https://other.example"},
        200,
        401,
    ),
    Row(
        "the size of tokens",
        "tokens.max_token_bytes",
        {"tokens:\n": "tokens:\n  max_token_bytes: 256\n"},
        200,
        431,
    ),
    Row(
        "the longest life",
        "tokens.max_lifetime_seconds",
        {"tokens:\n": "tokens:\n  max_lifetime_seconds: 60\n"},
        200,
        401,
    ),
    Row(
        "the leeway",
        "tokens.leeway_seconds",
        {"tokens:\n": "tokens:\n  leeway_seconds: 0\n"},
        200,
        401,
        claims={"exp": -10, "iat": -300, "nbf": -300},
    ),
    Row(
        "whether nbf is needed",
        "tokens.require_nbf",
        {"tokens:\n": "tokens:\n  require_nbf: false\n"},
        401,
        200,
        claims={"nbf": None},
    ),
    Row(
        "personal data",
        "tokens.pii.by_name",
        {"tokens:\n": "tokens:\n  pii: {by_name: 'off', by_value: 'off'}\n"},
        401,
        200,
        claims={"email": "a@b.example"},
    ),
    Row(
        "degraded keys",
        "keys.when_degraded",
        {"routes:": "keys: {when_degraded: refuse}\nroutes:"},
        200,
        503,
        state=KeyState.DEGRADED,
    ),
    Row(
        "a tenant's domain",
        "tenants[].domain",
        {"shop.acme.example": "other.acme.example"},
        403,
        200,
        claims={"tenantId": OTHER},
        request={"host": "shop.acme.example"},
    ),
    Row(
        "a tenant more",
        "tenants[]",
        {"tenants:\n": f"tenants:\n  - {{tenant_id: {OTHER}, domain: {HOST}}}\n"},
        200,
        403,
    ),
    Row(
        "a header of every response",
        "headers.hsts",
        {"headers:\n": "headers:\n  hsts: max-age=5\n"},
        "max-age=31536000; includeSubDomains; preload",
        "max-age=5",
        see=header("strict-transport-security"),
    ),
    Row(
        "a profile's policy",
        "headers.csp",
        {"headers:\n": "headers:\n  csp: {api: {enforced: [{default-src: [\"'self'\"]}]}}\n"},
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        "default-src 'self'",
        see=header("content-security-policy"),
    ),
    Row(
        "pages of other origins",
        "headers.cors",
        {
            SHELL: "csp: api, cors: apps}",
            "headers:\n": "headers:\n  cors: {apps: {origins: ['https://page.example']}}\n",
        },
        None,
        "https://page.example",
        see=header("access-control-allow-origin"),
        request={"headers": {"origin": "https://page.example"}},
    ),
    Row(
        "what is removed",
        "headers.remove_from_request",
        {"[x-internal-debug]": "[x-other]"},
        True,
        False,
        see=lambda answer: "x-internal-debug" in answer.removed,
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=[row.what for row in ROWS])
async def test_it_is_answered_otherwise(reloading: Reloading, issuer: Issuer, row: Row) -> None:
    reloading.checks.publish(KeyView(issuer.ring, row.state))
    now = wall_seconds()
    times: dict[str, Any] = {"exp": now + 600, "iat": now - 1, "nbf": now - 1}
    claims = {n: now + v if isinstance(v, int) else v for n, v in row.claims.items()}
    token = issuer.mint(None, **{**times, **claims}).decode()
    headers = {"authorization": f"Bearer {token}", **row.request.get("headers", {})}
    request = check_request(**{**row.request, "headers": headers})

    async def seen() -> list[object]:
        """Twice: the second answer is from the caches, or from the lane where it is refused."""
        answers = [reloading.checks._check.service.handle(request) for _ in range(2)]
        whole = [each if isinstance(each, bytes) else await each for each in answers]
        return [row.see(read_answer(each)) for each in whole]

    assert row.setting in LIVE
    assert await seen() == [row.before] * 2
    reloading.write(row.edits)
    outcome = await reloading.reloader.reload()
    assert outcome.result is ReloadResult.APPLIED, outcome.problems
    assert row.setting in {each.setting for each in outcome.changes}
    assert await seen() == [row.after] * 2


async def test_the_log_and_the_token_cache(reloading: Reloading) -> None:
    root = logging.getLogger()
    before = root.level
    try:
        reloading.write({"tokens:\n": "log: {level: error}\ntokens:\n  cache_entries: 7\n"})
        assert (await reloading.reloader.reload()).result is ReloadResult.APPLIED
        assert root.level == logging.ERROR
        assert reloading.checks._cache._max_entries == 7
    finally:
        root.setLevel(before)
