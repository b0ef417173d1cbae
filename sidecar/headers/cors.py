"""CORS: which pages of other origins may read an answer (Fetch §3.2, "CORS protocol").

Preflights are answered from here and never reach the application. An origin that no rule
allows gets no header, so its browser does not give the answer to the page. A browser's
``Origin`` has only one spelling, so it is compared byte for byte.

``Access-Control-Request-Private-Network`` is never answered: no page of the public web
may reach a private address through this edge.
"""

import re
from collections.abc import Iterable, Sequence

from sidecar.headers.field import How, ResponseHeader

ANY = "*"
TENANT_ORIGIN = "https://{tenant_domain}"
_HTTPS = b"https://"
_HOST = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_MAX_ORIGIN_BYTES = 300


class Cors:
    """One policy. ``origins`` are as in ``config.headers.CorsPolicy``."""

    __slots__ = (
        "_any", "_credentials", "_exact", "_expose", "_preflight", "_suffixes", "tenant_domains",
    )  # fmt: skip

    def __init__(
        self,
        origins: Iterable[str],
        methods: Sequence[str],
        request_headers: Sequence[str],
        expose_headers: Sequence[str],
        *,
        credentials: bool,
        max_age_seconds: int,
    ) -> None:
        listed = set(origins)
        self._any = ANY in listed
        self.tenant_domains = TENANT_ORIGIN in listed
        """Whether tenants' own domains are allowed."""
        self._suffixes = tuple(_Suffix(each) for each in sorted(listed) if "://*." in each)
        by_name = listed - {ANY, TENANT_ORIGIN}
        self._exact = frozenset(each.encode() for each in by_name if "*" not in each)
        self._credentials = credentials
        self._expose = ", ".join(expose_headers).encode()
        self._preflight = [
            ResponseHeader("access-control-allow-methods", ", ".join(methods).encode()),
            ResponseHeader("access-control-max-age", str(max_age_seconds).encode()),
        ]
        if request_headers:
            value = ", ".join(request_headers).encode()
            self._preflight.append(ResponseHeader("access-control-allow-headers", value))

    def admits(self, origin: bytes) -> bool:
        """Return whether an origin is allowed by name, by suffix, or because all are."""
        if self._any:
            return True
        if origin in self._exact:
            return True
        return any(suffix.holds(origin) for suffix in self._suffixes)

    def domain_in(self, origin: bytes) -> str:
        """Return the host of an https origin on the default port, or nothing."""
        return _host_in(origin, _HTTPS, b"")

    def spoken(self, origin: bytes) -> str:
        """Return the value for an allowed origin: itself, or ``*`` where all are allowed."""
        return ANY if self._any else origin.decode("ascii")

    def on_answer(self, origin: str) -> list[ResponseHeader]:
        """Return the headers of an answer that ``origin`` may read; an empty origin may not."""
        headers = [] if self._any else [ResponseHeader("vary", b"origin", How.BESIDE)]
        if not origin:
            return headers
        headers.append(ResponseHeader("access-control-allow-origin", origin.encode("ascii")))
        if self._credentials:
            headers.append(ResponseHeader("access-control-allow-credentials", b"true"))
        if self._expose:
            headers.append(ResponseHeader("access-control-expose-headers", self._expose))
        return headers

    def on_preflight(self) -> list[ResponseHeader]:
        """Return the headers that a preflight's answer has in addition to ``on_answer``."""
        return self._preflight


class _Suffix:
    """``scheme://*.suffix[:port]``: any host below the suffix, at any depth."""

    __slots__ = ("_end", "_port", "_scheme")

    def __init__(self, pattern: str) -> None:
        scheme, _, place = pattern.partition("*")
        host, colon, port = place.partition(":")
        self._scheme = scheme.encode()
        self._end = host
        self._port = f"{colon}{port}".encode()

    def holds(self, origin: bytes) -> bool:
        host = _host_in(origin, self._scheme, self._port)
        return len(host) > len(self._end) and host.endswith(self._end)


def _host_in(origin: bytes, scheme: bytes, port: bytes) -> str:
    """Return the host name between a scheme and a port, if there is nothing else."""
    if len(origin) > _MAX_ORIGIN_BYTES or not origin.startswith(scheme):
        return ""
    if not origin.endswith(port):
        return ""
    try:
        host = origin[len(scheme) : len(origin) - len(port)].decode("ascii")
    except UnicodeDecodeError:
        return ""
    return host if _HOST.fullmatch(host) else ""
