"""What certbot's ``acme`` library lacks: orders with ``replaces``, tls-alpn-01, the id of ARI."""

from typing import Any

from acme import challenges, messages
from cryptography import x509
from josepy.json_util import field as json_field
from josepy.jwk import JWKEC

from sidecar.certificates.challenges.challenge_list import DNS, HTTP, TLS_ALPN
from sidecar.common.base64url import encode_base64url


class OrderWithReplaces(messages.NewOrder):
    """A new order with ``replaces`` (RFC 9773 §5): CAs exempt such orders from rate limits."""

    replaces: str = json_field("replaces", omitempty=True)


@challenges.ChallengeResponse.register
class TlsAlpnResponse(challenges.KeyAuthorizationChallengeResponse):
    """The message that tls-alpn-01 is ready (RFC 8737 §3)."""

    typ = TLS_ALPN


@challenges.Challenge.register
class TlsAlpn(challenges.KeyAuthorizationChallenge):
    """A challenge of tls-alpn-01, which the library no longer has."""

    response_cls = TlsAlpnResponse
    typ = TLS_ALPN

    def validation(self, account_key: JWKEC, **_: Any) -> str:
        """Return the key authorization; ``challenges.tls_alpn01`` makes the certificate from it."""
        return str(self.key_authorization(account_key))


_CLASSES = {HTTP: challenges.HTTP01, TLS_ALPN: TlsAlpn, DNS: challenges.DNS01}


def challenge_of(
    authorization: messages.AuthorizationResource, kind: str
) -> messages.ChallengeBody | None:
    """Return the challenge of a kind that an authorization offers; ``None`` if it has none."""
    wanted = _CLASSES[kind]
    for offered in authorization.body.challenges:
        if isinstance(offered.chall, wanted):
            return offered
    return None


def certificate_id(chain_pem: bytes) -> str | None:
    """Return the ARI identifier of a certificate (RFC 9773 §4.1); ``None`` if it has none."""
    leaf = x509.load_pem_x509_certificate(chain_pem)
    try:
        extension = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
    except x509.ExtensionNotFound:
        return None
    issuer = extension.value.key_identifier
    if issuer is None:
        return None
    serial = leaf.serial_number.to_bytes(leaf.serial_number.bit_length() // 8 + 1, "big")
    return f"{encode_base64url(issuer)}.{encode_base64url(serial)}"
