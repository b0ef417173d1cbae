"""The HTTP session under hvac: bounded answers, and no settings from the environment."""

from typing import Any

import requests
from requests.adapters import HTTPAdapter


class _BoundedAdapter(HTTPAdapter):
    """Reads no more of an answer than it may hold in memory."""

    def __init__(self, max_response_bytes: int) -> None:
        self._max_response_bytes = max_response_bytes
        super().__init__(pool_connections=1, pool_maxsize=4, max_retries=0)

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:  # type: ignore[override]
        response = super().send(request, **{**options, "stream": True})
        content = response.raw.read(self._max_response_bytes + 1, decode_content=True)
        response.close()
        if len(content) > self._max_response_bytes:
            raise requests.exceptions.ContentDecodingError("the answer is too large")
        response._content = content  # noqa: SLF001 - as requests itself does
        response._content_consumed = True  # noqa: SLF001
        return response


def make_session(ca_file: str | None, max_response_bytes: int) -> requests.Session:
    """Build a session that ignores proxies, .netrc and CA settings of the environment."""
    session = requests.Session()
    session.trust_env = False
    session.verify = ca_file or True
    adapter = _BoundedAdapter(max_response_bytes)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session
