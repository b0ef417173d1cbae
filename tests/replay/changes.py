"""Kinds of changes of a policy, each as it would be made in the file."""

from collections.abc import Callable

from tests.replay.traffic import IDP, OTHER_TENANT
from tests.support.minting import ISSUER, TENANT

Change = Callable[[str], str]


def put(*pairs: tuple[str, str]) -> Change:
    """Return a change of texts, each of which must be there."""

    def change(text: str) -> str:
        for before, after in pairs:
            assert before in text, before
            text = text.replace(before, after, 1)
        return text

    return change


def _without_issuer(issuer: str) -> Change:
    def change(text: str) -> str:
        begin = text.index(f"    - issuer: {issuer}")
        ends = [text.find(mark, begin + 9) for mark in ("    - issuer:", "routes:")]
        return text[:begin] + text[min(end for end in ends if end > 0) :]

    return change


FIRST = "routes:\n"
CHANGES: dict[str, Change] = {
    "nothing": put(),
    # Routes.
    "a role more": put(("roles: [admin]", "roles: [admin, owner]")),
    "another role": put(("roles: [admin]", "roles: [owner]")),
    "no role": put(("roles: [admin], ", "")),
    "roles on every route": put(
        ("name: api, path_prefix: /api,", "name: api, path_prefix: /api, roles: [editor],")
    ),
    "a scope more": put(("scopes: [write]", "scopes: [write, admin]")),
    "no scope": put((", scopes: [write]", "")),
    "a scope on the api": put(("csp: api}", "csp: api, scopes: [write]}")),
    "a method less": put(("[GET, DELETE]", "[DELETE]")),
    "no HEAD with GET": put(
        ("methods: [GET, DELETE]", "methods: [GET, DELETE], head_with_get: false")
    ),
    "a route less": put(("  - {name: shell, path: /}\n", "")),
    "the api gone": put(("  - {name: api, path_prefix: /api, csp: api}\n", "")),
    "a route more": put((FIRST, FIRST + "  - {name: beta, path_prefix: /beta}\n")),
    "a public route more": put(
        (FIRST, FIRST + "  - {name: beta, path_prefix: /beta, auth: none}\n")
    ),
    "a stricter route before": put(
        (FIRST, FIRST + "  - {name: first, path_prefix: /public, roles: [owner]}\n")
    ),
    "a route renamed": put(("name: api,", "name: api-v2,")),
    "public no more": put(("path_prefix: /public, auth: none", "path_prefix: /public")),
    "optional no more": put(("path_prefix: /either, auth: optional", "path_prefix: /either")),
    "optional where required": put(("path_prefix: /acme,", "path_prefix: /acme, auth: optional,")),
    "the api public": put(("path_prefix: /api, csp", "path_prefix: /api, auth: none, csp")),
    "everything in shadow": put(
        ("csp: api}", "csp: api, shadow: true}"), ("roles: [admin]", "roles: [admin], shadow: true")
    ),
    "shadow no more": put(("shadow: true, roles: [owner]", "roles: [owner]")),
    "exact paths": put(("methods: [GET, DELETE]", "methods: [GET, DELETE], path_reading: exact")),
    "another host alone": put(("csp: api}", "csp: api, hosts: [other.example]}")),
    "every subdomain": put(("csp: api}", 'csp: api, hosts: ["*.septemcore.com"]}')),
    # Tenants.
    "another tenant's route": put((f"/acme, tenant: {TENANT}", f"/acme, tenant: {OTHER_TENANT}")),
    "nobody's route": put((f"path_prefix: /acme, tenant: {TENANT}", "path_prefix: /acme")),
    "another tenant's domain": put(
        (f"tenant_id: {TENANT}, domain", f"tenant_id: {OTHER_TENANT}, domain")
    ),
    "nobody's domain": put(("domain: shop.acme.example", "domain: other.acme.example")),
    # Where tokens are.
    "cookies alone": put(('["cookie:session", header]', '["cookie:session"]')),
    "the header alone": put(('["cookie:session", header]', "[header]")),
    "another cookie": put(('["cookie:session", header]', '["cookie:sid", header]')),
    "a cookie more on the api": put(
        ("csp: api}", 'csp: api, token_from: [header, "cookie:session"]}')
    ),
    "the socket by header": put(("token_from: [websocket]", "token_from: [header]")),
    # Clients and binding.
    "another client": put(("spiffe://example/web", "spiffe://example/app")),
    "strangers let in": put(("spiffe://example/other", "spiffe://example/web")),
    "clients on the api": put(("csp: api}", 'csp: api, clients: ["spiffe://example/app"]}')),
    "a client by name": put(("spiffe://example/*", "web.example")),
    "no binding": put((", binding: {by: [dpop]}", "")),
    "unbound too": put(("binding: {by: [dpop]}", "binding: {by: [dpop], unbound: accept}")),
    "by certificate": put(("binding: {by: [dpop]}", "binding: {by: [certificate]}")),
    "binding required": put((", unbound: accept", "")),
    "the api bound": put(("csp: api}", "csp: api, binding: {by: [certificate], unbound: accept}}")),
    "shorter proofs": put(("tokens:\n", "tokens:\n  dpop: {max_age_seconds: 10}\n")),
    # Tokens.
    "an audience less": put((', "https://b.example"]', "]")),
    "an audience more": put(('"https://b.example"]', '"https://b.example", "https://c.example"]')),
    "an algorithm less": put(("[ES256, ES384]", "[ES256]")),
    "at+jwt alone": put(
        ("tolerate_headers: [x5t]", "tolerate_headers: [x5t]\n      types: [at+jwt]")
    ),
    "JWT alone": put(("tolerate_headers: [x5t]", "tolerate_headers: [x5t]\n      types: [JWT]")),
    "no x5t": put(("      tolerate_headers: [x5t]\n", "")),
    "x5c": put(("tolerate_headers: [x5t]", "tolerate_headers: [x5t, kty]")),
    "a longer life": put(("tokens:\n", "tokens:\n  max_lifetime_seconds: 10000\n")),
    "a shorter life": put(("tokens:\n", "tokens:\n  max_lifetime_seconds: 300\n")),
    "no leeway": put(("tokens:\n", "tokens:\n  leeway_seconds: 0\n")),
    "much leeway": put(("tokens:\n", "tokens:\n  leeway_seconds: 200\n")),
    "smaller tokens": put(("max_token_bytes: 4096", "max_token_bytes: 1024")),
    "larger tokens": put(("max_token_bytes: 4096", "max_token_bytes: 16384")),
    "nbf not needed": put(("tokens:\n", "tokens:\n  require_nbf: false\n")),
    "acr needed": put(("[sub, iat, exp]", "[sub, iat, exp, acr]")),
    "no personal data": put(("tokens:\n", "tokens:\n  pii: {by_value: deny}\n")),
    "any personal data": put(("tokens:\n", "tokens:\n  pii: {by_name: off, by_value: off}\n")),
    "personal data with a warning": put(("tokens:\n", "tokens:\n  pii: {by_name: warn}\n")),
    "an e-mail address allowed": put(
        ("tolerate_headers: [x5t]", "tolerate_headers: [x5t]\n      pii: {allowed: [email]}")
    ),
    # Issuers and keys.
    "the second issuer gone": _without_issuer(IDP),
    "the first issuer gone": _without_issuer(ISSUER),
    "a retired key": put(("keys: {", "keys: {denied_kids: [retired], ")),
    "the main key denied": put(("keys: {", "keys: {denied_kids: [main], ")),
    "a tenant more": put(("{acme:", f"{{third: {TENANT[:-1]}9, acme:")),
    "a tenant's word": put(("{acme:", "{acme-inc:")),
    "a tenant less": put((f", other: {OTHER_TENANT}", "")),
    "another prefix": put(("prefix: app-, strip_prefix: true, ", "")),
    "roles must be there": put((", optional: true", "")),
    "no revocations": put(("keys: {revocations: {path: iam/revoked}}\n", "")),
    # CORS.
    "another page": put(('origins: ["https://page.example"]', 'origins: ["https://new.example"]')),
    "every page": put(('origins: ["https://page.example"]', 'origins: ["*"]')),
    "no page": put((", cors: pages", "")),
    "pages of the api": put(("csp: api}", "csp: api, cors: pages}")),
}
