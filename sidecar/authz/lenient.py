"""How lenient servers read a path, and which routes' paths they would read it as.

Express ignores the case of letters and a trailing slash; so does a file server on a
case-insensitive disk, which ignores dots and spaces at the end of a segment as well; Rails and
older Spring read ``/admin.json`` as ``/admin``; some servers read ``+`` as a space; a server
that decodes a path before it separates the query cuts it at ``%3F``. Where such a reading
matches a route that the literal path does not match, a policy by path applies to only one of
the two (``routes.RouteTable.find``).

All readings are one fold, wide on purpose: no legitimate client sends a path that folds like a
route's path without being spelled like it. Unicode is folded by NFKC and full case folding, so
that the Kelvin sign is a ``k`` and a decomposed letter the composed one.
"""

import re
from collections.abc import Iterable, Iterator
from unicodedata import normalize
from urllib.parse import quote, unquote

MAX_RESPELT = 32
"""No sensible configuration spells one path in more ways; a path with more is denied."""
_QUERY_OR_FRAGMENT = re.compile(r"%3F|%23")
_ENDS_OF_SEGMENTS = re.compile(r"(?:\.|%20)+(?=/|$)")
_EXTENSIONS = (re.compile(r"(?<=[^/.])\.[^/.]*$"), re.compile(r"(?<=[^/.])\.[^/]*$"))
"""The last of a name's extensions, and all of them."""


def fold(path: str) -> str:
    """Return the folded form of a canonical path: equal for paths that lenient servers equate."""
    if "%" in path:
        text = normalize("NFKC", normalize("NFKC", unquote(path)).casefold())
        path = quote(text, safe="/!$&'()*+,=:@~")
        path = _QUERY_OR_FRAGMENT.split(path, 1)[0]
    else:
        path = path.lower()
    path = path.replace("+", "%20")
    if "." in path or "%20" in path:
        path = _ENDS_OF_SEGMENTS.sub("", path)
    return path.rstrip("/")


class LenientIndex:
    """The spellings of the routes' paths and prefixes, by their folded form."""

    __slots__ = ("_deepest", "_paths", "_prefixes")

    def __init__(self, paths: Iterable[str], prefixes: Iterable[str]) -> None:
        """``prefixes`` have no trailing slash; all arguments are canonical."""
        self._paths = _by_fold(paths)
        self._prefixes = _by_fold(prefixes)
        self._deepest = max((prefix.count("/") for prefix in self._prefixes), default=0)

    def respell(self, path: str) -> Iterator[str]:
        """Yield the path in the spelling of each route that a lenient server may read it as.

        The path itself is not among them. What follows a route's prefix is not changed.
        """
        folded = fold(path)
        seen = {path}
        yield from _new(self._paths.get(folded, ()), seen)
        yield from _new(self._under_prefixes(path, folded), seen)
        for extension in _EXTENSIONS:
            bare = extension.sub("", folded)
            if bare != folded:
                yield from _new(self._paths.get(bare, ()), seen)
                yield from _new(self._prefixes.get(bare, ()), seen)

    def _under_prefixes(self, path: str, folded: str) -> Iterator[str]:
        """Respell the beginning of a path, segment by segment, up to the deepest prefix."""
        end = rest = 0
        for _ in range(self._deepest + 1):
            for prefix in self._prefixes.get(folded[:end], ()):
                yield prefix + path[rest:]
            if end == len(folded):
                return
            end = _next_slash(folded, end)
            rest = _next_slash(path, rest)


def _by_fold(spellings: Iterable[str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, dict[str, None]] = {}
    for spelling in spellings:
        found.setdefault(fold(spelling), {})[spelling] = None
    return {folded: tuple(known) for folded, known in found.items()}


def _next_slash(text: str, start: int) -> int:
    found = text.find("/", start + 1)
    return len(text) if found < 0 else found


def _new(spellings: Iterable[str], seen: set[str]) -> Iterator[str]:
    for spelling in spellings:
        if spelling not in seen:
            seen.add(spelling)
            yield spelling
