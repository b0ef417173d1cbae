"""Reads an issuer's metadata, of the first place that has any (``discovery``). Blocking."""

from typing import NamedTuple

from sidecar.keys.discovery import DiscoveryFault, metadata_urls, read_jwks_uri
from sidecar.keys.published import DocumentClient, NotPublished, Published, PublishedDocument


class FoundMetadata(NamedTuple):
    """Metadata that are believed: where they were, what they say, and the answer itself."""

    url: str
    jwks_uri: str
    answer: Published


class IssuerMetadata:
    """The places of one issuer's metadata, each asked again only for what has changed."""

    def __init__(self, issuer: str) -> None:
        self._issuer = issuer
        self._places = [PublishedDocument(url, "application/json") for url in metadata_urls(issuer)]

    def read(self, client: DocumentClient) -> FoundMetadata:
        """Read them. Raises ``JwksUnreachable``, and ``DiscoveryFault`` with the place.

        The second place is asked only if the first has none: metadata that are not believed are
        not replaced by others.
        """
        absent: list[str] = []
        for place in self._places:
            try:
                answer = client.read(place)
            except NotPublished as fault:
                absent.append(str(fault))
                continue
            try:
                uri = read_jwks_uri(answer.content, self._issuer)
            except DiscoveryFault as fault:
                raise DiscoveryFault(f"{place.url}: {fault}") from None
            return FoundMetadata(place.url, uri, answer)
        raise NotPublished("; ".join(absent))
