"""Tokens in the shapes of twelve identity providers, made by ourselves, and the settings for each.

The claims are those of the providers' documentation (or seen, for Keycloak, Hydra and
Kubernetes); every name and number in them is made up.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.support.minting import NOW, TENANT

_G = "0b54aa25-5d26-4d5e-8f2b-5a0e0d4f7a11"
N = int(NOW)
TID = "3f8c1d6e-97a4-4a57-9b7d-61d3a2c4e5f6"


@dataclass(frozen=True)
class Shape:
    """One provider's access token, and what an operator writes for it."""

    name: str
    issuer: str
    settings: str
    """Of ``tokens.issuers[]``, in YAML's flow style, without issuer and keys."""
    refused: str
    """Why it is refused while nothing but the issuer and its audience is configured."""
    claims: Mapping[str, Any]
    header: Mapping[str, Any] = field(default_factory=dict)
    algorithm: str = "RS256"
    user: str = _G
    roles: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    token_id: str = ""
    """Empty where the token has none and gets its digest."""

    @property
    def audience(self) -> str:
        """An audience of the token, for a configuration that says nothing else."""
        aud = self.claims.get("aud", "none")
        return str(aud[0] if isinstance(aud, list) else aud)

    @property
    def payload(self) -> dict[str, Any]:
        """The claims with the issuer."""
        return {"iss": self.issuer, **self.claims}

    @property
    def head(self) -> dict[str, Any]:
        """The header; without ``typ`` unless the provider sends one."""
        return {"alg": self.algorithm, "kid": "key-1", **self.header}


_JWT = {"typ": "JWT"}
_KEYCLOAK = "https://id.example/realms/acme"


def _table(word: str) -> str:
    return f"tenants: {{{word}: {TENANT}}}"


SHAPES = (
    Shape(
        "Keycloak, a user",
        _KEYCLOAK,
        "audiences: [account], algorithms: [RS256], require: [sub, iat, jti], "
        f"claims: {{tenant: {{path: organization, type: keys, {_table('acme')}}}, "
        "roles: [{path: realm_access.roles}, {path: resource_access.api.roles, optional: true}]}, "
        "pii: {allowed: [email]}",
        "algorithm_not_allowed",
        {
            "exp": N + 300, "iat": N, "auth_time": N, "jti": "onrtac:5a0e0d4f", "aud": "account",
            "sub": _G, "typ": "Bearer", "azp": "app", "sid": "s-1", "acr": "1",
            "allowed-origins": ["https://app.example"],
            "realm_access": {"roles": ["offline_access", "editor"]},
            "resource_access": {"api": {"roles": ["writer"]}, "account": {"roles": ["view"]}},
            "scope": "profile email", "email_verified": True, "name": "A",
            "preferred_username": "alice", "email": "a@example.org", "organization": {"acme": {}},
        },
        _JWT,
        roles=("offline_access", "editor", "writer"),
        scopes=("profile", "email"),
        token_id="onrtac:5a0e0d4f",
    ),
    Shape(
        "Keycloak, ES256 and an organization with an id",
        _KEYCLOAK,
        "audiences: [account], require: [sub, iat, jti], "
        f"claims: {{tenant: {{path: organization.*.id, {_table('42a1')}}}, roles: []}}",
        "claim_missing",
        {
            "exp": N + 300, "iat": N, "jti": "trrtcc:1", "aud": ["account", "x"], "sub": _G,
            "typ": "Bearer", "azp": "svc", "scope": "profile", "client_id": "svc",
            "organization": {"acme": {"id": "42a1"}},
        },
        {"typ": "at+jwt"},
        "ES256",
        scopes=("profile",),
        token_id="trrtcc:1",
    ),
    Shape(
        "Auth0, the default profile",
        "https://acme.eu.auth0.example/",
        "audiences: ['https://api.example'], algorithms: [RS256], types: [JWT], "
        "max_lifetime_seconds: 86400, require: [sub, iat, azp], "
        f"claims: {{tenant: {{path: org_id, {_table('org_9ybsU1dN2dKfDkBi')}}}, "
        "roles: [{path: permissions}]}",
        "algorithm_not_allowed",
        {
            "sub": "auth0|123456", "aud": ["https://api.example", "https://acme.example/userinfo"],
            "iat": N, "exp": N + 86400, "azp": "c1", "scope": "openid profile",
            "org_id": "org_9ybsU1dN2dKfDkBi", "permissions": ["read:a", "write:a"],
        },
        _JWT,
        user="auth0|123456",
        roles=("read:a", "write:a"),
        scopes=("openid", "profile"),
    ),
    Shape(
        "Auth0, the profile of RFC 9068 and a namespaced claim",
        "https://acme.eu.auth0.example/",
        "audiences: ['https://api.example'], algorithms: [RS256], types: [at+jwt], "
        "max_lifetime_seconds: 86400, require: [sub, iat, jti, client_id], "
        "claims: {tenant: {path: '\"https://acme.example/tenant\"', any: true}}",
        "algorithm_not_allowed",
        {
            "sub": "auth0|123456", "aud": "https://api.example", "iat": N, "exp": N + 86400,
            "client_id": "c1", "jti": "73WakrfVbNJBaAmhQtEeDv", "scope": "openid",
            "https://acme.example/tenant": TENANT,
        },
        {"typ": "at+jwt"},
        user="auth0|123456",
        scopes=("openid",),
        token_id="73WakrfVbNJBaAmhQtEeDv",
    ),
    Shape(
        "Entra, v2, a user",
        f"https://login.microsoftonline.com/{TID}/v2.0",
        f"audiences: [{_G}], algorithms: [RS256], types: [JWT], max_lifetime_seconds: 5400, "
        "require: [sub, iat, nbf, jti, scp], "
        f"claims: {{tenant: {{path: tid, {_table(TID)}}}, user: oid, jti: uti, client: azp, "
        "roles: [{path: roles, optional: true}], scopes: [{path: scp, type: spaces}]}",
        "algorithm_not_allowed",
        {
            "aud": _G, "iat": N, "nbf": N, "exp": N + 4500, "aio": "AWQAm", "azp": _G,
            "azpacr": "1", "name": "A", "oid": _G, "preferred_username": "alice", "rh": "0.AX",
            "roles": ["Admin"], "scp": "access_as_user", "sub": "pairwise-1", "tid": TID,
            "uti": "u7-1", "ver": "2.0",
        },
        _JWT,
        roles=("Admin",),
        scopes=("access_as_user",),
        token_id="u7-1",
    ),
    Shape(
        "Entra, v1",
        f"https://sts.windows.net/{TID}/",
        "audiences: ['api://acme'], algorithms: [RS256], types: [JWT], "
        "max_lifetime_seconds: 5400, tolerate_headers: [x5t], require: [sub, iat, nbf, jti, scp], "
        f"pii: {{allowed: [ipaddr, upn, unique_name]}}, "
        f"claims: {{tenant: {{path: tid, {_table(TID)}}}, user: oid, jti: uti, client: appid, "
        "roles: [], scopes: [{path: scp, type: spaces}]}",
        "algorithm_not_allowed",
        {
            "aud": "api://acme", "iat": N, "nbf": N, "exp": N + 4500, "acr": "1", "amr": ["pwd"],
            "appid": _G, "appidacr": "0", "ipaddr": "203.0.113.5", "name": "A", "oid": _G,
            "scp": "x y", "sub": "p", "tid": TID, "unique_name": "a@example.org",
            "upn": "a@example.org", "uti": "u7-2", "ver": "1.0",
        },
        {**_JWT, "x5t": "dGh1bWI"},
        scopes=("x", "y"),
        token_id="u7-2",
    ),
    Shape(
        "Okta, a custom authorization server",
        "https://acme.okta.example/oauth2/aus1",
        "audiences: ['api://default'], algorithms: [RS256], types: [absent], "
        "max_lifetime_seconds: 3600, require: [sub, iat, jti, cid], "
        f"claims: {{tenant: {{path: tenant, {_table('acme')}}}, user: uid, client: cid, "
        "roles: [{path: groups, prefix: 'api-', strip_prefix: true}], "
        "scopes: [{path: scp}]}",
        "algorithm_not_allowed",
        {
            "ver": 1, "jti": "AT.x", "aud": "api://default", "iat": N, "exp": N + 3600,
            "cid": "0oa1", "uid": "00u1", "scp": ["openid", "orders"], "auth_time": N,
            "sub": "alice", "groups": ["Everyone at Acme", "api-editor"], "tenant": "acme",
        },
        user="00u1",
        roles=("editor",),
        scopes=("openid", "orders"),
        token_id="AT.x",
    ),
    Shape(
        "Cognito",
        "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_x",
        "audiences: [c1], algorithms: [RS256], types: [absent], max_lifetime_seconds: 3600, "
        "audience_claim: client_id, require: [sub, iat, jti, token_use], "
        f"claims: {{tenant: {{fixed: {TENANT}}}, "
        "roles: [{path: '\"cognito:groups\"', optional: true}]}",
        "algorithm_not_allowed",
        {
            "sub": _G, "cognito:groups": ["admin"], "version": 2, "client_id": "c1",
            "origin_jti": _G, "token_use": "access", "scope": "a/b", "auth_time": N,
            "exp": N + 3600, "iat": N, "jti": "j-1", "username": "u",
        },
        roles=("admin",),
        scopes=("a/b",),
        token_id="j-1",
    ),
    Shape(
        "Firebase, Identity Platform",
        "https://securetoken.google.com/acme-prod",
        "audiences: [acme-prod], algorithms: [RS256], types: [JWT], max_lifetime_seconds: 3600, "
        "require: [sub, iat], pii: {allowed: [email, firebase.identities.email]}, "
        f"claims: {{tenant: {{path: firebase.tenant, {_table('tenant-a1b2c')}}}, roles: [], "
        "scopes: []}",
        "algorithm_not_allowed",
        {
            "aud": "acme-prod", "auth_time": N, "user_id": "u1", "sub": "u1", "iat": N,
            "exp": N + 3600, "email": "a@example.org", "email_verified": True,
            "firebase": {
                "identities": {"email": ["a@example.org"]},
                "sign_in_provider": "password",
                "tenant": "tenant-a1b2c",
            },
        },
        _JWT,
        user="u1",
    ),
    Shape(
        "PingOne, client credentials without a user",
        f"https://auth.pingone.eu/{_G}/as",
        "audiences: ['https://api.example'], algorithms: [RS256], types: [absent, at+jwt], "
        "max_lifetime_seconds: 3600, require: [iat], "
        f"claims: {{tenant: {{path: env, {_table(TID)}}}, client: client_id, "
        "roles: [{path: '\"p1.permissions\"', optional: true}]}",
        "algorithm_not_allowed",
        {
            "client_id": "c-7", "iat": N, "exp": N + 3600, "aud": ["https://api.example"],
            "scope": "a", "env": TID, "org": _G, "p1.permissions": ["p:read"],
        },
        user="client:c-7",
        roles=("p:read",),
        scopes=("a",),
    ),
    Shape(
        "Zitadel",
        "https://acme.zitadel.example",
        "audiences: ['2165@p'], algorithms: [RS256], types: [JWT], max_lifetime_seconds: 43200, "
        "require: [sub, iat, nbf, jti, client_id], "
        "claims: {tenant: {path: '\"urn:zitadel:iam:user:resourceowner:id\"', "
        f"tenants: {{'165460784': {TENANT}}}}}, "
        "roles: [{path: '\"urn:zitadel:iam:org:project:roles\"', type: keys}]}",
        "algorithm_not_allowed",
        {
            "sub": "165460784409737834", "aud": ["2165@p"], "exp": N + 43200, "iat": N, "nbf": N,
            "client_id": "2165@p", "jti": "z-1",
            "urn:zitadel:iam:org:project:roles": {"admin": {"1654": "acme.zitadel.example"}},
            "urn:zitadel:iam:user:resourceowner:id": "165460784",
        },
        _JWT,
        user="165460784409737834",
        roles=("admin",),
        token_id="z-1",
    ),
    Shape(
        "Hydra, ES256",
        "https://hydra.example",
        "audiences: ['https://api.example'], types: [JWT], max_lifetime_seconds: 3600, "
        f"claims: {{tenant: {{path: ext.tenant, {_table('acme')}}}, roles: [], "
        "scopes: [{path: scp}]}",
        "claim_missing",
        {
            "aud": ["https://api.example"], "client_id": _G, "exp": N + 3600,
            "ext": {"tenant": "acme"}, "iat": N, "jti": "h-1", "nbf": N, "scp": ["a", "b"],
            "sub": _G,
        },
        _JWT,
        "ES256",
        scopes=("a", "b"),
        token_id="h-1",
    ),
    Shape(
        "GitHub Actions",
        "https://token.actions.githubusercontent.com",
        "audiences: ['https://github.com/acme'], algorithms: [RS256], types: [JWT], "
        "tolerate_headers: [x5t], require: [sub, iat, nbf, jti, repository_owner_id], "
        "claims: {tenant: {path: repository_owner_id, "
        f"tenants: {{'65': {TENANT}}}}}, roles: [{{path: repository, type: string}}]}}",
        "algorithm_not_allowed",
        {
            "jti": "g-1", "sub": "repo:acme/app:ref:refs/heads/main",
            "aud": "https://github.com/acme", "ref": "refs/heads/main", "repository": "acme/app",
            "repository_owner": "acme", "repository_owner_id": "65", "run_id": "1", "actor": "a",
            "nbf": N - 300, "exp": N + 300, "iat": N,
        },
        {**_JWT, "x5t": "dGh1bWI"},
        user="repo:acme/app:ref:refs/heads/main",
        roles=("acme/app",),
        token_id="g-1",
    ),
    Shape(
        "Kubernetes, a service account",
        "https://kubernetes.default.svc",
        "audiences: ['https://api.example'], algorithms: [RS256], types: [absent], "
        "max_lifetime_seconds: 3600, require: [sub, iat, nbf, jti], "
        f"claims: {{tenant: {{path: '\"kubernetes.io\".namespace', {_table('team-a')}}}, "
        "roles: [{path: '\"kubernetes.io\".serviceaccount.name', type: string}], scopes: []}",
        "algorithm_not_allowed",
        {
            "aud": ["https://api.example"], "exp": N + 3600, "iat": N, "jti": "k-1",
            "kubernetes.io": {
                "namespace": "team-a",
                "pod": {"name": "app-1", "uid": _G},
                "serviceaccount": {"name": "app", "uid": _G},
            },
            "nbf": N, "sub": "system:serviceaccount:team-a:app",
        },
        user="system:serviceaccount:team-a:app",
        roles=("app",),
        token_id="k-1",
    ),
    Shape(
        "oidc-provider, EdDSA",
        "https://op.example",
        "audiences: ['https://api.example'], algorithms: [EdDSA, PS256], types: [at+jwt], "
        "require: [sub, iat, jti, client_id], "
        f"claims: {{tenant: {{path: org, type: list, {_table('acme')}}}, client: client_id, "
        "roles: []}",
        "algorithm_not_allowed",
        {
            "jti": "o-1", "sub": "svc", "iat": N, "exp": N + 600, "scope": "api:read",
            "client_id": "svc", "aud": "https://api.example", "org": ["acme"],
        },
        {"typ": "at+jwt"},
        "EdDSA",
        user="svc",
        scopes=("api:read",),
        token_id="o-1",
    ),
)  # fmt: skip
