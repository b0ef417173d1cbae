"""What differs between two tables of routes, for whom: decided by matching, not by text.

Requests fall into classes by host pattern, path and method, of both tables together: in a class
each table has one route. For every class that a changed route can touch, the two routes are
compared: who passes, and with which answer. Classes with the same change are said in one line.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

import msgspec

from sidecar.authz.credential import HEADER_ONLY
from sidecar.authz.routes import ANY_HOST, Route, RouteTable, at_least_as_strict, host_patterns
from sidecar.common.errors import Fault
from sidecar.config.difference import Difference, Effect

MAX_CLASSES = 2_000_000
_OTHER = "~other"
"""A host label, a path segment and a method that no route names."""
_MAX_LISTED = 6
_ANSWERS = ("csp", "cors", "nonce", "end_streams_with_token")


class _Every(NamedTuple):
    """What both tables together tell apart."""

    methods: frozenset[str]
    hosts: frozenset[str]


class _Class(NamedTuple):
    """Requests that one table decides in one way."""

    path: str
    host: str
    method: str


def route_differences(old: Sequence[Route], new: Sequence[Route]) -> Iterator[Difference]:
    """Yield what changes for whom. Raises ``Fault`` where the tables differ in too much."""
    old, new = [*map(_comparable, old)], [*map(_comparable, new)]
    changed = _changed(old, new)
    before, after = RouteTable(old), RouteTable(new)
    found: dict[tuple[Effect, str], list[_Class]] = {}
    for each in _classes(changed, [*old, *new]):
        ours = before.match(each.method, each.host, each.path)
        theirs = after.match(each.method, each.host, each.path)
        for change in _compare(ours, theirs):
            found.setdefault(change, []).append(each)
    every = _Every(frozenset(_methods([*old, *new])), frozenset(_hosts([*old, *new])))
    for (effect, text), classes in found.items():
        for words in _in_words(classes, every):
            yield Difference(effect, "routes", f"{words}: {text}")


def _comparable(route: Route) -> Route:
    """Return a route without what is compiled from all of them."""
    return msgspec.structs.replace(route, places=HEADER_ONLY)


def _changed(old: Sequence[Route], new: Sequence[Route]) -> list[Route]:
    """Return the routes of both tables that are not, in the same order, in the other."""
    matcher = SequenceMatcher(None, [repr(r) for r in old], [repr(r) for r in new], autojunk=False)
    changed: list[Route] = []
    for kind, a_start, a_end, b_start, b_end in matcher.get_opcodes():
        if kind != "equal":
            changed += [*old[a_start:a_end], *new[b_start:b_end]]
    return changed


def _classes(changed: Sequence[Route], routes: Sequence[Route]) -> Iterable[_Class]:
    """Return every class of requests that a changed route may decide."""
    patterns = {host for route in routes for host in route.hosts} | {ANY_HOST}
    spellings = {path for route in routes for path in _probes(route)}
    methods = _methods(routes)
    classes: set[_Class] = set()
    for route in changed:
        within = {p for p in patterns if set(host_patterns(p)) & set(route.hosts)}
        paths = [path for path in spellings if _holds(route, path)]
        own = route.methods or methods
        if len(classes) + len(within) * len(paths) * len(own) > MAX_CLASSES:
            raise Fault("the two files differ in too many routes to be compared")
        classes.update(
            _Class(path, _probe(host), method)
            for path in paths
            for host in within
            for method in own
        )
    return sorted(classes)


def _methods(routes: Iterable[Route]) -> set[str]:
    return {method for route in routes for method in route.methods} | {_OTHER}


def _hosts(routes: Iterable[Route]) -> set[str]:
    """Return a host for each class of hosts."""
    return {_probe(host) for route in routes for host in route.hosts} | {_OTHER}


def _probes(route: Route) -> tuple[str, ...]:
    """Return a path for each class of paths that a route sets apart."""
    if route.path is not None:
        return (route.path,)
    prefix = (route.path_prefix or "").rstrip("/")
    return (prefix or "/", f"{prefix}/{_OTHER}")


def _holds(route: Route, path: str) -> bool:
    if route.path is not None:
        return path == route.path
    prefix = (route.path_prefix or "").rstrip("/")
    return path == prefix or path.startswith(f"{prefix}/")


def _probe(pattern: str) -> str:
    """Return a host that matches a pattern and no longer one."""
    return _OTHER if pattern == ANY_HOST else pattern.replace("*", _OTHER)


def _compare(old: Route | None, new: Route | None) -> Iterator[tuple[Effect, str]]:
    """Yield what changes for requests that these two routes decide."""
    effect = _effect(old, new)
    if effect is not None:
        mixed = _both(old, new) if effect is Effect.WIDENS else ""
        yield effect, f"was {_by(old)}, is {_by(new)}{mixed}"
    if old is None or new is None:
        return
    for name in _ANSWERS:
        ours, theirs = getattr(old, name), getattr(new, name)
        if ours != theirs:
            opens = name == "cors" and theirs
            text = f"another {name} (was {ours or 'none'}, is {theirs or 'none'})"
            yield Effect.WIDENS if opens else Effect.OTHER, text
    for name in sorted(new.keep_overrides ^ old.keep_overrides):
        gains = name in new.keep_overrides
        verb = "reaches" if gains else "no longer reaches"
        yield Effect.WIDENS if gains else Effect.NARROWS, f"{name} {verb} the application"
    if old.exact_paths != new.exact_paths:
        verb = "are no longer denied" if new.exact_paths else "are denied"
        text = f"paths that lenient servers take for another route's {verb}"
        yield Effect.WIDENS if new.exact_paths else Effect.NARROWS, text


def _effect(old: Route | None, new: Route | None) -> Effect | None:
    if old is None or new is None:
        return None if old is new else Effect.WIDENS if old is None else Effect.NARROWS
    old, new = (msgspec.structs.replace(each, limits=None) for each in (old, new))
    if not at_least_as_strict(new, old):
        return Effect.WIDENS
    return None if at_least_as_strict(old, new) else Effect.NARROWS


def _both(old: Route | None, new: Route | None) -> str:
    if old is None or new is None or at_least_as_strict(old, new):
        return ""
    return " (some gain access, others lose it)"


def _by(route: Route | None) -> str:
    return who(route) if route is None else f"{who(route)} (route {route.name!r})"


def who(route: Route | None) -> str:
    """Return who passes a route, in words."""
    if route is None:
        return "nobody"
    if route.shadow:
        strict = msgspec.structs.replace(route, shadow=False)
        return f"everybody (shadow: recorded as {who(strict)})"
    parts = [_WHO[route.auth](route)]
    if route.clients:
        certificate = f"a client certificate of {_listed(route.clients)}"
        parts = [certificate] if route.auth == "none" else [*parts, f"with {certificate}"]
    if route.module is not None:
        owner = " or unsigned by an owner" if route.module == "unsigned_by_owner" else ""
        parts.append(f"with a module that is signed{owner}")
    return " ".join(parts)


def _token(route: Route) -> str:
    parts = ["a valid token"]
    if route.tenant is not None:
        parts.append(f"of tenant {route.tenant}")
    if route.roles:
        parts.append(f"with {'one of the roles' if len(route.roles) > 1 else 'the role'}")
        parts.append(_listed(sorted(route.roles)))
    if route.scopes:
        parts.append(
            f"{'and' if route.roles else 'with'} the scopes {_listed(sorted(route.scopes))}"
        )
    if route.token_from != ("header",):
        parts.append(f"in {_listed(route.token_from)}")
    if route.bound_by:
        by = " or ".join(sorted(route.bound_by))
        parts.append(f"that is bound by {by}" if route.binding_required else f"(bound by {by} too)")
    return " ".join(parts)


_WHO: dict[str, Callable[[Route], str]] = {
    "none": lambda _: "everybody",
    "optional": lambda route: f"everybody without a token, and {_token(route)}",
    "required": _token,
}


def _in_words(classes: Sequence[_Class], every: _Every) -> Iterator[str]:
    """Yield exact descriptions of classes: paths that share their hosts and methods in one."""
    listed: dict[tuple[str, str], set[str]] = {}
    for path, host, method in classes:
        listed.setdefault((path, host), set()).add(method)
    methods = {place: frozenset(its) for place, its in listed.items()}
    hosts: dict[tuple[str, frozenset[str]], list[str]] = {}
    for (path, host), its in methods.items():
        hosts.setdefault((path, its), []).append(host)
    paths: dict[tuple[tuple[str, ...], frozenset[str]], list[str]] = {}
    for (path, its), hosts_of in hosts.items():
        paths.setdefault((tuple(sorted(hosts_of)), its), []).append(path)
    for (hosts_of_all, its), paths_of in paths.items():
        where = "any host" if set(hosts_of_all) == every.hosts else _host_list(hosts_of_all)
        yield f"{_method_words(its, every.methods)} {_path_list(paths_of)} on {where}"


def _method_words(methods: frozenset[str], every: frozenset[str]) -> str:
    if methods == every:
        return "every request for"
    named = sorted(methods - {_OTHER})
    return f"{_listed([*named, *(['other methods'] if _OTHER in methods else [])])} of"


def _path_list(paths: Sequence[str]) -> str:
    """Return paths in words; a prefix and what is below it are one."""
    shown = []
    for path in paths:
        prefix, other, _ = path.partition(f"/{_OTHER}")
        if other and (prefix or "/") in paths:
            continue
        below = f"{path.rstrip('/')}/{_OTHER}" in paths
        if other:
            shown.append(f"everything else below {prefix or '/'}")
        else:
            shown.append(f"{path} and everything else below it" if below else path)
    return _listed(shown)


def _host_list(hosts: Sequence[str]) -> str:
    return _listed([_host_words(each) for each in hosts])


def _host_words(host: str) -> str:
    if host == _OTHER:
        return "every other host"
    label, _, suffix = host.partition(".")
    return f"every other host below {suffix}" if label == _OTHER else host


def _listed(values: Sequence[str]) -> str:
    more = len(values) - _MAX_LISTED
    shown = ", ".join(values[:_MAX_LISTED])
    return f"{shown} and {more} more" if more > 0 else shown
