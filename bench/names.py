"""Names that tokens and servers of the bench share; importing this costs a server nothing."""

ISSUER, AUDIENCE = "https://iam.septemcore.com", "https://api.septemcore.com"
LEASES = "leases.sock"
"""The socket of leases, in the folder of a run."""
