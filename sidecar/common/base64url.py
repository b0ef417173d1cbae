"""Base64url without padding, as JOSE and ACME write it (RFC 7515 §2).

Read it by ``sidecar.tokens.strict.decode_base64url``, which accepts one spelling only.
"""

from base64 import urlsafe_b64encode


def encode_base64url(raw: bytes) -> str:
    """Return the one spelling of these bytes."""
    return urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")
