"""The rules of routes: one path or prefix each, with an unambiguous spelling."""

import re
from collections import Counter
from collections.abc import Iterator

from sidecar.common.canonical import canonical_path
from sidecar.common.errors import Denied
from sidecar.config.model import Config, RouteSettings
from sidecar.config.problem import Path, Problem

_PATTERN = re.compile(r"[*^\\<>{}\[\]|]|\.\+|\(\?|\$$|(?<=/):[A-Za-z_]")
"""What regular expressions, globs and the templates of frameworks have and paths have not."""
_PREFIX = "write the beginning that the paths have in common as path_prefix"


def pattern_warnings(config: Config) -> Iterator[Problem]:
    """Yield the routes whose path is valid, but would hardly be meant letter by letter."""
    for index, route in enumerate(config.routes):
        for name, path in (("path", route.path), ("path_prefix", route.path_prefix)):
            if path is not None and (found := _PATTERN.search(path)):
                beginning = path[: found.start()].rpartition("/")[0].rstrip(".") or "/"
                yield Problem(
                    ("routes", index, name),
                    f"{path} looks like a pattern, and is matched letter by letter: {_PREFIX}, "
                    f"path_prefix: {beginning}",
                )


def check_routes(config: Config) -> Iterator[Problem]:
    """Yield the problems of each route, and of their names."""
    for name, times in Counter(route.name for route in config.routes).items():
        if times > 1:
            yield Problem(("routes",), f"the route name {name!r} is used {times} times")
    for index, route in enumerate(config.routes):
        yield from _route(("routes", index), route)


def _route(where: Path, route: RouteSettings) -> Iterator[Problem]:
    if (route.path is None) == (route.path_prefix is None):
        yield Problem(where, "needs either path or path_prefix")
    for name, path in (("path", route.path), ("path_prefix", route.path_prefix)):
        if path is not None and (wrong := _wrong_path(path)):
            yield Problem((*where, name), wrong)
    if route.auth == "none" and (route.roles or route.scopes or route.tenant):
        yield Problem(
            where, "requires roles, scopes or a tenant, and with auth: none no token is read"
        )
    if route.auth == "none" and route.end_streams_with_token:
        yield Problem(
            (*where, "end_streams_with_token"), "has no effect: with auth: none no token is read"
        )
    yield from _binding(where, route)
    if not route.head_with_get and "GET" not in route.methods:
        yield Problem((*where, "head_with_get"), "needs GET among the methods")


def _binding(where: Path, route: RouteSettings) -> Iterator[Problem]:
    """Check that a bound token can reach a route which asks for one."""
    if route.binding is None:
        return
    if route.auth == "none":
        yield Problem((*where, "binding"), "has no effect: with auth: none no token is read")
    if "dpop" in route.binding.by and "header" not in route.token_from:
        yield Problem(
            (*where, "binding", "by"),
            "dpop needs header in token_from: such a token comes as `Authorization: DPoP TOKEN`",
        )


def _wrong_path(path: str) -> str:
    """Return why no request can match a path; empty if one can."""
    if "?" in path:
        return "has a query, and routes are matched without it; an encoded ? is %3F"
    try:
        canonical_path(path.encode())
    except Denied as denied:
        if _PATTERN.search(path):
            return f"{path} looks like a pattern, and paths are matched letter by letter: {_PREFIX}"
        return f"has no canonical form ({denied.detail.removeprefix('the path is ambiguous: ')})"
    return ""
