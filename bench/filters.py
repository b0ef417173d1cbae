"""The HTTP filters of Envoy that the bench compares with the decision cache.

``decision_cache`` is read from the shipped ``envoy/edge-cached.yaml``; ``same_job`` is made of
the sidecar's own answer, so that it removes and sets the same headers.
"""

import copy

from bench.envoys import Config, ext_authz, jwt_authn, typed
from bench.material import Material
from demo.envoyproxy import shipped_config
from sidecar.pb import ext_authz_pb2 as pb

_CACHE = "septem.decision_cache"
_CLAIMS = "claims"
_AS_TOKEN_HAS = {
    "x-tenant-id": "tenantId",
    "x-user-id": "sub",
    "x-token-id": "jti",
    "x-roles": "roles",
}


def decision_cache(socket: str, **settings: int) -> list[Config]:
    """Write the module's filter, and ext_authz behind it, as envoy/edge-cached.yaml has them.

    ``settings`` are the module's own: ``entries``, ``bytes``.
    """
    module = _shipped(_CACHE)
    words = [f"socket={socket}", *(f"{name}={value}" for name, value in settings.items())]
    module["typed_config"]["filter_config"]["value"] = ";".join(words)
    asked = _shipped("envoy.filters.http.ext_authz")["typed_config"]
    return [module, *ext_authz(filter_enabled_metadata=asked["filter_enabled_metadata"])]


def same_job(material: Material, answer: bytes) -> list[Config]:
    """Write Envoy's own filters that do of the sidecar's job what they can.

    ``header_mutation`` removes and sets what this answer does, ``jwt_authn`` with its token cache
    verifies and hands the claims on, ``rbac`` wants a tenant. There is no audit line, no
    revocation and no metadata for the access log.
    """
    ok = pb.CheckResponse.FromString(answer).ok_response
    mutation = typed(
        "filters.http.header_mutation.v3.HeaderMutation",
        mutations={
            "request_mutations": [
                {"remove": name} for name in (*ok.headers_to_remove, *_AS_TOKEN_HAS)
            ],
            "response_mutations": [
                {
                    "append": {
                        "header": {"key": each.header.key, "value": each.header.value.decode()},
                        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
                    }
                }
                for each in ok.response_headers_to_add
            ],
        },
    )
    (authn,) = jwt_authn(material, cached=True)
    authn["typed_config"]["providers"]["iam"] |= {
        "payload_in_metadata": _CLAIMS,
        "claim_to_headers": [
            {"header_name": header, "claim_name": claim} for header, claim in _AS_TOKEN_HAS.items()
        ],
    }
    tenant = {
        "filter": "envoy.filters.http.jwt_authn",
        "path": [{"key": _CLAIMS}, {"key": "tenantId"}],
        "value": {"string_match": {"safe_regex": {"regex": ".+"}}},
    }
    policy = {
        "permissions": [{"url_path": {"path": {"prefix": "/api"}}}],
        "principals": [{"metadata": tenant}],
    }
    access = typed("filters.http.rbac.v3.RBAC", rules={"policies": {"api": policy}})
    return [
        {"name": "envoy.filters.http.header_mutation", "typed_config": mutation},
        authn,
        {"name": "envoy.filters.http.rbac", "typed_config": access},
    ]


def _shipped(name: str) -> Config:
    for listener in shipped_config("edge-cached.yaml")["static_resources"]["listeners"]:
        if listener["name"] == "https":
            manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
            (found,) = [each for each in manager["http_filters"] if each["name"] == name]
            part: Config = copy.deepcopy(found)
            return part
    raise ValueError(f"envoy/edge-cached.yaml has no filter {name}")
