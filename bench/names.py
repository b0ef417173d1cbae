"""Names that tokens and servers of the bench share; importing this costs a server nothing."""

ISSUER, AUDIENCE = "https://iam.septemcore.com", "https://api.septemcore.com"
LEASES = "leases.sock"
"""The socket of leases, in the folder of a run."""

# The variants through Envoy.
NO_FILTER = "no filter"
JWT_CACHED = "jwt_authn, token cache"
SAME_JOB = "jwt_authn, token cache, rbac, header_mutation"
JWT = "jwt_authn"
CONSTANT = "ext_authz, constant reply"
ASKED = "ext_authz, sidecar"
ASKED_MANY = "ext_authz, sidecar, 4096 tokens"
REPEATED = "decision cache, repeated"
MISSED = "decision cache, 4096 tokens, each missed"
NEVER = "decision cache, of a kind never repeated"
