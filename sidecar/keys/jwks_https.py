"""Keys published as a JWK Set over HTTPS (RFC 7517 §5)."""

from collections.abc import Sequence
from typing import Any

from sidecar.common.blocking import BlockingRunner, BlockingRunnerBusy
from sidecar.common.errors import Fault
from sidecar.common.http_client import failure, make_session
from sidecar.config import model
from sidecar.keys.rotation import Statement
from sidecar.keys.sources import MAX_TEXT_BYTES, KeyFault, parse_keys
from sidecar.tokens.algorithms import DEFAULT_ALGORITHMS, Algorithm
from sidecar.tokens.keyring import VerificationKey

_OK, _NOT_MODIFIED = 200, 304
_CALLER_PATIENCE = 2.0


class JwksUnreachable(Fault):
    """The publisher did not answer."""

    retryable = True


class JwksKeySource:
    """A JWK Set at a URL. TLS is verified, redirects are not followed, the size is bounded.

    The ``ETag`` is sent back, so that an unchanged set is not sent again.
    """

    def __init__(
        self,
        settings: model.JwksKeys,
        issuer: str,
        algorithms: Sequence[Algorithm] = DEFAULT_ALGORITHMS,
    ) -> None:
        self._settings = settings
        self._algorithms = algorithms
        self._runner = BlockingRunner("jwks", 1)
        self._session: Any = None
        self._etag: str | None = None
        self._keys: tuple[VerificationKey, ...] = ()
        self.issuer = issuer
        self.name = f"JWKS at {settings.url}"

    async def fetch(self) -> Statement:
        """GET the set, or return the last one if it has not changed. It has no earlier versions."""
        patience = self._settings.timeout_seconds * _CALLER_PATIENCE
        try:
            return Statement(await self._runner.run(self._get, patience))
        except BlockingRunnerBusy:
            raise JwksUnreachable(f"{self.name}: the previous call still hangs") from None
        except TimeoutError:
            raise JwksUnreachable(f"{self.name}: no answer within {patience:.1f} s") from None

    def close(self) -> None:
        """Stop the thread."""
        self._runner.close()

    def _get(self) -> tuple[VerificationKey, ...]:
        if self._session is None:
            self._session = make_session(
                ca_file=self._settings.ca_file, max_response_bytes=MAX_TEXT_BYTES
            )
        headers = {"Accept": "application/jwk-set+json, application/json"}
        if self._etag is not None:
            headers["If-None-Match"] = self._etag
        try:
            response = self._session.get(
                self._settings.url,
                headers=headers,
                timeout=self._settings.timeout_seconds,
                allow_redirects=False,
            )
        except Exception as exc:  # noqa: BLE001 - no library's exception leaves this module
            why = failure(exc, [self._settings.ca_file])
            raise JwksUnreachable(f"{self.name}: {why}") from None
        return self._read(response)

    def _read(self, response: Any) -> tuple[VerificationKey, ...]:
        if response.status_code == _NOT_MODIFIED and self._keys:
            return self._keys
        if response.status_code != _OK:
            raise JwksUnreachable(f"{self.name}: answered {response.status_code}, not 200")
        try:
            self._keys = parse_keys(response.content.decode("utf-8"), self.issuer, self._algorithms)
        except UnicodeDecodeError:
            raise KeyFault(f"{self.name}: is not UTF-8") from None
        except KeyFault as fault:
            raise KeyFault(f"{self.name}: {fault}") from None
        self._etag = response.headers.get("ETag")
        return self._keys
