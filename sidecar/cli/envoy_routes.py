"""Envoy's routes for the routes of a sidecar: those that need more than to be led on.

The sidecar decides by its own routes; Envoy must know those whose body it sends (modules, logins)
and those that keep an override header. The first that matches counts there as here, so a route
that stands before one of these and may take its requests is written too.
"""

import re
from collections.abc import Iterator, Sequence

from sidecar.authz.routes import ANY_HOST, Route
from sidecar.cli.config_envoy import kept_filters
from sidecar.config.model import Config
from sidecar.config.overrides import PROOF_HEADERS
from sidecar.config.shown import scalar

_PAD = " " * 24
_MAX_PATTERN = 1500
"""Characters of the hosts in one pattern (``re2.max_program_size`` is 4000 in the template)."""
_EXT_AUTHZ = "envoy.filters.http.ext_authz"
_PER_ROUTE = "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute"
_TO_APPLICATION = """\
  route: &to_application
    cluster: application
    # No end for the whole, or a download and server-sent events would be cut; they end when
    # nothing has moved for stream_idle_timeout.
    timeout: 0s
    # But the response has to begin: 504 when it has not, 30 s after the end of the request.
    # Nothing is tried twice: there is no retry_on.
    retry_policy: {per_try_timeout: 30s}
    # No stream for ever: the longest download, and how long what was let in is answered after
    # its token was revoked. With end_streams_with_token the sidecar asks for less, by
    # grpc-timeout; so may a client, and not for more.
    max_stream_duration: {max_stream_duration: 3600s, grpc_timeout_header_max: 3600s}
"""
_REPORTS = """\
# What browsers report of the pages' policies (headers.reports.path). Anybody may send these, so
# they get no Check and reach nothing but the intake.
- match: {path: @PATH@}
  route: {cluster: sidecar_reports, timeout: 5s}
  request_headers_to_remove: [cookie, authorization]
  request_headers_to_add:
    - header: {key: x-septem-client, value: "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"}
      append_action: OVERWRITE_IF_EXISTS_OR_ADD
  typed_per_filter_config:
@CACHE@\
    envoy.filters.http.ext_authz:
      "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute
      disabled: true
    envoy.filters.http.buffer:
      "@type": type.googleapis.com/envoy.extensions.filters.http.buffer.v3.BufferPerRoute
      buffer: {max_request_bytes: @BYTES@}  # listen.reports.max_body_bytes
    # A flood ends here, before it costs the sidecar anything.
    envoy.filters.http.local_ratelimit:
      "@type": type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit
      stat_prefix: csp_reports
      token_bucket: {max_tokens: 500, tokens_per_fill: 25, fill_interval: 0.25s}
      filter_enabled: {default_value: {numerator: 100}}
      filter_enforced: {default_value: {numerator: 100}}
"""
MODULE_SECONDS = 10
"""Megabytes take longer than a header."""


def route_lines(config: Config, routes: Sequence[Route], module_retry: str) -> Iterator[str]:
    """Yield the lines of the routes; the last one is everything else.

    ``routes`` are those of the configuration, compiled; ``module_retry`` is the retry policy of a
    Check with a bundle.
    """
    yield from _padded(_reports(config))
    is_first = True
    special = [(at, route) for at, route in enumerate(routes) if _is_special(config, route)]
    for index, route in enumerate(routes):
        own = list(_own(config, route, module_retry))
        if not own and not any(at > index and _may_meet(route, other) for at, other in special):
            continue
        for match in _matches(route):
            lines = [f"# {route.name}", f"- match: {match}"]
            yield from _padded([*lines, *_leads_on(is_first=is_first), *own])
            is_first = False
    yield from _padded(['- match: {prefix: "/"}', *_leads_on(is_first=is_first)])


def _padded(lines: Sequence[str] | Iterator[str]) -> Iterator[str]:
    return (f"{_PAD}{line}" for line in lines)


def _leads_on(*, is_first: bool) -> list[str]:
    return _TO_APPLICATION.splitlines() if is_first else ["  route: *to_application"]


def _reports(config: Config) -> Iterator[str]:
    reports, listen = config.headers.reports, config.listen.reports
    if reports is None or listen is None:
        return
    caches = config.listen.authz.decision_cache is not None
    text = (
        _REPORTS.replace("@BYTES@", str(listen.max_body_bytes))
        .replace("@CACHE@", "    septem.decision_cache: *not_repeated\n" if caches else "")
        .replace("@PATH@", scalar(reports.path))
    )
    yield from text.splitlines()


def kept_by(route: Route) -> frozenset[str]:
    """Return the override headers that Envoy must keep on a route."""
    return route.keep_overrides - PROOF_HEADERS


def body_bytes(config: Config, route: Route) -> int:
    """Return how much of a body the sidecar reads on a route; 0 for none."""
    if route.module is not None and config.modules is not None:
        return config.modules.max_bundle_bytes
    login = None if route.limits is None else route.limits.login
    return 0 if login is None else login.max_body_bytes


def _is_special(config: Config, route: Route) -> bool:
    return bool(body_bytes(config, route) or kept_by(route))


def _own(config: Config, route: Route, module_retry: str) -> Iterator[str]:
    """Yield what a route has besides where it leads."""
    bytes_ = body_bytes(config, route)
    kept = kept_by(route)
    if route.module is not None:
        yield "  # Nothing that came beside the bytes changes how they are read."
        yield (
            "  request_headers_to_remove: [content-encoding, content-range,"
            " content-transfer-encoding]"
        )
    if bytes_ or kept:
        yield "  typed_per_filter_config:"
    if bytes_:
        yield f"    {_EXT_AUTHZ}:"
        yield f'      "@type": {_PER_ROUTE}'
        yield "      check_settings:"
        yield (
            f"        with_request_body: {{max_request_bytes: {bytes_},"
            " allow_partial_message: false}"
        )
    if route.module is not None:
        yield "        grpc_service:"
        yield "          envoy_grpc: {cluster_name: sidecar_authz}"
        yield f"          timeout: {MODULE_SECONDS}s"
        yield f"          retry_policy: {module_retry}"
    if kept:
        everywhere = frozenset(config.headers.keep_overrides)
        yield from kept_filters(4, len(_PAD), kept | everywhere)


def _matches(route: Route) -> Iterator[str]:
    """Yield how Envoy knows the requests of a route: flow mappings, of which one must match.

    Many hosts are several: RE2 compiles a pattern of some thousand characters, and no longer one.
    """
    if route.path is not None:
        path = f"path: {scalar(route.path)}"
    elif prefix := (route.path_prefix or "").rstrip("/"):
        path = f"path_separated_prefix: {scalar(prefix)}"
    else:
        path = 'prefix: "/"'
    methods = [_header(":method", "|".join(sorted(route.methods)))] if route.methods else []
    for hosts in [()] if ANY_HOST in route.hosts else _groups(route.hosts):
        authority = [_header(":authority", f"(?i)(?:{'|'.join(hosts)})")] if hosts else []
        headers = ", ".join([*authority, *methods])
        yield f"{{{path}, headers: [{headers}]}}" if headers else f"{{{path}}}"


def _groups(hosts: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yield hosts as regular expressions, as many together as one pattern may have."""
    group: list[str] = []
    for host in map(_host, hosts):
        if group and sum(map(len, group)) + len(host) > _MAX_PATTERN:
            yield tuple(group)
            group = []
        group.append(host)
    yield tuple(group)


def _header(name: str, regex: str) -> str:
    return f"{{name: {scalar(name)}, string_match: {{safe_regex: {{regex: {scalar(regex)}}}}}}}"


def _host(pattern: str) -> str:
    """Return a host pattern as a regular expression of RE2: ``*.suffix`` at any depth below it."""
    if pattern.startswith("*."):
        return rf".+\.{re.escape(pattern[2:])}"
    return re.escape(pattern)


def _may_meet(one: Route, other: Route) -> bool:
    """Tell whether a request could be both routes'; yes where that is not plain."""
    if one.methods and other.methods and not one.methods & other.methods:
        return False
    if not any(_hosts_meet(a, b) for a in one.hosts for b in other.hosts):
        return False
    path, other_path = _segments(one), _segments(other)
    if one.path is not None and other.path is not None:
        return path == other_path
    if one.path is not None:
        return path.startswith(other_path)
    if other.path is not None:
        return other_path.startswith(path)
    return path.startswith(other_path) or other_path.startswith(path)


def _segments(route: Route) -> str:
    """Return a path or prefix with a slash at its end: whole segments are compared."""
    return (route.path or route.path_prefix or "").rstrip("/") + "/"


def _hosts_meet(one: str, other: str) -> bool:
    if ANY_HOST in {one, other} or one == other:
        return True
    one_below, other_below = one.removeprefix("*"), other.removeprefix("*")
    return (one.startswith("*.") and other_below.endswith(one_below)) or (
        other.startswith("*.") and one_below.endswith(other_below)
    )
