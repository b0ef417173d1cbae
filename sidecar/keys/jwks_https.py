"""Keys published as a JWK Set over HTTPS (RFC 7517 §5), at a URL that the settings name."""

from collections.abc import Callable, Sequence

from sidecar.config import model
from sidecar.keys.key_set import KeySet
from sidecar.keys.published import JWKS_TYPES, DocumentClient, PublishedDocument
from sidecar.keys.rotation import Statement
from sidecar.keys.sources import KeyFault, parse_key_set
from sidecar.tokens.algorithms import DEFAULT_ALGORITHMS, Algorithm


def stated_now(found: KeySet) -> Statement:
    """Return the statement of a set that has no past; a key that is not trusted has no window."""
    return Statement(found.keys, gone=found.distrusted, skipped=found.skipped)


class PublishedKeys:
    """The JWK Set at one URL. What it lists is read again only if it has changed."""

    def __init__(self, url: str, issuer: str, algorithms: Sequence[Algorithm]) -> None:
        self.document = PublishedDocument(url, JWKS_TYPES)
        self._issuer = issuer
        self._algorithms = algorithms
        self._read: bytes | None = None
        self._stated = Statement(())

    def statement_of(self, content: bytes) -> Statement:
        """Return the keys of the set. Raises ``KeyFault``, which names the URL."""
        if content is self._read:
            return self._stated
        try:
            found = parse_key_set(
                content.decode("utf-8"), self._issuer, self._algorithms, is_published=True
            )
        except UnicodeDecodeError:
            raise KeyFault(f"{self.document.url}: is not UTF-8") from None
        except KeyFault as fault:
            raise KeyFault(f"{self.document.url}: {fault}") from None
        self._read, self._stated = content, stated_now(found)
        return self._stated


class JwksKeySource:
    """A JWK Set at a URL, asked for with every poll."""

    def __init__(
        self,
        settings: model.JwksKeys,
        issuer: str,
        algorithms: Sequence[Algorithm] = DEFAULT_ALGORITHMS,
        *,
        clock: Callable[[], float],
    ) -> None:
        """``clock`` is monotonic, in seconds."""
        self.issuer = issuer
        self.name = f"JWKS at {settings.url}"
        self._published = PublishedKeys(settings.url, issuer, algorithms)
        self._client = DocumentClient(self.name, settings.ca_file, settings.timeout_seconds, clock)

    async def fetch(self) -> Statement:
        """GET the set, or return the last one if it has not changed. It has no earlier versions."""
        return await self._client.run(self._get)

    def close(self) -> None:
        """Stop the thread."""
        self._client.close()

    def _get(self) -> Statement:
        answer = self._client.read(self._published.document)
        return self._published.statement_of(answer.content)
