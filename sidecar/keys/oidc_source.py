"""Keys of an issuer that says itself where they are (OpenID Connect Discovery, RFC 8414).

``discovery`` says which metadata are believed. This reads them again on a schedule, and at once
when the keys can't be read where they were: so a ``jwks_uri`` that moves is followed.

- The metadata are fresh for as long as their ``Cache-Control`` says, between one minute and one
  hour (ten minutes, if it says nothing).
- The keys are fresh for as long as theirs says, five minutes at most: so long may a key that the
  issuer withdrew go on. Where it says nothing they are asked for with every poll.
- ``revalidate`` ends both: a token with an unknown kid, SIGHUP and ``POST /keys/refresh`` ask
  the issuer, whatever it said of freshness.

While the metadata can't be reached, keys are read where they were. Metadata that can be read and
not believed are a fault.
"""

import logging
from collections.abc import Callable, Sequence

from sidecar.config import model
from sidecar.keys.discovery import freshness_seconds
from sidecar.keys.jwks_https import PublishedKeys
from sidecar.keys.metadata import IssuerMetadata
from sidecar.keys.published import DocumentClient, JwksUnreachable
from sidecar.keys.rotation import Statement
from sidecar.keys.sources import KeyFault
from sidecar.tokens.algorithms import DEFAULT_ALGORITHMS, Algorithm

_log = logging.getLogger("sidecar.keys")
LEAST_METADATA_SECONDS, METADATA_SECONDS, MOST_METADATA_SECONDS = 60.0, 600.0, 3600.0
MOST_KEY_SECONDS = 300.0


class OidcKeySource:
    """The keys of an issuer, found by discovery."""

    def __init__(
        self,
        settings: model.OidcKeys,
        issuer: str,
        algorithms: Sequence[Algorithm] = DEFAULT_ALGORITHMS,
        *,
        clock: Callable[[], float],
    ) -> None:
        """``clock`` is monotonic, in seconds."""
        self.issuer = issuer
        self.name = f"OIDC discovery of {issuer}"
        self._clock = clock
        self._algorithms = algorithms
        self._client = DocumentClient(self.name, settings.ca_file, settings.timeout_seconds, clock)
        self._metadata = IssuerMetadata(issuer)
        self._published: PublishedKeys | None = None
        self._metadata_read_at = self._metadata_due = 0.0
        self._stated: Statement | None = None
        self._keys_due = 0.0
        self._asked = 0
        self._answered = 0
        self._problem = ""

    async def fetch(self) -> Statement:
        """Return the issuer's current keys. It has no earlier versions."""
        now = self._clock()
        if self._stated is not None and self._asked == self._answered and now < self._keys_due:
            return self._stated
        asked = self._asked
        statement = await self._client.run(self._read)
        self._answered = asked
        return statement

    def revalidate(self) -> None:
        """Have the next fetch ask the issuer, whatever is still fresh."""
        self._asked += 1

    def close(self) -> None:
        """Stop the thread."""
        self._client.close()

    def _read(self) -> Statement:
        """Read the keys, and before that the metadata, if these are due."""
        now = self._clock()
        due = self._metadata_due
        if self._asked != self._answered:
            due = min(due, self._metadata_read_at + LEAST_METADATA_SECONDS)
        published = self._published
        if published is None or now >= due:
            return self._read_keys(self._find(now), now)
        try:
            return self._read_keys(published, now)
        except (JwksUnreachable, KeyFault):
            moved = self._find(now)
            if moved is published:
                raise
            return self._read_keys(moved, now)

    def _read_keys(self, published: PublishedKeys, now: float) -> Statement:
        answer = self._client.read(published.document)
        self._stated = published.statement_of(answer.content)
        self._keys_due = now + freshness_seconds(
            answer.cache_control, answer.age, otherwise=0.0, least=0.0, most=MOST_KEY_SECONDS
        )
        return self._stated

    def _find(self, now: float) -> PublishedKeys:
        """Read the metadata; return where the keys are, the same object if they did not move."""
        known = self._published
        try:
            found = self._metadata.read(self._client)
        except JwksUnreachable as fault:
            if known is None:
                raise
            self._say(str(fault))
            self._metadata_due = now + LEAST_METADATA_SECONDS
            return known
        self._say("")
        self._metadata_read_at = now
        self._metadata_due = now + freshness_seconds(
            found.answer.cache_control,
            found.answer.age,
            otherwise=METADATA_SECONDS,
            least=LEAST_METADATA_SECONDS,
            most=MOST_METADATA_SECONDS,
        )
        if known is not None and known.document.url == found.jwks_uri:
            return known
        if known is not None:
            _log.info("%s: the keys moved to %s", self.name, found.jwks_uri)
        self._published = PublishedKeys(found.jwks_uri, self.issuer, self._algorithms)
        return self._published

    def _say(self, problem: str) -> None:
        """Log once that the metadata can't be reached, and that they can be again."""
        if problem and not self._problem:
            _log.warning("%s; its keys are read where they were", problem)
        elif self._problem and not problem:
            _log.info("%s: the metadata can be read again", self.name)
        self._problem = problem
