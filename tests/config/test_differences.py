"""What differs between two configurations apart from routes, and what it does to access."""

import re

import pytest

from sidecar.config.difference import Effect
from sidecar.config.differences import judged_settings, setting_differences
from sidecar.config.load import parse_config
from tests.config.documents import MINIMAL
from tests.config.walking import settings

ONE = "7f1c9a52-3f0e-4c8e-9f3b-0d7a8f5d2c11"
LISTEN = "listen: {sds: {address: 'unix:/run/s'}}\n"


def found(old: str, new: str) -> list[tuple[str, str, str]]:
    differences = setting_differences(parse_config(old, "old"), parse_config(new, "new"))
    return [(each.effect.word, each.where, each.text) for each in differences]


def more(text: str) -> str:
    return MINIMAL + text + "\n"


ISSUER = "tokens.issuers[https://iam.example]"


def of_issuer(settings: str) -> str:
    return MINIMAL.replace("[https://api.example]", f"[https://api.example], {settings}")


WORDS = f"claims: {{tenant: {{path: org, tenants: {{acme: {ONE}}}}}}}"
STORED = "claims: {tenant: {tenants_from: {path: b, poll_seconds: 10}}}"
ISSUERS = [
    ("algorithms: [ES256]", "algorithms: [ES256, RS256]", "widens", "algorithms", "gains RS256"),
    ("types: [JWT]", "types: [JWT, absent]", "widens", "types", "gains absent"),
    ("pii: {}", "pii: {allowed: [email]}", "widens", "pii.allowed", "gains email"),
    ("pii: {}", "tolerate_headers: [x5t]", "widens", "tolerate_headers", "gains x5t"),
    ("pii: {}", "require: [sub, iat, jti]", "widens", "require", "loses nbf"),
    ("pii: {}", "require: [sub, iat, jti, nbf, scp]", "narrows", "require", "gains scp"),
    ("pii: {}", "audience_claim: azp", "widens", "audience_claim", "was aud, is azp"),
    ("pii: {}", "claims: {}", "widens", "claims", "is set"),
    (WORDS, WORDS.replace(f"acme: {ONE}", f"acme: {ONE}, b: {ONE}"), "widens",
     "claims.tenant.tenants.b", "is added"),
    ("claims: {tenant: {}}", "claims: {tenant: {tenants_from: {path: a}}}", "widens",
     "claims.tenant.tenants_from", "is set"),
    (STORED, STORED.replace("path: b", "path: c"), "widens",
     "claims.tenant.tenants_from.path", "was b, is c"),
    (STORED, STORED.replace("10", "5"), "narrows",
     "claims.tenant.tenants_from.poll_seconds", "was 10, is 5"),
    ("claims: {}", "claims: {user: oid}", "widens", "claims.user", "was sub, is oid"),
    ("claims: {roles: [{path: a}]}", "claims: {roles: [{path: a}, {path: b}]}", "widens",
     "claims.roles[1]", "is added"),
]  # fmt: skip
TENANT = f"tenants: [{{tenant_id: {ONE}, domain: a.example}}]"
OWN = TENANT.replace("a.example", "a.example, limit: {requests: 4}")
LIMITED = more("limits: {tenant: {requests: 9}, token: {requests: 8}}")
LOGIN = "login: {account_json: /mail, attempts: {requests: 5, per_seconds: 60}}"


def of_route(limits: str) -> str:
    routes = MINIMAL.replace("path_prefix: /", f"path: /, methods: [POST], limits: {{{limits}}}")
    return routes + "limits: {}\n"


CASES = [
    (MINIMAL, MINIMAL.replace("[https://api.example]", "[https://api.example, b]"),
     ("widens", f"{ISSUER}.audiences", "gains b")),
    (MINIMAL, MINIMAL.replace("[https://api.example]", "[b]"),
     ("widens", f"{ISSUER}.audiences", "gains b and loses https://api.example")),
    (MINIMAL, MINIMAL.replace("issuers: [", "issuers: [{issuer: x, audiences: [a]}, "),
     ("widens", "tokens.issuers[x]", "is added")),
    (MINIMAL, MINIMAL.replace("audiences", "keys: {mount: kv}, audiences"),
     ("widens", f"{ISSUER}.keys.mount", "was secret, is kv")),
    (MINIMAL, MINIMAL.replace("audiences", "keys: {source: jwks, url: 'https://k'}, audiences"),
     ("widens", f"{ISSUER}.keys", "was source vault_kv, is source jwks")),
    *(
        (of_issuer(before), of_issuer(after), (effect, f"{ISSUER}.{where}", said))
        for before, after, effect, where, said in ISSUERS
    ),
    (MINIMAL, MINIMAL.replace("tokens:", "tokens:\n  dpop: {ports: [443, 8443]}"),
     ("widens", "tokens.dpop.ports", "gains 8443")),
    (MINIMAL, MINIMAL.replace("tokens:", "tokens:\n  dpop: {nonce: required}"),
     ("narrows", "tokens.dpop.nonce", "was off, is required")),
    (MINIMAL, MINIMAL.replace("tokens:", "tokens:\n  dpop: {max_age_seconds: 90}"),
     ("widens", "tokens.dpop.max_age_seconds", "was 60, is 90")),
    (MINIMAL, more("keys: {when_degraded: refuse}"),
     ("narrows", "keys.when_degraded", "was verify, is refuse")),
    (MINIMAL, more("keys: {denied_kids: [k]}"), ("narrows", "keys.denied_kids", "gains k")),
    (more("keys: {revocations: {}}"), MINIMAL,
     ("widens", "keys.revocations", "is no longer set")),
    (MINIMAL, more("keys: {dual_key_seconds: 1000}"),
     ("widens", "keys.dual_key_seconds", "was 930, is 1000")),
    (MINIMAL, more("headers: {remove_from_request: [x-a]}"),
     ("narrows", "headers.remove_from_request", "gains x-a")),
    (MINIMAL, more("headers: {keep_overrides: [x-real-ip]}"),
     ("widens", "headers.keep_overrides", "gains x-real-ip")),
    (MINIMAL, more(TENANT), ("narrows", f"tenants[{ONE}]", "is added")),
    (more(TENANT), more(TENANT.replace("a.example", "b.example")),
     ("widens", f"tenants[{ONE}].domain", "was a.example, is b.example")),
    (more(LISTEN + "trust_bundles: [{name: t, peers: [a.example]}]"),
     more(LISTEN + "trust_bundles: [{name: t}]"),
     ("widens", "trust_bundles[t].peers", "loses a.example")),
    (more("limits: {}"), more("limits: {}").replace(
        "path_prefix: /", "path_prefix: /, limits: {tenant: {requests: 5}}"),
     ("narrows", "routes[api].limits", "is set")),
    (LIMITED, LIMITED.replace("{requests: 9}", "{requests: 90}"),
     ("widens", "limits.tenant.requests", "was 9, is 90")),
    (LIMITED, LIMITED.replace("{requests: 9}", "{requests: 9, burst: 10}"),
     ("widens", "limits.tenant.burst", "was 9, is 10")),
    (LIMITED, LIMITED.replace(", token: {requests: 8}", ""),
     ("widens", "limits.token", "is no longer set")),
    (LIMITED, MINIMAL, ("widens", "limits", "is no longer set")),
    (of_route("token: {requests: 7, per_seconds: 60}"),
     of_route("token: {requests: 7, per_seconds: 6}"),
     ("widens", "routes[api].limits.token.per_seconds", "was 60, is 6")),
    (of_route("total: {requests: 7}"), of_route("total: {requests: 7, shadow: true}"),
     ("widens", "routes[api].limits.total.shadow", "was false, is true")),
    (of_route(LOGIN), of_route(LOGIN.replace("requests: 5", "requests: 6")),
     ("widens", "routes[api].limits.login.attempts.requests", "was 5, is 6")),
    (of_route(LOGIN), of_route(LOGIN.replace("/mail", "/user")),
     ("widens", "routes[api].limits.login.account_json", "was /mail, is /user")),
    (of_route(LOGIN + ", total: {requests: 7}"), of_route("total: {requests: 7}"),
     ("widens", "routes[api].limits.login", "is no longer set")),
    (more("limits: {redis: {address: '127.0.0.1:1'}}"), more("limits: {}"),
     ("widens", "limits.redis", "is no longer set")),
    (more("limits: {}"), more("limits: {tenants_from: {}}"),
     ("widens", "limits.tenants_from", "is set")),
    (more("limits: {}\n" + OWN), more("limits: {}\n" + OWN.replace("4}", "5}")),
     ("widens", f"tenants[{ONE}].limit.requests", "was 4, is 5")),
    (MINIMAL, more("log: {level: debug}"), ("other", "log.level", "was info, is debug")),
    (MINIMAL, more("alerts: {webhook: {url: 'https://h/S', secret_file: /s}}"),
     ("other", "alerts.webhook", "is set")),
    (more("alerts: {webhook: {url: 'https://h/S', secret_file: /s}}"),
     more("alerts: {webhook: {url: 'https://h/T', secret_file: /s}}"),
     ("other", "alerts.webhook.url", "is another one (not shown)")),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "said"), CASES, ids=[case[2][1] for case in CASES])
def test_a_difference_and_its_effect(old: str, new: str, said: tuple[str, str, str]) -> None:
    assert found(old, new) == [said]


@pytest.mark.parametrize(("old", "new", "said"), CASES, ids=[case[2][1] for case in CASES])
def test_the_way_back_does_not_have_the_same_effect_alone(
    old: str, new: str, said: tuple[str, str, str]
) -> None:
    """What widens one way narrows the other, but where what is believed changes."""
    ((effect, where, _),) = found(new, old)
    if effect == said[0] == "widens":
        assert re.search(r"keys|domain|audience|claims|account_json|tenants_from", where)


def test_an_issuers_own_times_are_held_against_those_of_all() -> None:
    own = of_issuer("max_lifetime_seconds: 3600, leeway_seconds: 0")
    assert found(MINIMAL, own) == [
        ("widens", f"{ISSUER}.max_lifetime_seconds", "was 900, is 3600"),
        ("narrows", f"{ISSUER}.leeway_seconds", "was 30, is 0"),
        ("widens", "keys.dual_key_seconds", "was 930, is 3600"),
    ]


def test_a_longer_life_makes_a_replaced_key_live_longer_too() -> None:
    differs = found(MINIMAL, MINIMAL + "") or found(
        MINIMAL, MINIMAL.replace("tokens:", "tokens:\n  max_lifetime_seconds: 1000")
    )
    assert differs == [
        ("widens", "tokens.max_lifetime_seconds", "was 900, is 1000"),
        ("widens", "keys.dual_key_seconds", "was 930, is 1030"),
    ]


def test_the_order_of_entries_is_none_of_access() -> None:
    a, b = (f"{{name: {name}, type: vault_pki, role: r}}" for name in "ab")
    assert found(more(f"issuers: [{a}, {b}]"), more(f"issuers: [{b}, {a}]")) == [
        ("other", "issuers", "has another order")
    ]


def test_every_row_of_the_table_is_the_path_of_settings() -> None:
    paths = {path for path, _ in settings()}
    for form in judged_settings():
        assert any(re.fullmatch(form, path) for path in paths), form


def test_effects_are_in_the_order_of_their_weight() -> None:
    assert sorted(Effect) == [Effect.OTHER, Effect.NARROWS, Effect.WIDENS]
