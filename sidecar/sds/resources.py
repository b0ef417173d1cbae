"""Secrets as Envoy's protobuf, and the discovery messages that carry them.

Built with envoy-data-plane, whose import costs half a second and 16 MB: this module is
imported by a process that serves SDS and by no other. A resource is encoded once when it
changes, and sent to every stream as those bytes.
"""

from envoy_data_plane.envoy.config.core.v3 import DataSource
from envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 import (
    CertificateValidationContext,
    Secret,
    TlsCertificate,
)
from envoy_data_plane.envoy.service.discovery.v3 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    DiscoveryRequest,
    DiscoveryResponse,
)
from envoy_data_plane.envoy.service.discovery.v3 import Resource as DeltaResource
from envoy_data_plane.google.protobuf import Any

from sidecar.sds.subscription import (
    DeltaAnswer,
    DeltaRequest,
    Resource,
    SotwAnswer,
    SotwRequest,
)

SECRET_TYPE = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"  # noqa: S105


def tls_certificate(name: str, version: str, chain_pem: bytes, key_pem: bytes) -> Resource:
    """Encode a certificate with its private key (``Secret.tls_certificate``)."""
    certificate = TlsCertificate(
        certificate_chain=DataSource(inline_bytes=chain_pem),
        private_key=DataSource(inline_bytes=key_pem),
    )
    return Resource(name, version, bytes(Secret(name=name, tls_certificate=certificate)))


def trusted_ca(name: str, version: str, bundle_pem: bytes) -> Resource:
    """Encode the roots that peers are verified against (``Secret.validation_context``)."""
    context = CertificateValidationContext(trusted_ca=DataSource(inline_bytes=bundle_pem))
    return Resource(name, version, bytes(Secret(name=name, validation_context=context)))


def read_sotw(raw: bytes) -> tuple[str, str, SotwRequest]:
    """Parse a ``DiscoveryRequest``: the node's id, the type URL and the rest."""
    request = DiscoveryRequest.parse(raw)
    error = request.error_detail
    return (
        request.node.id if request.node else "",
        request.type_url,
        SotwRequest(
            names=tuple(request.resource_names),
            nonce=request.response_nonce,
            error=None if error is None else error.message,
        ),
    )


def write_sotw(answer: SotwAnswer) -> bytes:
    """Serialise a ``DiscoveryResponse``."""
    return bytes(
        DiscoveryResponse(
            version_info=answer.version,
            nonce=answer.nonce,
            type_url=SECRET_TYPE,
            resources=[_any(resource) for resource in answer.resources],
        )
    )


def read_delta(raw: bytes) -> tuple[str, str, DeltaRequest]:
    """Parse a ``DeltaDiscoveryRequest``: the node's id, the type URL and the rest."""
    request = DeltaDiscoveryRequest.parse(raw)
    error = request.error_detail
    return (
        request.node.id if request.node else "",
        request.type_url,
        DeltaRequest(
            subscribe=tuple(request.resource_names_subscribe),
            unsubscribe=tuple(request.resource_names_unsubscribe),
            initial_versions=dict(request.initial_resource_versions),
            nonce=request.response_nonce,
            error=None if error is None else error.message,
        ),
    )


def write_delta(answer: DeltaAnswer) -> bytes:
    """Serialise a ``DeltaDiscoveryResponse``."""
    return bytes(
        DeltaDiscoveryResponse(
            nonce=answer.nonce,
            type_url=SECRET_TYPE,
            resources=[
                DeltaResource(name=each.name, version=each.version, resource=_any(each))
                for each in answer.resources
            ],
            removed_resources=list(answer.removed),
        )
    )


def _any(resource: Resource) -> Any:
    return Any(type_url=SECRET_TYPE, value=resource.body)
