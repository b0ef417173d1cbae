"""HTTP sessions for all outgoing calls, independent of the environment.

An exchange is bounded in its size, its head's included, and in its total time, not only in each
read's. No cookies are kept, and no redirects are followed.

Proxies, ``.netrc`` and CA variables of the environment are ignored: only the configuration
decides who gets the sidecar's secrets.
"""

from collections.abc import Iterable
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter

from sidecar.common.deadline import POOLS, Exchange, watch
from sidecar.common.response_head import BoundedResponse
from sidecar.common.tls_failure import tls_failure
from sidecar.common.unix_http import UnixConnection

MAX_RESPONSE_BYTES = 8_388_608
_POOL = 4
_PEM_SCAN_BYTES = 1_048_576
WHOLE_SHARE = 2.5
"""Of one read's time-out, an exchange may take: as long as callers wait for it."""
LONGEST_READ_SECONDS = 120.0
"""Of a call without a time-out of its own; as long as any setting allows."""


class _BoundedAdapter(HTTPAdapter):
    """Bounds the size of an answer, and the total time of an exchange."""

    def __init__(self, max_response_bytes: int, connections: int) -> None:
        self._max_response_bytes = max_response_bytes
        super().__init__(pool_connections=1, pool_maxsize=connections, max_retries=0)

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:  # type: ignore[override]
        with Exchange(_whole_seconds(options.get("timeout"))) as exchange:
            try:
                response = super().send(request, **{**options, "stream": True})
                content = response.raw.read(self._max_response_bytes + 1, decode_content=True)
                response.close()
            except urllib3.exceptions.ReadTimeoutError as exc:
                if not exchange.expired:
                    raise requests.exceptions.ReadTimeout("the answer stops") from exc
            except urllib3.exceptions.HTTPError as exc:
                if not exchange.expired:
                    raise requests.exceptions.ConnectionError("the answer is cut off") from exc
            except Exception:
                if not exchange.expired:
                    raise
            if exchange.expired:  # the content may look complete, but is cut off
                raise requests.exceptions.ReadTimeout("the answer takes too long in total")
        if len(content) > self._max_response_bytes:
            raise requests.exceptions.ContentDecodingError("the answer is too large")
        response._content = content  # noqa: SLF001 - as requests itself does
        response._content_consumed = True  # noqa: SLF001
        return response

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = POOLS


def _whole_seconds(timeout: object) -> float:
    """Return the total time of an exchange whose reads have the time-out ``timeout`` each."""
    each = timeout if isinstance(timeout, int | float) else LONGEST_READ_SECONDS
    return float(each) * WHOLE_SHARE


class _UnixConnection(UnixConnection, urllib3.connection.HTTPConnection):
    """HTTP over a Unix socket: a Vault agent or proxy beside us."""

    response_class = BoundedResponse

    def opened(self) -> None:
        watch(self)

    def request(self, *arguments: Any, **options: Any) -> None:
        watch(self)
        super().request(*arguments, **options)


class _UnixAdapter(_BoundedAdapter):
    """Sends every request to one Unix socket, whatever its host."""

    def __init__(self, socket_path: str, max_response_bytes: int, connections: int) -> None:
        super().__init__(max_response_bytes, connections)
        connection = type("_Connection", (_UnixConnection,), {"socket_path": socket_path})
        self._pool = urllib3.HTTPConnectionPool("localhost", maxsize=connections)
        self._pool.ConnectionCls = connection

    def get_connection_with_tls_context(self, *_: Any, **__: Any) -> Any:
        return self._pool

    def close(self) -> None:
        self._pool.close()
        super().close()


class _Session(requests.Session):
    """Follows no redirect, whatever its caller says."""

    def get_redirect_target(self, _response: requests.Response) -> None:
        """Return nowhere."""


def make_session(
    *,
    ca_file: str | None = None,
    client_certificate: tuple[str, str] | None = None,
    unix_socket: str | None = None,
    max_response_bytes: int = MAX_RESPONSE_BYTES,
    connections: int = _POOL,
) -> requests.Session:
    """Build a session. ``client_certificate`` is the paths of certificate and key, PEM.

    At most ``connections`` to a host are kept open between calls.
    """
    session = _Session()
    session.trust_env = False
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.verify = ca_file or True
    session.cert = client_certificate
    if unix_socket is not None:
        session.mount("http://", _UnixAdapter(unix_socket, max_response_bytes, connections))
    else:
        session.mount("http://", _BoundedAdapter(max_response_bytes, connections))
    session.mount("https://", _BoundedAdapter(max_response_bytes, connections))
    return session


def failure(exc: Exception, files: Iterable[str | None] = ()) -> str:
    """Return in one clause why a call failed, without the library's text, which quotes URLs.

    ``files`` are the CA file and other files that the call needs. If one of them can't be used,
    that is the reason, whatever the library raised.
    """
    for path in files:
        if path is not None and (problem := pem_problem(Path(path))):
            return f"{path} {problem}"
    if isinstance(exc, requests.exceptions.SSLError):
        return tls_failure(exc, "its ca_file")
    return type(exc).__name__


def pem_problem(path: Path) -> str:
    """Return what is wrong with a PEM file of certificates or keys; empty if it can be used."""
    if path.is_dir():
        return ""  # OpenSSL's own form of a CA directory
    try:
        with path.open("rb") as file:
            head = file.read(_PEM_SCAN_BYTES)
    except OSError as exc:
        return f"can't be read ({exc.strerror}): make it readable by this process"
    return "" if b"-----BEGIN " in head else "has no PEM block: put certificates in PEM form there"
