"""One policy: its directives, what they fall back to, and the header's value.

Only the tenant's own domain and the nonce vary by response. Without one, its source is left
out, which can only narrow a policy; a list without any source becomes ``'none'``.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sidecar.csp.language.directive import FALLBACKS, Directive, PolicyProblem, parse_directive
from sidecar.csp.language.source import NONCE, Kind, Source

NONE = Source(Kind.NONE, "'none'")


class Policy(NamedTuple):
    """A checked policy. ``directives`` are in the order of the file."""

    directives: Mapping[str, Directive]

    def effective(self, name: str) -> Directive | None:
        """Return the directive that governs ``name``: itself or the first it falls back to.

        ``None`` where nothing does and everything is allowed (CSP3 §6.8.3).
        """
        for candidate in (name, *FALLBACKS.get(name, ())):
            directive = self.directives.get(candidate)
            if directive is not None:
                return directive
        return None

    @property
    def has_nonce(self) -> bool:
        """Tell whether the policy has a nonce."""
        return any(
            source.kind is Kind.NONCE
            for directive in self.directives.values()
            for source in directive.sources
        )

    def with_sources(self, name: str, sources: Sequence[Source]) -> "Policy":
        """Return the policy with another source list in one directive."""
        texts = tuple(source.text for source in sources)
        changed = Directive(name, texts, tuple(sources))
        return Policy({**self.directives, name: changed})

    def render(self, tenant_domain: str | None, nonce: str | None) -> str:
        """Return the header's value for pages of this tenant, with this nonce."""
        return "; ".join(
            " ".join((each.name, *_values(each, tenant_domain, nonce)))
            for each in self.directives.values()
        )


def _values(directive: Directive, tenant_domain: str | None, nonce: str | None) -> Sequence[str]:
    if not directive.sources:
        return directive.values
    return [source.text for source in _sources(directive, tenant_domain, nonce)] or [NONE.text]


def _sources(directive: Directive, tenant_domain: str | None, nonce: str | None) -> list[Source]:
    known: list[Source] = []
    for source in directive.sources:
        if source.kind is Kind.NONCE:
            if nonce is not None:
                known.append(source._replace(text=source.text.replace(NONCE, nonce)))
        elif not source.of_tenant:
            known.append(source)
        elif tenant_domain is not None:
            known.append(source.for_tenant(tenant_domain))
    return known


def parse_policy(
    directives: Mapping[str, Sequence[str]],
) -> tuple[Policy | None, list[PolicyProblem]]:
    """Parse a policy; with any problem return ``None`` and all problems."""
    parsed: dict[str, Directive] = {}
    wrong: list[PolicyProblem] = []
    if not directives:
        wrong.append(PolicyProblem("is empty; a profile without a policy has no entry here"))
    for name, values in directives.items():
        directive, problems = parse_directive(name, values)
        wrong += problems
        if directive is not None:
            parsed[name] = directive
    return (None, wrong) if wrong else (Policy(parsed), [])
