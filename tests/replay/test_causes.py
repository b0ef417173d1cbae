"""The setting that makes a difference is named as the file has it."""

from typing import Any

import pytest
from msgspec.structs import replace

from sidecar.common.reasons import Grant, Reason
from sidecar.replay.causes import _SETTINGS
from sidecar.replay.compare import Comparer
from tests.replay.changes import CHANGES
from tests.replay.lines import INPUTS, line
from tests.replay.traffic import configured
from tests.support.minting import ISSUER, TENANT

ROWS: dict[str, tuple[str, dict[str, Any], str]] = {
    "a role": ("another role", {"path": "/api/admin/x"}, "routes[admin].roles: owner"),
    "a scope": (
        "a scope on the api", {}, "routes[api].scopes: write",
    ),
    "no route": ("the api gone", {}, "routes: none matches GET on app.example"),
    "an issuer": ("the first issuer gone", {}, f"tokens.issuers: {ISSUER} is none of them"),
    "a key": ("the main key denied", {}, "keys.denied_kids: main"),
    "a life of all issuers": ("a shorter life", {}, "tokens.max_lifetime_seconds: 300.0"),
    "types of one issuer": ("at+jwt alone", {}, f"tokens.issuers[{ISSUER}].types: at+jwt"),
    "a tenant's route": (
        "another tenant's route", {"path": "/acme/x", "route": "acme"},
        "routes[acme].tenant: 0f0f0f0f-0000-4000-8000-000000000000",
    ),
    "a tenant's domain": (
        "another tenant's domain", {"host": "shop.acme.example"},
        "tenants[].domain: shop.acme.example",
    ),
    "public now": (
        "the api public", {"reason": "token_missing", "outcome": "deny", "tenant": ""},
        "routes[api].auth: none",
    ),
    "let in by a role": (
        "a role more",
        {"path": "/api/admin/x", "route": "admin", "reason": "role_missing", "outcome": "deny"},
        "routes[admin].roles: admin, owner",
    ),
    "shadow no more": (
        "shadow no more", {"path": "/tried/x", "route": "tried", "reason": "shadow",
                           "shadow_reason": "role_missing"},
        "routes[tried].shadow: false",
    ),
    "in shadow now": (
        "everything in shadow",
        {"path": "/api/admin/x", "route": "admin", "outcome": "deny", "reason": "role_missing",
         "inputs": replace(INPUTS, roles=("guest",))},
        "routes[admin].shadow: true",
    ),
    "an audience": (
        "an audience less", {"inputs": replace(INPUTS, aud=("https://b.example",))},
        f"tokens.issuers[{ISSUER}].audiences: https://api.septemcore.com",
    ),
    "a size": (
        "smaller tokens", {"inputs": replace(INPUTS, size=2000)}, "tokens.max_token_bytes: 1024",
    ),
    "a client": (
        "clients on the api", {"principal": ""}, "routes[api].clients: spiffe://example/app",
    ),
    "binding": (
        "binding required", {"path": "/mtls/x", "route": "mtls"},
        "routes[mtls].binding.unbound: refuse",
    ),
    "no binding": (
        "no binding", {"path": "/proved/x", "route": "proved",
                       "inputs": replace(INPUTS, cnf=("dpop",), dpop="x")},
        "routes[proved].binding.by: none",
    ),
    "exact paths": (
        "exact paths",
        {"path": "/api/Admin/x", "outcome": "deny", "reason": "path_ambiguous", "status": 400},
        "routes[api].path_reading: lenient",
    ),
    "personal data": (
        "no personal data", {"warnings": ("claim 'nick' holds email (by its value)",)},
        "tokens.pii: by_name deny, by_value deny",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", ROWS)
def test_the_setting_is_named(what: str) -> None:
    change, changes, cause = ROWS[what]
    found = Comparer(configured(CHANGES[change])).compare(line(**changes))
    assert found.cause == cause


def test_every_reason_that_a_setting_decides_has_one() -> None:
    without = {
        # Nothing in the file decides these, or no one setting does.
        Reason.REQUEST_MALFORMED, Reason.REQUEST_TOO_LARGE, Reason.HOST_MALFORMED,
        Reason.TOKEN_MALFORMED, Reason.SIGNATURE_INVALID, Reason.CLAIM_MISSING,
        Reason.CLAIM_MALFORMED, Reason.REFRESH_TOKEN_PRESENTED, Reason.TOKEN_REVOKED,
        Reason.TENANT_UNKNOWN, Reason.KEYS_UNAVAILABLE, Reason.KEYS_DEGRADED,
        Reason.INTERNAL_FAULT, Reason.CERTIFICATE_MISMATCH, Grant.CHALLENGE_ANSWERED,
        *(each for each in Reason if each.startswith(("dpop", "module"))),
    }  # fmt: skip
    assert {*Reason, *Grant} - without == set(_SETTINGS)


def test_the_tenant_of_the_rows_is_the_policys() -> None:
    assert line().tenant == TENANT
