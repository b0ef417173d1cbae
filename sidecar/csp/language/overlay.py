"""A tenant's own directives, which replace those of a profile.

A tenant may narrow any directive, and add hosts where the profile allows it. The first
policy that governs a directive gets the tenant's list in place of its own. Where other
policies govern it too (all enforced policies apply at once) they get the additions, and are
otherwise unchanged.
"""

from collections.abc import Collection, Mapping, Sequence

from sidecar.csp.language.directive import SOURCE_LISTS, Directive, PolicyProblem
from sidecar.csp.language.narrow import uncovered, widenings
from sidecar.csp.language.policy import NONE, Policy, parse_policy
from sidecar.csp.language.source import Source

_NOT_A_TENANTS = ("report-uri", "report-to")

Policies = tuple[tuple[Policy, ...], tuple[Policy, ...]]
"""The enforced policies, and the report-only ones."""


def apply_overlay(
    policies: Policies,
    given: Mapping[str, Sequence[str]],
    allow_additions: Collection[str],
    tenant_domain: str,
) -> tuple[Policies, list[PolicyProblem]]:
    """Return a profile's policies for one tenant, and the problems."""
    overlay, wrong = parse_policy(given)
    if overlay is None:
        return policies, wrong
    enforced, watched = map(list, policies)
    if not enforced:
        return policies, [PolicyProblem("the profile enforces no policy that could be narrowed")]
    for directive in overlay.directives.values():
        if directive.name in _NOT_A_TENANTS:
            wrong.append(PolicyProblem("where reports go is not a tenant's to say", directive.name))
            continue
        first = next((i for i, each in enumerate(enforced) if each.effective(directive.name)), 0)
        added = _additions(enforced[first], directive, tenant_domain)
        enforced[first] = Policy({**enforced[first].directives, directive.name: directive})
        for others in (enforced, watched):
            for number, policy in enumerate(others):
                if others is watched or number != first:
                    others[number] = _with_additions(policy, directive.name, added)
    changed = [pair for pair in zip(policies[0], enforced, strict=True) if pair[0] is not pair[1]]
    for before, after in changed:
        was, is_now = _known(before, tenant_domain), _known(after, tenant_domain)
        wrong += widenings(was, is_now, allow_additions)
    places = {(each.directive, each.position): each for each in reversed(wrong)}
    return (tuple(enforced), tuple(watched)), list(reversed(places.values()))


def _for_tenant(directive: Directive, domain: str) -> Directive:
    return directive._replace(sources=tuple(each.for_tenant(domain) for each in directive.sources))


def _known(policy: Policy, domain: str) -> Policy:
    """Return the policy with the tenant's domain in place, so that hosts can be compared."""
    return Policy({name: _for_tenant(each, domain) for name, each in policy.directives.items()})


def _additions(before: Policy, directive: Directive, domain: str) -> list[Source]:
    governing = _known(before, domain).effective(directive.name)
    wanted = _for_tenant(directive, domain).sources
    return [] if governing is None else uncovered(governing.sources, wanted)


def _with_additions(policy: Policy, name: str, added: Sequence[Source]) -> Policy:
    governing = policy.effective(name) if name in SOURCE_LISTS else None
    if governing is None:
        return policy
    missing = uncovered(governing.sources, added)
    kept = [source for source in governing.sources if source != NONE]
    return policy.with_sources(name, (*kept, *missing)) if missing else policy
