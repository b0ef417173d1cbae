"""Secrets as Envoy's protobuf.

A resource is encoded once when it changes, and every stream sends the same bytes.

``version`` must change with the content and be the same for the same content in every
process; otherwise a reconnecting Envoy is sent what it has or, worse, not sent what it lacks.
It is a serial, a digest of public content, or the version of an entry in Vault; never a digest
of a password.
"""

from collections.abc import Mapping, Sequence

from sidecar.common.errors import Fault
from sidecar.pb import sds_pb2 as pb
from sidecar.sds.subscription import Resource

SDS_TYPE_URL = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
TICKET_KEY_BYTES = 80
"""The length that Envoy requires of a session-ticket key (``TlsSessionTicketKeys.keys``)."""


class ResourceFault(Fault):
    """Envoy would not accept the secret."""


def tls_certificate(name: str, version: str, chain_pem: bytes, key_pem: bytes) -> Resource:
    """Encode a certificate with its private key (``Secret.tls_certificate``)."""
    certificate = pb.TlsCertificate(
        certificate_chain=_inline(chain_pem), private_key=_inline(key_pem)
    )
    return _resource(version, pb.Secret(name=name, tls_certificate=certificate))


def validation_context(
    name: str,
    version: str,
    bundle_pem: bytes,
    *,
    uris: Sequence[str] = (),
    dns_names: Sequence[str] = (),
    addresses: Sequence[str] = (),
    uri_patterns: Sequence[str] = (),
    spki_pins: Sequence[str] = (),
    crl_pem: bytes | None = None,
    only_leaf_crl: bool = False,
) -> Resource:
    """Encode how peers are verified (``Secret.validation_context``).

    ``bundle_pem`` holds the roots; two during a CA's rotation. A peer must carry one of
    ``uris`` (SPIFFE IDs), ``dns_names`` or ``addresses`` as SAN, exactly, or a URI that one of the
    ``uri_patterns`` (RE2) matches whole, if there are any; and one of ``spki_pins`` (base64 of the
    SHA-256 of the key, RFC 7469), if there are any. CRLs must cover every CA of the chain, or with
    ``only_leaf_crl`` the peer's issuer: Envoy refuses chains for which it has none.
    """
    kinds = pb.SubjectAltNameMatcher
    wanted = [
        *((kinds.URI, pb.StringMatcher(exact=uri)) for uri in uris),
        *(
            (kinds.URI, pb.StringMatcher(safe_regex=pb.RegexMatcher(regex=pattern)))
            for pattern in uri_patterns
        ),
        *((kinds.DNS, pb.StringMatcher(exact=name)) for name in dns_names),
        *((kinds.IP_ADDRESS, pb.StringMatcher(exact=each)) for each in addresses),
    ]
    context = pb.CertificateValidationContext(
        trusted_ca=_inline(bundle_pem),
        match_typed_subject_alt_names=[
            pb.SubjectAltNameMatcher(san_type=kind, matcher=matcher) for kind, matcher in wanted
        ],
        verify_certificate_spki=list(spki_pins),
        crl=_inline(crl_pem) if crl_pem is not None else None,
        only_verify_leaf_cert_crl=only_leaf_crl,
    )
    return _resource(version, pb.Secret(name=name, validation_context=context))


def session_ticket_keys(name: str, version: str, keys: Sequence[bytes]) -> Resource:
    """Encode session-ticket keys (``Secret.session_ticket_keys``).

    The first encrypts, all decrypt. Raises ``ResourceFault`` for a key of another length.
    """
    if not keys or any(len(key) != TICKET_KEY_BYTES for key in keys):
        raise ResourceFault(
            f"{name}: session-ticket keys must be one or more of {TICKET_KEY_BYTES} bytes each"
        )
    secret = pb.TlsSessionTicketKeys(keys=[_inline(key) for key in keys])
    return _resource(version, pb.Secret(name=name, session_ticket_keys=secret))


def generic_secret(name: str, version: str, secrets: Mapping[str, bytes]) -> Resource:
    """Encode named values (``Secret.generic_secret``): one under ``""`` is *the* secret."""
    named = {key: _inline(value) for key, value in secrets.items() if key}
    single = _inline(secrets[""]) if "" in secrets else None
    secret = pb.GenericSecret(secret=single, secrets=named)
    return _resource(version, pb.Secret(name=name, generic_secret=secret))


def _inline(content: bytes) -> pb.DataSource:
    return pb.DataSource(inline_bytes=content)


def _resource(version: str, secret: pb.Secret) -> Resource:
    # Named values in one order: equal content has equal bytes.
    return Resource(secret.name, version, secret.SerializeToString(deterministic=True))
