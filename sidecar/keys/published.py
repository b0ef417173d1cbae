"""Documents that an issuer publishes over HTTPS, and asked for again only if they have changed.

TLS is verified, redirects are not followed, size and time are bounded (``common.http_client``).
Blocking: it runs on a source's own thread.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from sidecar.common.blocking import BlockingRunner, BlockingRunnerBusy
from sidecar.common.errors import Fault
from sidecar.common.http_client import WHOLE_SHARE, failure, make_session

T = TypeVar("T")

MAX_DOCUMENT_BYTES = 1_048_576
JWKS_TYPES = "application/jwk-set+json, application/json"
_OK, _NOT_MODIFIED = 200, 304
_CLIENT_ERRORS = range(400, 500)
_LATER = (408, 425, 429)
"""What says "ask again later", and nothing about the document."""


class JwksUnreachable(Fault):
    """The publisher did not answer."""

    retryable = True


class NotPublished(JwksUnreachable):
    """The publisher answered that it has no such document."""


class Published(NamedTuple):
    """A document. ``content`` is the same object for as long as it has not changed."""

    content: bytes
    cache_control: str | None
    age: str | None


class PublishedDocument:
    """The document at one URL, with the validators of its last answer (RFC 9110 §8.8)."""

    def __init__(self, url: str, accept: str) -> None:
        self.url = url
        self._accept = accept
        self._content: bytes | None = None
        self._validators: dict[str, str] = {}

    def read(self, session: Any, timeout_seconds: float, ca_file: str | None) -> Published:
        """GET it. Raises ``JwksUnreachable``, which names the URL."""
        headers = {"Accept": self._accept, **self._validators}
        try:
            response = session.get(
                self.url, headers=headers, timeout=timeout_seconds, allow_redirects=False
            )
        except Exception as exc:  # noqa: BLE001 - no library's exception leaves this module
            raise JwksUnreachable(f"{self.url}: {failure(exc, [ca_file])}") from None
        status = response.status_code
        said = response.headers.get("Cache-Control"), response.headers.get("Age")
        if status == _NOT_MODIFIED and self._content is not None:
            return Published(self._content, *said)
        if status != _OK:
            kind = (
                NotPublished
                if status in _CLIENT_ERRORS and status not in _LATER
                else JwksUnreachable
            )
            raise kind(f"{self.url}: answered {status}, not 200{_hint(status)}")
        if response.content != self._content:
            self._content = response.content
        self._validators = _validators(response.headers)
        return Published(response.content if self._content is None else self._content, *said)


def _hint(status: int) -> str:
    return "; redirects are not followed" if status in range(300, 400) else ""


def _validators(headers: Any) -> dict[str, str]:
    """Return the conditions to send with the next request (RFC 9110 §13.1)."""
    if etag := headers.get("ETag"):
        return {"If-None-Match": etag}
    if modified := headers.get("Last-Modified"):
        return {"If-Modified-Since": modified}
    return {}


class DocumentClient:
    """Reads the documents of one source, on a thread of its own.

    What one call of ``run`` reads shares one bounded time, however many documents it is.
    """

    def __init__(
        self, name: str, ca_file: str | None, timeout_seconds: float, clock: Callable[[], float]
    ) -> None:
        """``name`` is the source's, for messages; ``clock`` is monotonic, in seconds."""
        self._name = name
        self._ca_file = ca_file
        self._timeout_seconds = timeout_seconds
        self._clock = clock
        self._runner = BlockingRunner("jwks", 1)
        self._session: Any = None
        self._ends_at = 0.0

    async def run(self, function: Callable[[], T]) -> T:
        """Call ``function``, which reads documents, on the thread; return its result.

        Raises ``JwksUnreachable`` too, if it takes too long or an earlier call still hangs.
        """
        patience = self._timeout_seconds * WHOLE_SHARE

        def call() -> T:
            self._ends_at = self._clock() + patience
            return function()

        try:
            return await self._runner.run(call, patience)
        except BlockingRunnerBusy:
            raise JwksUnreachable(f"{self._name}: the previous call still hangs") from None
        except TimeoutError:
            raise JwksUnreachable(f"{self._name}: no answer within {patience:.1f} s") from None

    def read(self, document: PublishedDocument) -> Published:
        """GET a document within the time that ``run`` has left. Raises ``JwksUnreachable``."""
        if self._session is None:
            self._session = make_session(
                ca_file=self._ca_file, max_response_bytes=MAX_DOCUMENT_BYTES
            )
        left = (self._ends_at - self._clock()) / WHOLE_SHARE
        if left <= 0:
            raise JwksUnreachable(f"{document.url}: no time is left to ask for it")
        return document.read(self._session, min(self._timeout_seconds, left), self._ca_file)

    def reconnect(self) -> None:
        """Connect anew with the next read."""
        if self._session is not None:
            self._session.close()
        self._session = None

    def close(self) -> None:
        """Stop the thread."""
        self._runner.close()
