"""Steps that ask the world are answered by the line; each case here is one that needs a word."""

from typing import Any

import msgspec
import pytest

from sidecar.config import parse_config
from sidecar.observability.audit.inputs import NO_INPUTS, RecordedInputs
from sidecar.replay.decider import Decider
from tests.replay.changes import put
from tests.replay.lines import INPUTS, line
from tests.replay.traffic import POLICY
from tests.support.minting import NOW

REGISTRY = (
    'listen: {sds: {address: "unix:/run/sds.sock"}}\n'
    "issuers: [{name: pki, type: vault_pki, role: edge}]\n"
    "on_demand: {issuer: pki, registry: {source: vault_kv, path: edge/domains}}\nroutes:\n"
)
OTHER = "0f0f0f0f-0000-4000-8000-000000000000"
WEB = ("spiffe://example/web",)


def with_inputs(**changes: Any) -> RecordedInputs:
    return msgspec.structs.replace(INPUTS, **changes)


BOUND = with_inputs(cnf=("certificate",))
ROWS: dict[str, tuple[dict[str, Any], str, str]] = {
    "revoked then": ({"reason": "token_revoked"}, "deny", "token_revoked"),
    "revoked then, another audience now": (
        {"reason": "token_revoked", "inputs": with_inputs(aud=("x",))}, "deny", "audience_mismatch",
    ),
    "expired then, revocation not looked at": (
        {"reason": "token_expired"}, "unknown", "revoked",
    ),
    "limited by its address": (
        {"reason": "rate_limited", "detail": "address: 1 request per second, burst 1; would"},
        "unknown", "revoked",
    ),
    "limited by its tenant": (
        {"reason": "rate_limited", "detail": "tenant: 1 request per second, burst 1; would"},
        "allow", "token_verified",
    ),
    "a client, by the names of its certificate": (
        {"path": "/both/x", "inputs": with_inputs(peer=WEB)}, "allow", "token_verified",
    ),
    "another client": (
        {"path": "/strangers/x", "inputs": with_inputs(peer=WEB)}, "deny", "client_not_allowed",
    ),
    "a client by Envoy's one name": (
        {"path": "/both/x", "principal": WEB[0]}, "unknown", "its one ID would be allowed",
    ),
    "another client by Envoy's one name": (
        {"path": "/strangers/x", "principal": WEB[0]}, "deny", "client_not_allowed",
    ),
    "a client by a DNS name": (
        {"path": "/both/x", "principal": "web.example"}, "unknown", "which names",
    ),
    "no client": ({"path": "/both/x"}, "deny", "client_certificate_missing"),
    "a certificate that named nobody": (
        {"path": "/both/x", "principal": WEB[0], "reason": "client_not_allowed",
         "inputs": with_inputs(iss="")},
        "deny", "client_not_allowed",
    ),
    "bound, where that is taken": ({"path": "/mtls/x", "inputs": BOUND}, "allow", "token_verified"),
    "bound, where it is not": ({"inputs": BOUND}, "deny", "token_bound"),
    "bound, and refused for that": (
        {"path": "/mtls/x", "inputs": BOUND, "reason": "token_bound"}, "unknown", "proof",
    ),
    "another's certificate": (
        {"path": "/mtls/x", "inputs": BOUND, "reason": "certificate_mismatch"}, "deny",
        "certificate_mismatch",
    ),
    "proved by other rules": (
        {"path": "/proved/x", "inputs": with_inputs(cnf=("dpop",), dpop="other")}, "unknown",
        "proof",
    ),
    "a token where the route reads none": (
        {"path": "/socket/x"}, "deny", "token_ambiguous",
    ),
    "a token in a cookie that is not read": (
        {"inputs": with_inputs(place="cookie:sid")}, "deny", "token_missing",
    ),
    "two credentials, as then": (
        {"reason": "token_ambiguous", "tenant": "", "inputs": RecordedInputs(searched=("header",))},
        "deny", "token_ambiguous",
    ),
    "two credentials, elsewhere": (
        {"reason": "token_ambiguous", "tenant": "", "path": "/page/x",
         "inputs": RecordedInputs(searched=("header",))},
        "unknown", "which of several",
    ),
    "personal data that was allowed": (
        {"warnings": ("claim 'email' holds email (by its name)",)}, "deny", "pii_in_token",
    ),
    "personal data whose name was cut": (
        {"warnings": ("claim 'ema",)}, "unknown", "personal dat",
    ),
    "personal data that nobody looked for": (
        {"inputs": with_inputs(unsought=("name",))}, "unknown", "not looked for then: name",
    ),
    "a time that may be made up": (
        {"inputs": with_inputs(required=("sub",), exp=NOW + 5000)}, "unknown", "no iat",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", ROWS)
def test_a_line_under_the_policy(what: str) -> None:
    changes, access, said = ROWS[what]
    found = Decider(parse_config(POLICY, "test")).predict(line(**changes))
    assert found.access == access, found
    assert said in (found.reason if access != "unknown" else "; ".join(found.open))


HOST = {"host": "shop.customer.example"}
BY_REGISTRY: dict[str, tuple[dict[str, Any], str, str]] = {
    "its own domain": ({}, "allow", "token_verified"),
    "another tenant's domain": (
        {"reason": "tenant_mismatch", "detail": "the host belongs to another tenant"},
        "deny",
        "tenant_mismatch",
    ),
    "another tenant's route": (
        {"reason": "tenant_mismatch", "detail": "the route belongs to another tenant"},
        "allow",
        "token_verified",
    ),
    "expired before anybody looked": (
        {"reason": "token_expired", "inputs": with_inputs(exp=NOW + 10)},
        "unknown",
        "registry",
    ),
}


@pytest.mark.parametrize("what", BY_REGISTRY)
def test_whose_a_host_is_by_the_registry_is_as_it_was(what: str) -> None:
    changes, access, said = BY_REGISTRY[what]
    text = put(("routes:\n", REGISTRY), ("keys: {revocations: {path: iam/revoked}}\n", ""))(POLICY)
    found = Decider(parse_config(text, "test")).predict(line(**HOST, **changes))
    assert found.access == access, found
    assert said in (found.reason if access != "unknown" else "; ".join(found.open))


def test_an_origin_may_be_a_tenants_of_the_registry() -> None:
    text = put(
        ("routes:\n", REGISTRY), ('["https://page.example"]', '["https://{tenant_domain}"]')
    )(POLICY)
    decider = Decider(parse_config(text, "test"))
    inputs = RecordedInputs(origin="https://shop.customer.example", announced="GET")
    asked = {"method": "OPTIONS", "path": "/page/x", "tenant": "", "inputs": inputs}
    found = [
        decider.predict(line(reason=reason, **asked)).access
        for reason in ("preflight", "origin_not_allowed", "token_missing")
    ]
    assert found == ["allow", "deny", "unknown"]


def test_a_line_without_inputs_says_what_its_fields_say() -> None:
    denied = put(("keys: {", "keys: {denied_kids: [main], "))(POLICY)
    found = Decider(parse_config(denied, "test")).predict(line(inputs=NO_INPUTS))
    assert (found.access, found.reason) == ("deny", "key_unknown")
