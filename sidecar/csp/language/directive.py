"""The directives of a policy: their names, and what each may hold (CSP Level 3 §6).

Trusted Types adds ``require-trusted-types-for`` and ``trusted-types``. Directives that
browsers have dropped are refused by name, because they look enforced and are not.
"""

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import NamedTuple

from sidecar.csp.language.source import (
    UNSAFE_INLINE,
    Kind,
    NotASourceError,
    Source,
    parse_source,
)
from sidecar.csp.language.values import CHECKS, check_values

_SCRIPT = ("script-src", "script-src-elem", "script-src-attr")
_STYLE = ("style-src", "style-src-elem", "style-src-attr")
_DEFAULT = ("default-src",)
FALLBACKS: dict[str, tuple[str, ...]] = {
    "default-src": (),
    "script-src": _DEFAULT,
    "script-src-elem": ("script-src", *_DEFAULT),
    "script-src-attr": ("script-src", *_DEFAULT),
    "style-src": _DEFAULT,
    "style-src-elem": ("style-src", *_DEFAULT),
    "style-src-attr": ("style-src", *_DEFAULT),
    "worker-src": ("child-src", "script-src", *_DEFAULT),
    "child-src": _DEFAULT,
    "frame-src": ("child-src", *_DEFAULT),
    "fenced-frame-src": ("frame-src", "child-src", *_DEFAULT),
    **dict.fromkeys(
        ("connect-src", "font-src", "img-src", "manifest-src", "media-src", "object-src"), _DEFAULT
    ),
}
"""The fetch directives, each with its fallbacks, in order (§6.8.3)."""
SOURCE_LISTS = (*FALLBACKS, "base-uri", "form-action", "frame-ancestors")
"""Every directive with a source list."""
DIRECTIVES = (*SOURCE_LISTS, *CHECKS)
_DROPPED = {
    "block-all-mixed-content": "browsers block mixed content anyway; upgrade-insecure-requests",
    "navigate-to": "it never left the drafts",
    "plugin-types": "object-src 'none'",
    "prefetch-src": "default-src",
    "referrer": "headers.referrer_policy",
    "reflected-xss": "it is gone with the browsers' XSS filters",
    "require-sri-for": "it never left the drafts",
}
_SCRIPTS_AND_STYLES = frozenset((*_SCRIPT, *_STYLE, *_DEFAULT))
_SCRIPTS = frozenset((*_SCRIPT, *_DEFAULT))
_KEYWORD_HOMES: dict[str, frozenset[str]] = {
    "'self'": frozenset(SOURCE_LISTS),
    "'unsafe-inline'": _SCRIPTS_AND_STYLES,
    "'unsafe-hashes'": _SCRIPTS_AND_STYLES,
    "'report-sample'": _SCRIPTS_AND_STYLES,
    "'unsafe-eval'": _SCRIPTS | {"style-src"},
    "'strict-dynamic'": _SCRIPTS,
    "'wasm-unsafe-eval'": _SCRIPTS,
    "'trusted-types-eval'": _SCRIPTS,
    "'report-sha256'": _SCRIPTS,
    "'report-sha384'": _SCRIPTS,
    "'report-sha512'": _SCRIPTS,
    "'inline-speculation-rules'": _SCRIPTS,
    "'unsafe-webtransport-hashes'": frozenset({"connect-src", *_DEFAULT}),
    "'unsafe-allow-redirects'": frozenset(),
}
"""The directives in which each keyword has a meaning; elsewhere browsers ignore it."""


class Directive(NamedTuple):
    """One directive of a policy. ``sources`` is empty for a directive without a source list."""

    name: str
    values: tuple[str, ...]
    """The values as in the header, with variables in place."""
    sources: tuple[Source, ...] = ()


class PolicyProblem(NamedTuple):
    """A problem of a policy, with its directive and the position of the value."""

    message: str
    directive: str | None = None
    position: int | None = None


def parse_directive(
    name: str, values: Sequence[str]
) -> tuple[Directive | None, list[PolicyProblem]]:
    """Parse one directive; with any problem return ``None`` and all problems."""
    if name not in DIRECTIVES:
        return None, [PolicyProblem(_unknown(name), name)]
    if name in SOURCE_LISTS:
        return _source_list(name, values)
    wrong = [PolicyProblem(message, name, index) for index, message in check_values(name, values)]
    return (None, wrong) if wrong else (Directive(name, tuple(values)), [])


def _unknown(name: str) -> str:
    if name in _DROPPED:
        return f"is no longer a directive; instead: {_DROPPED[name]}"
    close = get_close_matches(name, DIRECTIVES, 1)
    return "is no directive" + (f"; did you mean {close[0]}?" if close else "")


def _source_list(name: str, values: Sequence[str]) -> tuple[Directive | None, list[PolicyProblem]]:
    sources: list[Source] = []
    wrong: list[PolicyProblem] = []
    for index, text in enumerate(values):
        try:
            source = parse_source(text)
        except NotASourceError as exc:
            wrong.append(PolicyProblem(str(exc), name, index))
            continue
        problem = out_of_place(name, source)
        if problem is None and source in sources:
            problem = f"{source.text} stands here twice"
        if problem is not None:
            wrong.append(PolicyProblem(problem, name, index))
        sources.append(source)
    wrong += [PolicyProblem(message, name) for message in _together(values, sources)]
    if wrong:
        return None, wrong
    return Directive(name, tuple(source.text for source in sources), tuple(sources)), []


def out_of_place(name: str, source: Source) -> str | None:
    """Return why a source has no meaning in this list; ``None`` if it has one."""
    if source.kind is Kind.KEYWORD and name not in _KEYWORD_HOMES[source.text]:
        return f"{source.text} means nothing in {name}"
    if source.kind in {Kind.NONCE, Kind.HASH} and name not in _SCRIPTS_AND_STYLES:
        return f"a {source.kind} means nothing in {name}"
    return None


def _together(values: Sequence[str], sources: list[Source]) -> Iterator[str]:
    """Yield the problems of sources in combination."""
    if not values:
        yield "is empty, which blocks everything: write \"'none'\""
    kinds = {source.kind for source in sources}
    texts = {source.text for source in sources}
    if Kind.NONE in kinds and len(sources) > 1:
        yield "'none' stands alone: beside others it is passed over"
    trusting = kinds & {Kind.NONCE, Kind.HASH}
    strict = "'strict-dynamic'" in texts
    if UNSAFE_INLINE in texts and (trusting or strict):
        yield (
            "'unsafe-inline' beside a nonce, a hash or 'strict-dynamic': today's browsers pass "
            "over it, and for old ones it takes the protection away"
        )
    if strict and not trusting:
        yield "'strict-dynamic' without a nonce or a hash blocks every script"
    if "'unsafe-hashes'" in texts and Kind.HASH not in kinds:
        yield "'unsafe-hashes' without a hash means nothing"
