"""The transport of requests to an ACME CA: bounded, without redirects, without the environment.

A directory over HTTPS can't lead to plain HTTP.
"""

from email.utils import parsedate_to_datetime
from typing import Any

import requests
from acme import messages
from acme.client import ClientNetwork
from josepy.jwa import ES256

from sidecar.certificates.issuers.acme.faults import AcmeFault
from sidecar.common.clock import wall_seconds
from sidecar.common.http_client import make_session

_MAX_ANSWER_BYTES = 262_144
_MAX_RETRY_AFTER_SECONDS = 7 * 86_400.0
_USER_AGENT = "septem-sidecar"
_NONCES = 4


class Network(ClientNetwork):
    """The library's transport on our session. It stores the last ``Retry-After``."""

    def __init__(
        self, key: Any, ca_file: str | None, timeout_seconds: float, *, https: bool
    ) -> None:
        super().__init__(key, alg=ES256, user_agent=_USER_AGENT)
        self.session = make_session(ca_file=ca_file, max_response_bytes=_MAX_ANSWER_BYTES)
        self.verify_ssl = ca_file or True  # type: ignore[assignment]  # requests takes a path
        self._default_timeout = timeout_seconds  # type: ignore[assignment]
        self._https = https
        self.retry_after_seconds: float | None = None

    def _send_request(self, method: str, url: str, *args: Any, **kwargs: Any) -> requests.Response:
        if self._https and not url.startswith("https://"):
            raise AcmeFault(
                "other", "the CA's directory is https, and it refers to a URL that is not"
            )
        self.retry_after_seconds = None
        response = super()._send_request(method, url, *args, allow_redirects=False, **kwargs)
        self.retry_after_seconds = retry_after_of(
            response.headers.get("Retry-After"), wall_seconds()
        )
        return response

    def post(self, *args: Any, **kwargs: Any) -> requests.Response:
        """POST, and repeat it with a new nonce if the CA refuses the nonce (RFC 8555 §6.5)."""
        for _ in range(_NONCES):
            try:
                return self._post_once(*args, **kwargs)
            except messages.Error as problem:
                if problem.code != "badNonce":
                    raise
        return self._post_once(*args, **kwargs)


def retry_after_of(header: str | None, now: float) -> float | None:
    """Return the seconds of a ``Retry-After`` (RFC 9110 §10.2.3), at most a week."""
    if header is None:
        return None
    try:
        seconds = (
            float(header) if header.isdigit() else parsedate_to_datetime(header).timestamp() - now
        )
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(seconds, 0.0), _MAX_RETRY_AFTER_SECONDS)
