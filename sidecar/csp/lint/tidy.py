"""Parts of a policy that have no effect, are redundant, or are misleading."""

from collections.abc import Iterator, Sequence

from sidecar.csp.language import FALLBACKS, Directive, Kind, Policy, Source
from sidecar.csp.language.narrow import covers, widenings
from sidecar.csp.lint.finding import Finding, LintSeverity

LOW, INFO = LintSeverity.LOW, LintSeverity.INFO
_BY_PLACE = frozenset({Kind.HOST, Kind.SCHEME})
_SCHEMES = frozenset({"http", "https", "ws", "wss", "data", "blob", "filesystem"})
_SPECIFIC = {
    "script-src": ("script-src-elem", "script-src-attr", "worker-src"),
    "style-src": ("style-src-elem", "style-src-attr"),
    "child-src": ("frame-src", "worker-src"),
}
"""Directives that, if all are given, leave nothing for their fallback."""


def untidiness(policy: Policy) -> Iterator[Finding]:
    """Yield the ineffective parts of one policy."""
    for directive in policy.directives.values():
        yield from _mistaken(directive)
        yield from _covered(directive)
        yield from _as_its_fallback(policy, directive)
    yield from _shadowed(policy)


def _mistaken(directive: Directive) -> Iterator[Finding]:
    """Yield values that are valid but misleading."""
    for source in directive.sources:
        message = ""
        if source.kind is Kind.SCHEME and "." in source.scheme:
            message = "is the name of a scheme; a host stands without a colon at its end"
        elif source.kind is Kind.HOST and not source.scheme and source.host in _SCHEMES:
            message = f"is the name of a host; the scheme is {source.host}:"
        if message:
            yield Finding(
                LintSeverity.MEDIUM, "source-mistaken", message, directive.name, source.text
            )


def _covered(directive: Directive) -> Iterator[Finding]:
    for index, source in enumerate(directive.sources):
        by = _cover_of(index, source, directive.sources)
        if by is not None:
            message = f"{by.text} covers it already"
            yield Finding(LOW, "source-covered", message, directive.name, source.text)


def _cover_of(index: int, source: Source, sources: Sequence[Source]) -> Source | None:
    if source.kind not in _BY_PLACE and source.text != "'self'":
        return None
    for other_index, other in enumerate(sources):
        if other_index == index or not covers(other, source):
            continue
        # Two that cover each other: the later one is the one too many.
        if covers(source, other) and other_index > index:
            continue
        return other
    return None


def _as_its_fallback(policy: Policy, directive: Directive) -> Iterator[Finding]:
    for name in FALLBACKS.get(directive.name, ()):
        fallback = policy.directives.get(name)
        if fallback is None:
            continue
        # object-src 'none' under default-src 'none' is written for people, and for tools.
        if set(fallback.values) == set(directive.values) and directive.values != ("'none'",):
            message = f"says what {name} says"
            yield Finding(INFO, "directive-redundant", message, directive.name)
        return


def _shadowed(policy: Policy) -> Iterator[Finding]:
    for name, specific in _SPECIFIC.items():
        if name in policy.directives and all(each in policy.directives for each in specific):
            message = f"never asked: {', '.join(specific)} stand before it"
            yield Finding(INFO, "directive-shadowed", message, name)
    elem = policy.directives.get("script-src-elem")
    base = policy.directives.get("script-src")
    if elem is not None and base is not None:
        extra = [s for s in elem.sources if not any(covers(each, s) for each in base.sources)]
        for source in extra:
            if source.kind is not Kind.NONE:
                message = "not in script-src, which Safari before 15.4 looks at instead"
                yield Finding(INFO, "elem-wider", message, elem.name, source.text)
    if "default-src" in policy.directives:
        others = [name for name in FALLBACKS if name != "default-src"]
        if all(_nearest(policy, name) != "default-src" for name in others):
            yield Finding(
                INFO, "directive-shadowed", "never asked: all others are given", "default-src"
            )


def _nearest(policy: Policy, name: str) -> str:
    directive = policy.effective(name)
    return "" if directive is None else directive.name


def adds_nothing(policy: Policy, others: Sequence[Policy]) -> bool:
    """Tell whether what ``policy`` forbids is forbidden by one of ``others`` already."""
    # Where ``policy`` does not speak, it does not matter how much the other allows.
    return any(not [*widenings(policy, other)] for other in others)
