"""How lenient servers read a path, and which routes' paths they would take it for.

Express ignores the case of letters and a slash at the end; so does a file server on a disk
without case, which ignores dots and spaces at a segment's end as well; Rails and older
Spring take ``/admin.json`` for ``/admin``; some read ``+`` as a space; what decodes a path
before it parts it from the query cuts it at ``%3F``. Where such a reading meets a route that
the path as it stands does not, a policy by path holds for one of the two alone
(``routes.RouteTable.find``).

The readings are one fold, taken wide on purpose: a path that folds like a route's without
being spelt like it has no honest sender. Unicode is folded by NFKC and full case folding, so
that the Kelvin sign is a ``k`` and a decomposed letter the composed one.
"""

import re
from collections.abc import Iterable, Iterator
from unicodedata import normalize
from urllib.parse import quote, unquote

MAX_RESPELT = 32
"""More spellings of one path no honest configuration has; what may be all of them is refused."""
_QUERY_OR_FRAGMENT = re.compile(r"%3F|%23")
_ENDS_OF_SEGMENTS = re.compile(r"(?:\.|%20)+(?=/|$)")
_EXTENSIONS = (re.compile(r"(?<=[^/.])\.[^/.]*$"), re.compile(r"(?<=[^/.])\.[^/]*$"))
"""The last of a name's extensions, and all of them."""


def fold(path: str) -> str:
    """Return what lenient servers make of a canonical path: equal for all that they read alike."""
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
    """The spellings of the routes' paths and prefixes, by what they fold to."""

    __slots__ = ("_deepest", "_paths", "_prefixes")

    def __init__(self, paths: Iterable[str], prefixes: Iterable[str]) -> None:
        """``prefixes`` are without a slash at the end; all are canonical."""
        self._paths = _by_fold(paths)
        self._prefixes = _by_fold(prefixes)
        self._deepest = max((prefix.count("/") for prefix in self._prefixes), default=0)

    def respell(self, path: str) -> Iterator[str]:
        """Yield a canonical path as each route spells it that a lenient server may take it for.

        The path itself is not among them. What follows a route's prefix stays as it is.
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
        """Respell the beginning of a path, segment by segment, as far as any prefix goes."""
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
