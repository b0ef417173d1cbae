"""Names that tokens and servers of the bench share; importing this costs a server nothing."""

ISSUER, AUDIENCE = "https://iam.septemcore.com", "https://api.septemcore.com"
