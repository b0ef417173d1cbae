"""What differs between the policies of content: of each profile, and of each tenant's pages."""

from collections.abc import Iterator, Sequence

from sidecar.config.difference import Difference, Effect
from sidecar.config.headers import CspDirectives, CspProfile
from sidecar.config.model import Config, Tenant
from sidecar.csp.language import SOURCE_LISTS, Policy, PolicyProblem, parse_policy
from sidecar.csp.language.narrow import widenings
from sidecar.csp.language.overlay import apply_overlay

_DECIDING = ("enforced",)
Policies = Sequence[Policy]


def csp_differences(old: Config, new: Config) -> Iterator[Difference]:
    """Yield what pages may load that they might not, and the other way round."""
    yield from _of_routes(old, new)
    for name in dict.fromkeys((*old.headers.csp, *new.headers.csp)):
        where = f"headers.csp.{name}"
        before, after = old.headers.csp.get(name), new.headers.csp.get(name)
        if before is None or after is None:
            yield Difference(Effect.OTHER, where, "is removed" if before else "is added")
        elif before != after:
            yield from _policies(where, _parsed(before.enforced), _parsed(after.enforced))
            yield from _rest(where, before, after)
    tenants = {each.tenant_id: each for each in old.tenants}
    for tenant in new.tenants:
        if (earlier := tenants.get(tenant.tenant_id)) is not None:
            yield from _of_tenant(old, earlier, new, tenant)


def _of_routes(old: Config, new: Config) -> Iterator[Difference]:
    """Compare the policies of a route that has another profile than before."""
    names = {route.name: route.csp for route in old.routes}
    for route in new.routes:
        before = old.headers.csp.get(names.get(route.name, route.csp))
        after = new.headers.csp.get(route.csp)
        if before and after and names.get(route.name, route.csp) != route.csp:
            where = f"routes[{route.name}].csp"
            yield from _policies(where, _parsed(before.enforced), _parsed(after.enforced))


def _rest(where: str, before: CspProfile, after: CspProfile) -> Iterator[Difference]:
    """Compare what is not the enforced policies."""
    for field in before.__struct_fields__:
        old, new = getattr(before, field), getattr(after, field)
        if field in _DECIDING or old == new:
            continue
        widens = field == "allow_additions" and bool(set(new) - set(old))
        keeps = field == "application_headers" and new == "keep"
        effect = Effect.WIDENS if widens or keeps else Effect.OTHER
        text = "is changed" if field == "report_only" else f"was {_shown(old)}, is {_shown(new)}"
        yield Difference(effect, f"{where}.{field}", text)


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "empty"
    return "that of headers" if value is None else str(value)


def _of_tenant(old: Config, before: Tenant, new: Config, after: Tenant) -> Iterator[Difference]:
    """Compare the policies of a tenant's own pages, as they are sent."""
    for name in dict.fromkeys((*before.csp, *after.csp)):
        if before.csp.get(name) != after.csp.get(name) and {name} <= old.headers.csp.keys():
            ours = _pages(old, before, name)
            theirs = _pages(new, after, name)
            yield from _policies(f"tenants[{after.domain}].csp.{name}", ours, theirs)


def _pages(config: Config, tenant: Tenant, name: str) -> Policies:
    profile = config.headers.csp.get(name)
    if profile is None:
        return ()
    policies = (_parsed(profile.enforced), _parsed(profile.report_only))
    overlay = tenant.csp.get(name, {})
    made, _ = apply_overlay(policies, overlay, profile.allow_additions, tenant.domain)
    return made[0]


def _parsed(written: Sequence[CspDirectives]) -> tuple[Policy, ...]:
    return tuple(policy for each in written if (policy := parse_policy(each)[0]) is not None)


def _policies(where: str, old: Policies, new: Policies) -> Iterator[Difference]:
    for number in range(max(len(old), len(new))):
        place = f"{where}.enforced[{number}]" if max(len(old), len(new)) > 1 else where
        if number >= len(new):
            yield Difference(Effect.WIDENS, place, "is removed: what it forbids is allowed")
        elif number >= len(old):
            yield Difference(Effect.NARROWS, place, "is added")
        else:
            for problem in widenings(old[number], new[number]):
                yield Difference(Effect.WIDENS, place, _words(new[number], problem, "allows"))
            for problem in widenings(new[number], old[number]):
                text = _words(old[number], problem, "no longer allows")
                yield Difference(Effect.NARROWS, place, text.replace("is taken away", "is added"))


def _words(policy: Policy, problem: PolicyProblem, verb: str) -> str:
    message, name, position = problem
    directive = policy.effective(name) if name is not None else None
    if directive is None or position is None:
        return f"{name} {message}"
    if name in SOURCE_LISTS:
        return f"{name} {verb} {directive.sources[position].text}"
    return f"{name} {verb} {directive.values[position]}"
