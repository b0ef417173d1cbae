"""A header's value, read as a browser reads it (CSP Level 3 §2.2.1, §2.2.2).

The text may come from anyone. A browser refuses nothing: it ignores what it does not
understand, and applies the rest. So only a bad value is dropped, never its directive; a list
without any value left is ``'none'``; the first of two equal directives applies; a directive
with a character beyond ASCII is dropped. What is dropped is a finding, and the rest is checked.

Where browsers accept more than the grammar (an underscore in a host, a query after a path),
the wider reading is checked.
"""

import re
from collections.abc import Callable, Iterator, Sequence

from sidecar.csp.language import (
    DIRECTIVES,
    SOURCE_LISTS,
    Directive,
    Policy,
    Source,
    parse_directive,
)
from sidecar.csp.language.policy import NONE
from sidecar.csp.language.values import check_values
from sidecar.csp.lint.finding import Finding, LintSeverity
from sidecar.csp.lint.sources import read_sources

ASCII_WHITESPACE = "\t\n\f\r "
_WORDS = re.compile(f"[^{ASCII_WHITESPACE}]+")
_VISIBLE = re.compile(f"[{ASCII_WHITESPACE}\x21-\x7e]*")
_Read = tuple[Directive | None, list[Finding]]


def read_header(value: str) -> tuple[list[Policy], list[Finding]]:
    """Return the policies of a header, and the findings about their syntax."""
    policies: list[Policy] = []
    findings: list[Finding] = []
    for text in value.split(","):
        directives: dict[str, Directive] = {}
        findings += _read_policy(text, directives)
        if directives:
            policies.append(Policy(directives))
    return policies, findings


def _read_policy(text: str, into: dict[str, Directive]) -> Iterator[Finding]:
    seen: set[str] = set()
    for part in text.split(";"):
        words = _WORDS.findall(part)
        if not words:
            continue
        name, values = words[0].lower(), words[1:]
        if not _VISIBLE.fullmatch(part):
            message = "holds a character beyond printable ASCII: browsers pass over all of it"
            yield _not_understood(name.encode("ascii", "backslashreplace").decode(), message)
            continue
        if name in seen:
            message = "stands here twice; browsers take the first"
            yield Finding(LintSeverity.MEDIUM, "directive-repeated", message, name)
            continue
        seen.add(name)
        directive, findings = _read_directive(name, values)
        yield from findings
        if directive is not None:
            into[name] = directive


def _read_directive(name: str, values: Sequence[str]) -> _Read:
    if name in SOURCE_LISTS:
        sources, findings = read_sources(name, values)
        return _of_sources(name, sources), findings
    if name not in DIRECTIVES:
        _, wrong = parse_directive(name, values)
        return None, [_not_understood(name, each.message) for each in wrong]
    kept, needs_one = _KEPT[name](values)
    # A browser resolves any reference that report-uri has (§6.4.1).
    faults = [] if name == "report-uri" and values else check_values(name, values)
    findings = [
        _not_understood(name, message, "" if position is None else values[position])
        for position, message in faults
    ]
    return (None if needs_one and not kept else Directive(name, kept)), findings


def _of_sources(name: str, sources: Sequence[Source]) -> Directive:
    listed = tuple(sources) or (NONE,)
    return Directive(name, tuple(source.text for source in listed), listed)


def _not_understood(name: str, message: str, source: str = "") -> Finding:
    return Finding(LintSeverity.MEDIUM, "not-understood", message, name, source)


_Kept = Callable[[Sequence[str]], tuple[tuple[str, ...], bool]]
"""The values of a directive that a browser keeps; without any it may be dropped."""


def _each(name: str, *, lower: bool) -> _Kept:
    """Keep the values that the directive knows, one by one."""

    def keep(values: Sequence[str]) -> tuple[tuple[str, ...], bool]:
        read = [value.lower() if lower else value for value in values]
        return tuple(dict.fromkeys(v for v in read if not check_values(name, (v,)))), False

    return keep


def _first(*known: str) -> _Kept:
    """Keep the first value, of those that are known if any are."""

    def keep(values: Sequence[str]) -> tuple[tuple[str, ...], bool]:
        read = [value.lower() if known else value for value in values]
        return tuple([value for value in read if not known or value in known][:1]), True

    return keep


def _trusted_types(values: Sequence[str]) -> tuple[tuple[str, ...], bool]:
    kept, _ = _each("trusted-types", lower=False)(values)
    return (kept if len(kept) == 1 else tuple(v for v in kept if v != "'none'")), False


_KEPT: dict[str, _Kept] = {
    "sandbox": _each("sandbox", lower=True),
    "upgrade-insecure-requests": lambda _: ((), False),
    "require-trusted-types-for": _first("'script'"),
    "trusted-types": _trusted_types,
    "webrtc": _first("'allow'", "'block'"),
    "report-uri": lambda values: (tuple(values), True),
    "report-to": _first(),
}
