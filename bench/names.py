"""Names that clients and servers of the bench share; importing this costs a server nothing."""

ISSUER, AUDIENCE = "https://iam.septemcore.com", "https://api.septemcore.com"
CHECK_SERVICE = "envoy.service.auth.v3.Authorization"
CHECK_PATH = f"/{CHECK_SERVICE}/Check"
