"""Whether a policy allows no more than another (CSP Level 3 §6.7.2, as sets of URLs).

``covers(wide, narrow)`` is true only if whatever ``narrow`` matches is matched by ``wide``
too, in every reading that browsers have: where the standard and a browser differ (WebSocket
schemes, port 80 that became 443) both must agree. It may be false for a
pair that is in fact covered, which only refuses more. Pages are taken to be HTTPS, as
everything behind HSTS is.

A policy is narrower than another if every directive, with what it falls back to, is; so a
``child-src`` that takes workers away from a strict ``script-src`` is detected.
"""

from collections.abc import Collection, Iterator, Sequence
from urllib.parse import unquote_to_bytes

from sidecar.csp.language.directive import SOURCE_LISTS, Directive, PolicyProblem
from sidecar.csp.language.policy import Policy
from sidecar.csp.language.source import SELF, Kind, Source

_SCHEMES = {
    "http": {"http", "https", "ws", "wss"},
    "https": {"https", "wss"},
    "ws": {"ws", "wss"},
}
"""The schemes that each scheme covers, besides itself."""
_WEB = frozenset({"http", "https", "ws", "wss"})
_SECURE = frozenset({"https", "wss"})
_PAGE = "https"
_STRICT = "'strict-dynamic'"
_PARTS_OF_EVAL = frozenset({"'wasm-unsafe-eval'", "'trusted-types-eval'"})
_NEVER_WIDER = frozenset({"'none'", "'block'"})
_SELF = Source(Kind.SCHEME, SELF, scheme=_PAGE)
"""The page's own origin, of which only the scheme is known."""
_BY_PLACE = frozenset({Kind.HOST, Kind.SCHEME})


def covers(wide: Source, narrow: Source) -> bool:
    """Tell whether ``wide`` matches whatever ``narrow`` matches."""
    if wide.text == narrow.text or narrow.kind is Kind.NONE:
        return True
    if wide.text == "'unsafe-eval'":
        return narrow.text in _PARTS_OF_EVAL
    if narrow.text == SELF:
        narrow = _SELF
    if wide.kind not in _BY_PLACE or narrow.kind not in _BY_PLACE or narrow.text == "*":
        return False
    if wide.text == "*":
        return (narrow.scheme or _PAGE) in _WEB
    return _scheme_covers(wide, narrow.scheme or _PAGE) and _place_covers(wide, narrow)


def _place_covers(wide: Source, narrow: Source) -> bool:
    if wide.kind is Kind.SCHEME:
        return True
    return (
        narrow.kind is Kind.HOST
        and _host_covers(wide.host, narrow.host)
        and _port_covers(wide, narrow)
        and _path_covers(wide.path, narrow.path)
    )


def _scheme_covers(wide: Source, narrow: str) -> bool:
    scheme = wide.scheme or _PAGE
    return narrow == scheme or narrow in _SCHEMES.get(scheme, ())


def _host_covers(wide: str, narrow: str) -> bool:
    if wide in {"*", narrow}:
        return True
    return wide.startswith("*.") and narrow.removeprefix("*").endswith(wide[1:])


def _port_covers(wide: Source, narrow: Source) -> bool:
    if wide.port in {"*", narrow.port}:
        return True
    schemes = {wide.scheme or _PAGE, narrow.scheme or _PAGE}
    return schemes <= _SECURE and {wide.port, narrow.port} == {"", "443"}


def _path_covers(wide: str, narrow: str) -> bool:
    if wide in {"", "/"}:
        return True
    wide_parts, narrow_parts = _parts(wide), _parts(narrow)
    if wide.endswith("/"):
        wide_parts.pop()
        return len(narrow_parts) > len(wide_parts) and narrow_parts[: len(wide_parts)] == wide_parts
    return wide_parts == narrow_parts


def _parts(path: str) -> list[bytes]:
    return [unquote_to_bytes(part) for part in path.split("/")]


def uncovered(wide: Sequence[Source], narrow: Sequence[Source]) -> list[Source]:
    """Return the sources of ``narrow`` that no source of ``wide`` covers.

    With ``'strict-dynamic'`` a browser ignores the hosts in the list: they count for ``wide``
    only if ``narrow`` is strict as well.
    """
    texts = {source.text for source in narrow}
    strict = any(source.text == _STRICT for source in wide)
    if strict and _STRICT not in texts:
        wide = [source for source in wide if not (source.kind in _BY_PLACE or source.text == SELF)]
    return [
        source
        for source in narrow
        if source.kind is not Kind.NONE and not any(covers(each, source) for each in wide)
    ]


def widenings(
    before: Policy, after: Policy, additions: Collection[str] = ()
) -> Iterator[PolicyProblem]:
    """Yield where ``after`` allows what ``before`` does not.

    ``additions`` are directives in which further hosts may stand: hosts by name, over a
    secure scheme.
    """
    for name in dict.fromkeys((*SOURCE_LISTS, *before.directives, *after.directives)):
        old, new = before.effective(name), after.effective(name)
        if old is None or old == new:
            continue
        if new is None:
            yield PolicyProblem("is taken away", name)
        elif name in SOURCE_LISTS:
            yield from _wider_sources(old, new, additions)
        else:
            yield from _wider_values(old, new)


def _wider_sources(
    old: Directive, new: Directive, additions: Collection[str]
) -> Iterator[PolicyProblem]:
    for source in uncovered(old.sources, new.sources):
        position = new.sources.index(source)
        if new.name not in additions:
            message = f"{source.text} is not covered by the profile's {old.name}"
            yield PolicyProblem(message, new.name, position)
        elif not is_addable(source):
            message = f"{source.text} can't be added: a host by name over https or wss can"
            yield PolicyProblem(message, new.name, position)


def is_addable(source: Source) -> bool:
    """Tell whether a source is a host by name, over a secure scheme."""
    name = source.host.removeprefix("*.").rstrip(".")
    return (
        source.kind is Kind.HOST
        and name != "*"
        and "." in name
        and (source.scheme or _PAGE) in _SECURE
    )


def _wider_values(old: Directive, new: Directive) -> Iterator[PolicyProblem]:
    """Compare lists in which every value is a permission of its own."""
    if "*" in old.values and old.name == "trusted-types":
        return
    for position, value in enumerate(new.values):
        if value not in old.values and value not in _NEVER_WIDER:
            yield PolicyProblem(f"{value} is not in the profile's {old.name}", new.name, position)
